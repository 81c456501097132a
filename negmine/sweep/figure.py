"""A sweep as a figure: curves over one threshold, or maps over two. Needs the extra ``plot``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from negmine.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, drawn_to
from negmine.selection.bootstrap import ENOUGH_QUERIES
from negmine.sweep.evaluating import Point, Sweep
from negmine.sweep.grid import Axis

_MOST_NUMBERS = 150
"""Cells of a map up to which each shows its number."""
_MOST_TICKS = 12


def draw(found: Sweep, path: Path) -> None:
    """Write the figure of a sweep as its name says: .png or .svg."""
    with drawn_to(path) as figure:
        (_maps if len(found.axes) == 2 else _curves)(figure, found)


def _share(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _leak(point: Point) -> float | None:
    return _share(point.leak["rate"]) if point.leak is not None else None


_PANELS: tuple[tuple[str, str, Callable[[Point], float | None]], ...] = (
    ("Yield: negatives found", "% of those wanted", lambda point: _share(point.yield_)),
    ("Hardness of the negatives", "mean score", lambda point: point.score),
    ("False negatives: hidden positives taken", "% of those mined", _leak),
)
_PREDICTED = ("Predicted false negatives", "% of the negatives", lambda point: _share(point.risk))


def _panels(found: Sweep) -> tuple[tuple[str, str, Callable[[Point], float | None]], ...]:
    """The three panels: the third shows what the model predicts where a measured share is unknown.

    A map has no room for intervals, so there the share counts only when it is measured on enough queries.
    """
    measured = any(_leak(point) is not None for point in found.points)
    if len(found.axes) == 2:
        measured &= (found.current.leak or {}).get("queries", 0) >= ENOUGH_QUERIES
    return _PANELS if measured else (*_PANELS[:2], _PREDICTED)


def _curves(figure: Any, found: Sweep) -> None:
    figure.suptitle(_title(found), x=0.008, ha="left", fontsize=10, color=GREY)
    draw_curves(figure.subplots(1, 3), found)


def draw_curves(panels: Sequence[Any], found: Sweep) -> None:
    """Draw yield, hardness and false negatives of a sweep over one key into three ``Axes`` of matplotlib."""
    from matplotlib.ticker import MaxNLocator

    (axis,) = found.axes
    places = list(axis.values)
    for panel, (title, unit, value), colour in zip(panels, _panels(found), (BLUE, GREEN, ORANGE), strict=True):
        panel.set(title=title, ylabel=unit, xlabel=axis.key)
        if all(value == int(value) for value in axis.values):
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        heights = [_number(value(point)) for point in found.points]
        panel.plot(places, heights, color=colour, marker="o", markersize=4.5, zorder=3)
        if "%" in unit:
            _limit(panel, *_room(_spread(found, value)))
        _mark_current(panel, axis, _number(value(found.current)), colour)
    panels[0].legend(loc="best")
    _references(panels[1], found, places)
    _leaks(panels[2], found, places)


def _mark_current(panel: Any, axis: Axis, height: float, colour: str) -> None:
    """The config's own value: a dashed line across, and a diamond where it meets the curve."""
    if axis.current is None:
        panel.axhline(height, color=GREY, linestyle="--", linewidth=1.2, zorder=2, label="your config (not set)")
        return
    panel.axvline(axis.current, color=GREY, linestyle="--", linewidth=1.2, zorder=2)
    label = f"your config: {axis.current:g}"
    panel.plot(
        [axis.current],
        [height],
        marker="D",
        markersize=8,
        color=colour,
        markeredgecolor="black",
        linestyle="none",
        zorder=4,
        label=label,
    )


def _references(panel: Any, found: Sweep, places: Sequence[float]) -> None:
    """How far the positives' reference scores are: margin + score, which is what the margins are measured from."""
    heights = [_number(None if p.score is None or p.margin is None else p.score + p.margin) for p in found.points]
    panel.plot(places, heights, color=PURPLE, linestyle=":", zorder=3, label="reference score of the same queries")
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.18 * (high - low))  # room for the legend
    panel.legend(loc="upper right", handles=[line for line in panel.lines if "reference" in line.get_label()])


def _leaks(panel: Any, found: Sweep, places: Sequence[float]) -> None:
    """The interval of the measured share, and the share that the model predicts."""
    if all(_leak(point) is None for point in found.points):
        return
    bounds = [(point.leak or {}).get("interval") or (None, None) for point in found.points]
    low, high = ([_number(_share(bound[side])) for bound in bounds] for side in (0, 1))
    panel.set(title="False negatives", ylabel="%")
    panel.lines[0].set_label("hidden positives taken, of those mined")
    band = panel.fill_between(places, low, high, color=ORANGE, alpha=0.18, linewidth=0, label="95% interval")
    risks = [_number(_share(point.risk)) for point in found.points]
    (predicted,) = panel.plot(
        places, risks, color=BLUE, linestyle="--", zorder=3, label="predicted, of the negatives taken"
    )
    top = max([0.5, *(v for v in (*high, *risks, _number(_leak(found.current))) if not math.isnan(v))])
    _limit(panel, -0.02 * top, 1.35 * top)
    panel.legend(loc="upper right", handles=[panel.lines[0], band, predicted])


