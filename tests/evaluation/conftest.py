"""A finished run with planted truth."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import make_run

from negmine.config import Config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A small run to be evaluated with few steps."""
    return make_run(tmp_path, queries=180, evaluate={"seeds": 2, "steps": 12, "checkpoints": 2, "batch_size": 16})
