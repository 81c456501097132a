"""SIGKILL at any moment costs the task in progress and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Campaign


def test_three_kills_change_no_byte(tmp_path: Path) -> None:
    """Killed at three seeded moments, runs end with the bytes of an uninterrupted one."""
    outcome = Campaign(tmp_path, seed=7, status_every=3).run(3)
    assert outcome.kills == 3


@pytest.mark.slow
def test_three_hundred_kills_change_no_byte(tmp_path: Path) -> None:
    """The same for longer; `python tests/crash/harness.py --kills 1000` for as long as you like."""
    outcome = Campaign(tmp_path, seed=11, status_every=3).run(300)
    assert outcome.kills == 300
