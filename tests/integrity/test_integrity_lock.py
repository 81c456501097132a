"""One writer per run; readers are never in the way."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_run import STAGES, command, environment, negmine

DRIVER = Path(__file__).parents[1] / "crash" / "slow_negmine.py"


@pytest.fixture
def running(finished: Any) -> Iterator[subprocess.Popen[str]]:
    """A run of the finished run's config, with another depth, that has not ended yet."""
    words = command("run", "-c", finished.file, "--set", "mine.k=12", driver=DRIVER)
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment(NEGMINE_PAUSE="2")
    )
    limit = time.monotonic() + 60
    while not list(finished.work.glob(".pending/mine-*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.01)
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused(finished: Any, running: subprocess.Popen[str]) -> None:
    """Exit code 6, and who holds the run since when."""
    second = negmine("run", "-c", finished.file)
    assert second.returncode == 6
    assert f"process {running.pid} on " in second.stderr
    assert "since 20" in second.stderr
    assert len(second.stderr.splitlines()) == 1


@pytest.mark.parametrize("word", ["status", "plan"])
def test_looking_at_a_run_works_while_it_runs(finished: Any, running: subprocess.Popen[str], word: str) -> None:
    """status and plan take no lock."""
    looked = negmine(word, "--json", "-c", finished.file, "--set", "mine.k=12")
    assert running.poll() is None
    assert looked.returncode == 0, looked.stderr
    assert {entry["stage"] for entry in json.loads(looked.stdout)["stages"]} == set(STAGES)


def test_the_lock_of_a_killed_process_is_taken_over(finished: Any, running: subprocess.Popen[str]) -> None:
    """Nothing has to be removed by hand."""
    running.kill()
    running.wait()
    assert negmine("run", "-c", finished.file).returncode == 0
    assert finished.files() == finished.expected


def test_cleaning_is_refused_during_a_run(finished: Any, running: subprocess.Popen[str]) -> None:
    """clean deletes, so it needs the lock."""
    assert negmine("clean", "-c", finished.file).returncode == 6
    assert running.poll() is None
