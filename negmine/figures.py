"""How figures of the command line look, and how they are written. They need the extra ``plot``."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from negmine.errors import MissingDependencyError, UsageError
from negmine.store.files import replacing

SUFFIXES = (".png", ".svg")
# Of Okabe and Ito (2008), whose colours people with any colour vision tell apart.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#555555"
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.9,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "negmine",  # ids in an SVG are the same every time
}


def check_figure(path: Path) -> None:
    """Refuse early what cannot be drawn or written. Raises UsageError or MissingDependencyError."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {path}: a figure's name ends with {' or '.join(SUFFIXES)}")
    folder = path.parent
    if path.is_dir() or not folder.is_dir():
        raise UsageError(f"--plot {path}: {'this is a folder' if path.is_dir() else f'there is no folder {folder}'}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--plot {path}: files cannot be written to {folder}")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "--plot needs matplotlib, which is not installed", hint="Run: pip install 'negmine[plot]'"
        )


@contextlib.contextmanager
def drawn_to(path: Path, size: tuple[float, float] = (12.6, 4.4)) -> Iterator[Any]:
    """An empty figure of matplotlib in the tool's style (inches), which is written as its name says."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        kind = path.suffix.lower().removeprefix(".")
        with replacing(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