def _maps(figure: Any, found: Sweep) -> None:
    import numpy as np

    down, across = found.axes
    panels = figure.subplots(1, 3)
    figure.suptitle(_title(found), x=0.008, ha="left", fontsize=10, color=GREY)
    shape = (len(down.values), len(across.values))
    for i, (panel, (title, unit, value)) in enumerate(zip(panels, _panels(found), strict=True)):
        cells = np.array([_number(value(point)) for point in found.points]).reshape(shape)
        least, most = _scale(_spread(found, value)) if "%" in unit else (None, None)
        image = panel.imshow(cells, cmap="cividis", aspect="auto", origin="lower", vmin=least, vmax=most)
        bar = figure.colorbar(image, ax=panel, shrink=0.9)
        bar.set_label(unit)
        bar.outline.set_visible(False)
        panel.grid(visible=False)
        panel.set(title=title, xlabel=across.key, ylabel=down.key if i == 0 else "")
        _ticks(panel.set_xticks, across.values)
        _ticks(panel.set_yticks, down.values)
        if cells.size <= _MOST_NUMBERS:
            _write_numbers(panel, cells, image)
        _frame_current(panel, down, across)


def _ticks(put: Any, values: Sequence[float]) -> None:
    """Values under their cells, not more than fit."""
    step = -(-len(values) // _MOST_TICKS)
    put(range(0, len(values), step), [f"{value:g}" for value in values[::step]])


def _write_numbers(panel: Any, cells: Any, image: Any) -> None:
    for (row, column), value in _cells(cells):
        dark = image.norm(value) < 0.5
        size = 9 if cells.shape[1] <= 7 else 7
        text = _short(value, image.norm.vmax)
        panel.text(column, row, text, ha="center", va="center", fontsize=size, color="white" if dark else "black")


def _cells(cells: Any) -> list[tuple[tuple[int, int], float]]:
    rows, columns = cells.shape
    return [((r, c), float(cells[r, c])) for r in range(rows) for c in range(columns) if not math.isnan(cells[r, c])]


def _short(value: float, most: float) -> str:
    """A number with as many digits after the point as fit beside the greatest."""
    return f"{value:.1f}" if most >= 10 else f"{value:.2f}"


def _frame_current(panel: Any, down: Axis, across: Axis) -> None:
    from matplotlib.patches import Rectangle

    if down.current in down.values and across.current in across.values:
        corner = (across.values.index(across.current) - 0.5, down.values.index(down.current) - 0.5)
        panel.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=ORANGE, linewidth=3, zorder=5, clip_on=False))


def _title(found: Sweep) -> str:
    counted = f"{found.queries:,} queries, {found.candidates:,} candidates"
    if found.queries < found.queries_of_run:
        counted = f"{found.queries:,} of {found.queries_of_run:,} queries, {found.candidates:,} candidates"
    if len(found.axes) == 1:
        return counted
    own = [f"{axis.key} = {'null' if axis.current is None else f'{axis.current:g}'}" for axis in found.axes]
    framed = all(axis.current in axis.values for axis in found.axes)
    return f"{counted}. Your config{' (framed)' if framed else ', which is not on the grid'}: {', '.join(own)}"


def _spread(found: Sweep, value: Callable[[Point], float | None]) -> list[float]:
    return [v for v in (value(point) for point in (*found.points, found.current)) if v is not None]


def _room(values: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis of percentages with some room, and so wide that small differences look small."""
    high = max(values, default=100.0)
    low, _ = _scale(values)
    gap = max(high - low, 1.0) * 0.08
    return low - gap, high + gap


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a scale of percentages: within 0 to 100, and so far apart that small differences look small."""
    high = max(values, default=100.0)
    low = max(min([high - 10, *values]), 0.0)
    return low, max(high, low + 1)


def _limit(panel: Any, low: float, high: float) -> None:
    """Limits of an axis of percentages, which has no marks above 100 or below 0."""
    from matplotlib.ticker import AutoLocator

    panel.set_ylim(low, high)
    panel.yaxis.set_major_locator(AutoLocator())
    panel.set_yticks([tick for tick in panel.get_yticks() if max(low, 0) <= tick <= min(high, 100)])


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
