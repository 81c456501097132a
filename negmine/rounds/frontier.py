"""A tuning as a figure: what settings gain, against how risky and how hard their negatives are. Needs ``plot``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from negmine.figures import BLUE, GREEN, GREY, ORANGE, drawn_to
from negmine.rounds.tuning import Tried, Tuning

_AXES: tuple[tuple[str, Callable[[Tried], float | None]], ...] = (
    ("estimated false negatives, % of the negatives (mean risk)", lambda of: _share(of.difficulty.risk)),
    ("hardness: mean margin below the positive (left is harder)", lambda of: of.difficulty.margin),
)


def draw(found: Tuning, path: Path) -> None:
    """Write the figure as its name says: .png or .svg."""
    with drawn_to(path, (11.0, 4.6)) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        kept = "the default is kept" if found.chosen is None else f"chosen: {found.chosen.name}"
        figure.suptitle(
            f"{len(found.tried)} settings, {found.trials} trials on {found.queries['dev']:,} dev queries; {kept}",
            x=0.008, ha="left", fontsize=10, color=GREY,
        )  # fmt: skip
        for panel, (label, value) in zip(panels, _AXES, strict=True):
            _panel(panel, found, label, value)
        panels[0].set_ylabel("nDCG@10 on dev over in-batch negatives only")
        panels[0].legend(loc="best")


def _panel(panel: Any, found: Tuning, label: str, value: Callable[[Tried], float | None]) -> None:
    panel.set_xlabel(label)
    panel.axhline(0, color=GREY, linewidth=1)
    most = max(each.seeds for each in found.tried)
    for seeds in sorted({each.seeds for each in found.tried}):
        points = [(value(of), of.uplift) for of in found.tried if of.seeds == seeds and value(of) is not None]
        name = f"{seeds} seed{'s' if seeds > 1 else ''}"
        panel.scatter(*zip(*points, strict=True), s=14 + 50 * seeds / most, color=BLUE, alpha=0.2 + 0.7 * seeds / most,
                      label=name, zorder=2) if points else None  # fmt: skip
    marks = [(found.default, ORANGE, "D", "your config")]
    if found.chosen is not None:
        marks.append((found.chosen, GREEN, "*", "chosen"))
    for of, colour, marker, name in marks:
        if value(of) is not None:
            panel.scatter([value(of)], [of.uplift], s=130, color=colour, marker=marker, label=name, zorder=4,
                          edgecolor="white")  # fmt: skip


def _share(value: float | None) -> float | None:
    return None if value is None else 100 * value
