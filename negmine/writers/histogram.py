"""How the scores of positives, negatives and dropped candidates lie: counted, as a table, as a picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("positives", "negatives", "dropped")
FIGURE = "scores.png"
_BINS, _TABLE_BINS = 60, 20
# Of Okabe and Ito (2008), whose colours people with any colour vision tell apart.
_COLOURS = {"positives": "#009E73", "negatives": "#D55E00", "dropped": "#555555"}
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Histogram:
    """Scores counted in equal bins: ``edges`` (b + 1,) and, for each kind, counts (b,)."""

    edges: np.ndarray
    counts: Mapping[str, np.ndarray]

    @property
    def total(self) -> int:
        return int(sum(counts.sum() for counts in self.counts.values()))


def count_scores(every: Iterable[np.ndarray], by_kind: Iterable[tuple[str, np.ndarray]]) -> Histogram:
    """Counts finite scores, (kind, scores) by batches, in bins from the least to the greatest of ``every`` score."""
    low, high = np.inf, -np.inf
    for scores in every:
        if len(scores):
            low, high = min(low, float(scores.min())), max(high, float(scores.max()))
    if low > high:
        low, high = 0.0, 1.0
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = {kind: np.zeros(_BINS, np.int64) for kind in KINDS}
    edges = np.linspace(low, high, _BINS + 1)
    for kind, scores in by_kind:
        counts[kind] += np.histogram(scores, edges)[0]
    return Histogram(edges, counts)


def as_table(found: Histogram) -> list[str]:
    """The counts as lines of a Markdown table, from the highest scores down."""
    lines = [f"| score | {' | '.join(KINDS)} |", f"|---|{'---:|' * len(KINDS)}"]
    step = _BINS // _TABLE_BINS
    edges = found.edges[::step]
    columns = [found.counts[kind].reshape(_TABLE_BINS, step).sum(axis=1) for kind in KINDS]
    for row in reversed(range(_TABLE_BINS)):
        numbers = " | ".join(f"{column[row]:,}" for column in columns)
        lines.append(f"| {edges[row]:.3f} to {edges[row + 1]:.3f} | {numbers} |")
    return lines


def can_draw() -> bool:
    """Whether matplotlib (extra ``plot``) is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(found: Histogram, path: Path, score: str) -> None:
    """Write the picture as PNG, the same bytes every time; ``score`` says what the scores are."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        draw_scores(figure.subplots(), found, score)
        figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def draw_scores(panel: Any, found: Histogram, score: str) -> None:
    """Draw the counts into ``Axes`` of matplotlib, each kind in percent of its own."""
    for kind in reversed(KINDS):
        total = int(found.counts[kind].sum())
        if not total:
            continue
        heights = 100 * found.counts[kind] / total
        colour = _COLOURS[kind]
        panel.stairs(heights, found.edges, fill=True, color=colour, alpha=0.25, linewidth=0)
        panel.stairs(heights, found.edges, color=colour, linewidth=1.6, label=f"{kind} ({total:,})")
    panel.set(xlabel=score, ylabel="% of each kind", ylim=(0, None), xlim=(found.edges[0], found.edges[-1]))
    handles, labels = panel.get_legend_handles_labels()
    if handles:
        panel.legend(handles[::-1], labels[::-1], loc="best")
