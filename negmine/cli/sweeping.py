"""sweep: what other thresholds would do, without running them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.app import app
from negmine.cli.console import Console
from negmine.cli.options import common, example

if TYPE_CHECKING:
    from negmine.config import Config
    from negmine.sweep import Point, Sweep

Over = Annotated[
    list[str] | None,
    typer.Option(
        "--over",
        help="A key of filter and its values: a list, or START:STOP:STEP. Give it twice for a grid over two keys.",
        metavar="KEY=VALUES",
    ),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Draw it to a .png or .svg file.", metavar="FILE", dir_okay=True)
]

_WIDTH = 80
_ALWAYS = ("kept", "not_sampled")
_LIMITS = ("as_hard_as", "max", "target_fnr")


@app.command(
    name="sweep",
    help=example(
        "sweep",
        "negmine sweep -c negmine.yaml",
        "negmine sweep --over relative_margin=0:0.3:0.05 --plot sweep.png",
        "negmine sweep --over risk.max=0.1,0.2,0.5 --over num_negatives=1,5,10",
    ),
)
@common
def sweep_filter(config: Config, console: Console, over: Over = None, plot: Plot = None) -> None:
    from negmine.sweep import axes, sweep

    grid = axes(config, over or [])
    if plot is not None:
        from negmine.figures import check_figure

        check_figure(plot)
    found = sweep(config, grid)
    if plot is not None:
        from negmine.sweep.figure import draw

        draw(found, plot)
        console.note(f"figure: {plot}")
    _warn(config, console, found)
    _show(config, console, found)
    console.result(found.as_json())


def _warn(config: Config, console: Console, found: Sweep) -> None:
    from negmine.pipeline import status

    mine = next(stage for stage in status(config) if stage.stage == "mine")
    if mine.state in ("stale", "partial"):
        console.warn(f"mine is {mine.state} ({mine.why}): these are the candidates of the run as it was")
    for key in found.left_out:
        console.warn(f"{key} is about all queries at once and was left out: only some of them were looked at")


def _show(config: Config, console: Console, found: Sweep) -> None:
    console.line(_looked_at(found))
    console.line()
    points = [*found.points] if any(p.is_current for p in found.points) else [found.current, *found.points]
    names = [axis.key.removeprefix("filter.") for axis in found.axes]
    measured = ["leak>", "95% interval>?"] if found.current.leak is not None else []
    columns = [*(f"{name}>" for name in names), "yield>", "complete>?", "score>", "margin>?", "risk>", *measured, ""]
    console.table(columns, [[*_values(point), *_numbers(point), _remark(point)] for point in points])
    console.line()
    _show_reasons(console, points, names)
    console.line()
    for line in [*_legend(found), *_held(config, found)]:
        console.line(line)


def _looked_at(found: Sweep) -> str:
    if found.queries == found.queries_of_run:
        return f"{found.queries:,} queries, {found.candidates:,} candidates"
    drawn = f"{found.queries:,} of {found.queries_of_run:,} queries (drawn by the hash of their ids)"
    return f"{drawn}, {found.candidates:,} candidates"


def _values(point: Point) -> list[str]:
    return ["null" if value is None else f"{value:g}" for value in point.values.values()]


def _numbers(point: Point) -> list[str]:
    means = [_known(value, ".3f") for value in (point.score, point.margin)]
    shown = [f"{point.yield_:.1%}", f"{point.queries_with_all:,}", *means, _known(point.risk, ".2%")]
    if point.leak is None:
        return shown
    low, high = point.leak["interval"] or (None, None)
    return [*shown, _known(point.leak["rate"], ".2%"), f"{_known(low, '.2%')} to {_known(high, '.2%')}"]


def _known(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _remark(point: Point) -> str:
    return ", ".join(["your config"] * point.is_current + ["filter would stop: on_shortage"] * point.stops)


def _show_reasons(console: Console, points: Sequence[Point], names: Sequence[str]) -> None:
    """Counts of the reasons that differ from point to point in a table, the others in a line."""
    every = {reason for point in points for reason, count in point.reasons.items() if count}
    same = {r for r in every - set(_ALWAYS) if len({point.reasons[r] for point in points}) == 1}
    differ = [reason for reason in points[0].reasons if reason in every - same]
    columns = [*(f"{name}>" for name in names), *(f"{reason}>?" for reason in differ)]
    console.table(columns, [[*_values(point), *(f"{point.reasons[r]:,}" for r in differ)] for point in points])
    if same:
        counted = [f"{reason} {points[0].reasons[reason]:,}" for reason in points[0].reasons if reason in same]
        console.line()
        for line in textwrap.wrap(f"the same everywhere: {', '.join(counted)}", _WIDTH):
            console.line(line)


def _legend(found: Sweep) -> list[str]:
    from negmine.selection.bootstrap import ENOUGH_QUERIES

    lines = [
        "yield: share of num_negatives x queries; complete: queries with all of them",
        "score, margin (reference - score), risk (predicted): means of mined negatives",
    ]
    leak = found.current.leak
    if leak is None:
        return [*lines, "leak: unknown, as no query has several positives"]
    few = "queries only (says little)" if leak["queries"] < ENOUGH_QUERIES else "queries with several"
    return [*lines, f"leak: hidden positives taken as negatives, from {leak['queries']:,} {few}"]


def _held(config: Config, found: Sweep) -> list[str]:
    """The other limits of ``filter.risk``: the strictest counts, and a config that sets one names them all."""
    swept, section = {axis.key for axis in found.axes}, config.filter.risk
    if section is None or not swept & {f"filter.risk.{name}" for name in _LIMITS}:
        return []
    held = {name: getattr(section, name) for name in _LIMITS if f"filter.risk.{name}" not in swept}
    set_ = [f"{name}: {value:g}" for name, value in held.items() if value is not None]
    return [f"also held: risk {{{', '.join(set_)}}}; the strictest counts. Write all into the config."] if set_ else []
