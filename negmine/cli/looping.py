"""loop: rounds of mining, training and mining again with the model that was trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.app import app
from negmine.cli.console import Console, chance
from negmine.cli.options import common, example
from negmine.errors import UsageError

if TYPE_CHECKING:
    from negmine.config import Config
    from negmine.rounds.looping import Looped, Round

Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Rounds of training and mining at most.", metavar="N")]
Start = Annotated[
    str,
    typer.Option(
        "--start", help="Train on from the last model, or from the first one each time.", metavar="last|first"
    ),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Draw the rounds to a .png or .svg file.", metavar="FILE", dir_okay=True)
]

_STARTS = ("last", "first")
_LEVEL = 0.05


@app.command(
    name="loop",
    help=example(
        "loop",
        "negmine loop -c negmine.yaml --rounds 3 --plot rounds.png",
        "negmine loop --rounds 2 --set 'train.arguments={bf16: true}'",
    ),
)
@common
def loop_rounds(config: Config, console: Console, rounds: Rounds = 2, start: Start = "last", plot: Plot = None) -> None:
    if start not in _STARTS:
        raise UsageError(f"--start is '{start}'", hint="Use last or first.")
    if plot is not None:
        from negmine.figures import check_figure

        check_figure(plot)
    from negmine.rounds.looping import loop

    reporter = console.reporter()
    try:
        found = loop(config, rounds, start=start, reporter=reporter)
    finally:
        reporter.close()
    if plot is not None:
        from negmine.rounds.course import draw

        draw(found, plot)
        console.note(f"figure: {plot}")
    _show(console, found)
    console.result(found.as_json())


def _show(console: Console, found: Looped) -> None:
    columns = ["round>", "trained", "dev nDCG@10>", "MRR@10>?", "recall@100>?", "", "negatives>", "churn>", "margin>?"]
    console.table([*columns, "risk>?"], [_row(each) for each in found.rounds])
    console.line(f"{found.stopped}; {found.queries['dev']:,} queries of dev, {found.queries['test']:,} of test")
    console.line()
    best = found.rounds[found.best]
    if not found.best:
        console.line(f"No round is better than the first model on dev: it stays the best ({found.checkpoint}).")
        return
    first, last, of = found.test["first"]["ndcg@10"], found.test["best"]["ndcg@10"], found.difference
    console.line(f"The best checkpoint is that of round {found.best}: {found.checkpoint}")
    if of is not None:
        what = "no different from" if of.p >= _LEVEL else "better than" if of.effect > 0 else "worse than"
        console.line(
            f"On test: {first:.4f} -> {last:.4f} nDCG@10 ({of.effect:+.4f}, 95% {of.low:+.4f} to {of.high:+.4f},"
            f" {chance(of.p)}): {what} the first model."
        )
    console.line(f"Its negatives are in {best.work_dir}/export")


def _row(each: Round) -> list[str]:
    trained, mined = each.trained, each.mined
    how = "" if trained is None else f"step {trained.step:,} of {trained.steps:,}"
    dev = [f"{each.dev[name]:.4f}" for name in ("ndcg@10", "mrr@10", "recall@100")]
    change = "" if not each.number else "better" if each.improved else "no better"
    if mined is None:
        return [str(each.number), how, *dev, change, "", "", "", ""]
    numbers = [f"{mined.churn:.1%}" if mined.churn is not None else ""]
    numbers += [
        "-" if mined.margin is None else f"{mined.margin:.3f}",
        "-" if mined.risk is None else f"{mined.risk:.1%}",
    ]
    return [str(each.number), how, *dev, change, f"{mined.negatives:,}", *numbers]
