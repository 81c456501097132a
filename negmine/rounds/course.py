"""A loop as a figure: dev by round, and what the negatives of each round are like. Needs the extra ``plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from negmine.evaluation.metrics import MAIN, METRICS
from negmine.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, drawn_to
from negmine.rounds.looping import Looped, Mined, Round


def draw(found: Looped, path: Path) -> None:
    """Write the figure as its name says: .png or .svg."""
    from matplotlib.ticker import MaxNLocator

    rounds = found.rounds
    with drawn_to(path, (11.0, 4.2)) as figure:
        figure.suptitle(f"{len(rounds) - 1} rounds; {found.stopped}; best: round {found.best}", x=0.008, ha="left",
                        fontsize=10, color=GREY)  # fmt: skip
        dev, negatives = figure.subplots(1, 2)
        for name, colour in zip(METRICS, (BLUE, GREEN, GREY), strict=True):
            dev.plot([each.number for each in rounds], [each.dev[name] for each in rounds], marker="o", color=colour,
                     label=name)  # fmt: skip
        best = rounds[found.best]
        dev.plot([best.number], [best.dev[METRICS[MAIN]]], marker="*", markersize=15, color=ORANGE, linestyle="none",
                 label="best", zorder=4)  # fmt: skip
        dev.set(title="The models on dev", xlabel="round")
        negatives.set(title="The negatives that each of them mined", xlabel="round")
        for label, colour, value in (
            ("mean margin", BLUE, lambda of: of.margin),
            ("mean risk", ORANGE, lambda of: of.risk),
            ("churn", PURPLE, lambda of: of.churn),
        ):
            _line(negatives, rounds, label, colour, value)
        for panel in (dev, negatives):
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.set_xlim(-0.2, len(rounds) - 0.8)
            panel.legend(loc="best")


def _line(panel: Any, rounds: tuple[Round, ...], label: str, colour: str, value: Any) -> None:
    mined: list[tuple[int, Mined]] = [(each.number, each.mined) for each in rounds if each.mined is not None]
    points = [(number, value(of)) for number, of in mined if value(of) is not None]
    if points:
        panel.plot(*zip(*points, strict=True), marker="o", color=colour, label=label)
