"""Finished runs, and their pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_run import config, make

import negmine
from negmine.report.plots import Plot


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run; tests that change it copy it."""
    found = make(tmp_path_factory.mktemp("report"))
    negmine.run(config(found))
    return found


@pytest.fixture(scope="session")
def page(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    return negmine.write_report(config(folder), path).path


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without plots, which take the most time of a small page."""
    plot = Plot("<svg></svg>", "")
    monkeypatch.setattr("negmine.report.page.score_plot", lambda *_: plot)
    monkeypatch.setattr("negmine.report.page.margin_plot", lambda *_: plot)
    monkeypatch.setattr("negmine.report.page.sweep_plots", lambda *_: [plot] * 3)


@pytest.fixture(scope="session")
def data_of() -> Callable[[Path], dict[str, Any]]:
    """What the table of a page is made from."""

    def read(path: Path) -> dict[str, Any]:
        found = re.search(
            r'<script type="application/json" id="run-data">(.*?)</script>', path.read_text("utf-8"), re.S
        )
        assert found
        return dict(json.loads(found[1]))

    return read
