"""A finished run with planted truth."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from planted import config_of, make_run

from negmine.config import Config

SMALL = {"seeds": 2, "steps": 12, "checkpoints": 2, "batch_size": 16, "learning_rates": [0.01]}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is not written to."""
    folder = tmp_path_factory.mktemp("planted")
    make_run(folder, queries=180)
    return folder


@pytest.fixture
def config(finished: Path, tmp_path: Path) -> Config:
    """A copy of it, to be evaluated with few steps."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    return config_of(folder, evaluate=SMALL)
