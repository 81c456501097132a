"""Writing the report of a run to a file."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from negmine.config import Config
from negmine.errors import MissingDependencyError, UsageError
from negmine.remote.stores import Tell, is_url
from negmine.report.collecting import collected
from negmine.store.files import replacing

if TYPE_CHECKING:
    from negmine.report.collecting import Collected

NAME = "report.html"
_SUFFIXES = (".html", ".htm")
_NEEDED = ("jinja2", "matplotlib")


@dataclass(frozen=True)
class Report:
    """A written report: where, how large, how many of the run's queries are in its table, the ``stages`` with their
    states, and the parts that are missing, each with why."""

    path: Path
    bytes: int
    queries: int
    queries_of_run: int
    stages: dict[str, str]
    missing: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "report": str(self.path),
            "bytes": self.bytes,
            "queries": self.queries,
            "queries_of_run": self.queries_of_run,
            "stages": self.stages,
            "missing": self.missing,
        }


def write_report(
    config: Config, output: str | Path | None = None, *, queries: int | None = None, tell: Tell = lambda text: None
) -> Report:
    """Write one HTML page about a run, which needs no other file and no network.

    ``output``: by default ``report.html`` in the work_dir, or in the current folder when the work_dir is a URL.
    ``queries``: how many are drawn for the table; None for 1,000, or as many as fit into a page of 5 MB.
    ``tell`` is told what goes on. Raises UsageError for a place that cannot be written to, MissingDependencyError
    without the extra ``report``, ArtifactError when no stage has finished.
    """
    path = report_path(config, output)
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise MissingDependencyError(
            f"a report needs {' and '.join(_NEEDED)}, which are not both installed",
            hint="Run: pip install 'negmine[report]'",
        )
    from negmine.report.page import render

    found = collected(config, queries, tell)
    page = render(found)
    with replacing(path) as temporary:
        temporary.write_text(page, "utf-8")
    return Report(
        path=path,
        bytes=path.stat().st_size,
        queries=len(found.queries.value.queries) if found.queries.value else 0,
        queries_of_run=found.total_queries,
        stages=dict(found.stages),
        missing=_missing(found),
    )


def report_path(config: Config, output: str | Path | None) -> Path:
    """Where a report is written to. Raises UsageError where that is not possible."""
    if output is None:
        folder = Path() if is_url(config.work_dir) else Path(config.work_dir)
        if not is_url(config.work_dir) and not folder.is_dir():
            raise UsageError(f"there is no run in {folder}", hint="Run: negmine run -c CONFIG")
        return (folder / NAME).absolute()
    if is_url(str(output)):
        raise UsageError(f"{output}: a report is written to a file of this machine", hint="Give a path, then copy it.")
    path = Path(output)
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{path}: the name of a report ends with {' or '.join(_SUFFIXES)}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        what = "this is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UsageError(f"{path}: {what}", hint="Give the name of a file in a folder that is there.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise UsageError(f"{path}: files cannot be written to {path.parent}")
    return path.absolute()


def _missing(found: Collected) -> dict[str, str]:
    names = ("data", "verdicts", "pairs", "scores", "sweep", "hubs", "shortage", "recall", "queries")
    return {name: gap for name in names if (gap := getattr(found, name).gap)}
