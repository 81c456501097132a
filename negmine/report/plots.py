"""The plots of the page: drawn by matplotlib, coloured by the page's own variables."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from negmine.sweep import Sweep
from negmine.writers.histogram import KINDS, STYLE, Histogram, draw_scores

_SIZE = (4.8, 3.1)
"""In inches of 72 pixels: what fits on a phone without scaling the words down much."""
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_INK, _PLAIN = "#010203", "#040506"
_VARIABLES = {
    _INK: "var(--ink)",
    _PLAIN: "var(--muted)",
    "#000000": "var(--ink)",
    "#ffffff": "var(--surface)",
    "#e6e6e6": "var(--line)",
    "#555555": "var(--dropped)",
    "#0072b2": "var(--blue)",
    "#d55e00": "var(--kept)",
    "#009e73": "var(--positive)",
    "#cc79a7": "var(--purple)",
}
"""Colours that things are drawn in, and what stands for them on the page, light or dark."""
_OWN = {
    "svg.fonttype": "none",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.edgecolor": _PLAIN,
    "xtick.color": _PLAIN,
    "ytick.color": _PLAIN,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "font.size": 10,
    "legend.fontsize": 9,
    "legend.framealpha": 0.85,
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "legend.frameon": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


@dataclass(frozen=True)
class Plot:
    """An SVG element, and what it shows in a sentence for those who cannot see it."""

    svg: str
    text: str


def score_plot(found: Histogram, label: str, ranges: Mapping[str, Any]) -> Plot:
    """The scores of positives, negatives and dropped candidates."""
    text = "; ".join(
        f"{kind}: {each.count:,}, from {each.least:.3f} to {each.greatest:.3f}, mean {each.mean:.3f}"
        for kind in KINDS
        if (each := ranges[kind]).count
    )
    with _Panels("scores", 1) as panels:
        draw_scores(panels.axes[0], found, label)
    return panels.plots([f"Histogram of scores. {text}."])[0]


def margin_plot(summary: Mapping[str, Any]) -> Plot:
    """How far the negatives are below their reference."""
    with _Panels("margins", 1) as panels:
        (panel,) = panels.axes
        edges, counts = summary["histogram"]["edges"], summary["histogram"]["counts"]
        total = sum(counts)
        heights = [100 * count / total for count in counts]
        panel.stairs(heights, edges, fill=True, color="#D55E00", alpha=0.25, linewidth=0)
        panel.stairs(heights, edges, color="#D55E00", linewidth=1.6)
        panel.axvline(0, color=_PLAIN, linestyle="--", linewidth=1.2, label="as close as the positive")
        panel.set(xlabel="reference score - score", ylabel="% of the negatives", ylim=(0, 1.2 * max(heights)))
        panel.legend(loc="upper left")
    named = ("min", "lower_quartile", "median", "upper_quartile", "max")
    quartiles = ", ".join(f"{name.replace('_', ' ')} {summary[name]:.3f}" for name in named)
    return panels.plots([f"Histogram of the margins of the negatives below their reference score: {quartiles}."])[0]


def sweep_plots(found: Sweep) -> list[Plot]:
    """Yield, hardness and false negatives over the values of the swept key."""
    from negmine.sweep.figure import draw_curves

    with _Panels("sweep", 3) as panels:
        draw_curves(panels.axes, found)
    key = found.axes[0].key
    return panels.plots(
        [f"{panel.get_title(loc='left')} over {key}; the table has the numbers." for panel in panels.axes]
    )


class _Panels:
    """Figures of one panel each, made with this page's style."""

    def __init__(self, name: str, count: int) -> None:
        self._name, self._count, self._stack = name, count, ExitStack()

    def __enter__(self) -> _Panels:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        from negmine.figures import STYLE as OF_FIGURES

        self._style = {**STYLE, **OF_FIGURES, **_OWN}
        self._stack.enter_context(rc_context(self._style))
        self._figures = [Figure(figsize=_SIZE, layout="constrained") for _ in range(self._count)]
        self.axes: list[Any] = [figure.subplots() for figure in self._figures]
        self._files: list[str] = []
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            for figure in self._figures:
                file = io.StringIO()
                figure.savefig(file, format="svg", metadata={"Date": None})
                self._files.append(file.getvalue())
        self._stack.close()

    def plots(self, texts: Iterable[str]) -> list[Plot]:
        """The figures with a sentence each."""
        pairs = zip(self._files, texts, strict=True)
        return [Plot(_inline(svg, f"{self._name}{i}", text), text) for i, (svg, text) in enumerate(pairs)]


def _inline(svg: str, name: str, text: str) -> str:
    """A figure as an element of the page: with names of its own, its colours by variables, a text alternative."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(svg)
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
        for key, value in list(parent.attrib.items()):
            parent.set(key, _attribute(key, value, name))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title")
    title = ElementTree.Element(f"{{{_SVG}}}title", {"id": f"{name}-title"})
    title.text = text
    root.insert(0, title)
    return ElementTree.tostring(root, "unicode")


def _attribute(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == f"{{{_XLINK}}}href":
        return value.replace("#", f"#{name}-", 1)
    value = re.sub(r"url\(#", f"url(#{name}-", value)
    value = re.sub(r" font-family: [^;]*;", "", value)  # the page's own
    return re.sub(r"#[0-9a-fA-F]{6}\b", lambda found: _VARIABLES.get(found[0].lower(), found[0]), value)
