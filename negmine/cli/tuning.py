"""tune: settings of filter that do most for a student, chosen on dev."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from negmine.cli.app import app
from negmine.cli.console import Console, chance, duration
from negmine.cli.options import Source, common, example
from negmine.cli.refreshing import warn_of_changes
from negmine.errors import UsageError

if TYPE_CHECKING:
    from negmine.config import Config
    from negmine.rounds.tuning import Tried, Tuning

Budget = Annotated[
    str | None,
    typer.Option("--budget", help="Time to spend, such as 90s, 10m or 2h (default: 10m).", metavar="TIME"),
]
Count = Annotated[
    int | None,
    typer.Option(
        "--trials", min=2, help="Trainings to spend instead of a time: the same ones on any machine.", metavar="N"
    ),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Draw the frontier to a .png or .svg file.", metavar="FILE", dir_okay=True)
]

_BUDGET = "10m"
_SHOWN = 10
_LEVEL = 0.05
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@app.command(
    name="tune",
    help=example(
        "tune",
        "negmine tune -c negmine.yaml --budget 10m --plot frontier.png",
        "negmine tune -c negmine.yaml --set evaluate.student=static --trials 60",
    ),
)
@common
def tune_filter(
    config: Config,
    console: Console,
    source: Source,
    budget: Budget = None,
    trials: Count = None,
    plot: Plot = None,
) -> None:
    if budget is not None and trials is not None:
        raise UsageError("--budget and --trials are given", hint="Give one of them.")
    seconds = None if trials is not None else seconds_of(budget or _BUDGET)
    if plot is not None:
        from negmine.figures import check_figure

        check_figure(plot)
    from negmine.rounds.tuned import check_tuned, write_tuned
    from negmine.rounds.tuning import tune

    check_tuned(config, source.path)
    warn_of_changes(config, console)
    reporter = console.reporter()
    try:
        found = tune(config, budget=seconds, trials=trials, reporter=reporter)
    finally:
        reporter.close()
    path = write_tuned(config, source.path, source.overrides, found)
    if plot is not None:
        from negmine.rounds.frontier import draw

        draw(found, plot)
        console.note(f"figure: {plot}")
    for key in found.left_out:
        console.warn(f"{key} is about all queries at once and was left out of every trial")
    _show(console, found, path)
    console.result({**found.as_json(), "config": None if path is None else str(path)})


def seconds_of(text: str) -> float:
    """A time such as 90s, 10m or 1.5h in seconds. Raises UsageError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh])", text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"--budget {text}: this is no time", hint="Write it like 90s, 10m or 2h.")
    return float(match[1]) * _UNITS[match[2]]


def _show(console: Console, found: Tuning, path: Path | None) -> None:
    queries = found.queries
    console.line(
        f"{found.trials} trials of {len(found.tried)} settings in {duration(found.seconds)}: student {found.student},"
        f" {queries['train']:,} queries to train on, {queries['dev']:,} of dev to choose by"
    )
    console.line()
    seeds, gain = str(found.default.seeds), f"{-found.default.uplift:+.4f}"
    none = ["no hard negatives", seeds, f"{found.in_batch:.4f}", gain, f"{found.in_batch_p:.3f}", "", "", "", ""]
    rows = [_row(found.default), none]
    rows += [_row(each) for each in found.tried[:_SHOWN]]
    console.table(
        ["setting~", "seeds>", "dev nDCG@10>", "gain>", "p>", "negatives>?", "filled>?", "margin>", "risk>"], rows
    )
    if len(found.tried) > _SHOWN:
        console.line(f"and {len(found.tried) - _SHOWN} more, which are in tune/result.json")
    console.line("gain: over your config on the same seeds; p: adjusted for all settings that were tried")
    console.line()
    for line in [*verdict(found), *without(found)]:
        console.line(line)
    if path is not None:
        console.line(f"The chosen settings are in {path}. Apply them with: negmine run -c {path}")


def verdict(found: Tuning) -> list[str]:
    """What came out, in sentences."""
    if found.chosen is None:
        best = found.best
        if best.gain <= 0:
            return ["Nothing that was tried is better than your config on dev: it is kept."]
        near = f"{best.name}, {best.gain:+.4f} nDCG@10, {chance(best.p or 0.0)}"
        return [f"Nothing beats your config by more than luck on dev (nearest: {near}): it is kept."]
    chosen, test = found.chosen, found.confirmation
    lines = [f"Chosen: {chosen.name}, {chosen.gain:+.4f} nDCG@10 on dev ({chance(chosen.p or 0.0)})."]
    if test is not None:
        of = test.difference
        what = (
            "better there too"
            if of.p < 0.05 and of.effect > 0
            else "worse there"
            if of.p < 0.05
            else "no different there"
        )
        lines.append(
            f"On test, which nothing was chosen by: {test.default:.4f} -> {test.chosen:.4f} ({of.effect:+.4f}, 95%"
            f" {of.low:+.4f} to {of.high:+.4f}, {chance(of.p)}): {what}."
        )
    return lines


def without(found: Tuning) -> list[str]:
    """What is to be known where hard negatives as such do harm."""
    if found.default.uplift >= 0 or found.in_batch_p >= _LEVEL:
        return []
    gain = f"{-found.default.uplift:+.4f} nDCG@10, {chance(found.in_batch_p)}"
    return [f"On dev this student is better without hard negatives than with those of your config ({gain})."]


def _row(of: Tried) -> list[Any]:
    hard = of.difficulty
    return [
        of.name,
        str(of.seeds),
        f"{of.dev:.4f}",
        f"{of.gain:+.4f}" if of.p is not None else "",
        f"{of.p:.3f}" if of.p is not None else "",
        f"{hard.negatives:.1f}",
        f"{hard.filled:.0%}",
        "-" if hard.margin is None else f"{hard.margin:.3f}",
        "-" if hard.risk is None else f"{hard.risk:.1%}",
    ]
