"""Disks that take nothing, or nothing more."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_run import STAGES, litter, negmine, stage_files

_CAP_DAC_OVERRIDE, _PR_CAPBSET_DROP = 1, 24


def assert_one_line(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command failed and said why in one line."""
    said = [
        line for line in ended.stderr.splitlines() if not line.startswith(("data:", *(f"{stage}:" for stage in STAGES)))
    ]
    assert ended.returncode not in (0, None)
    assert len(said) == 1, ended.stderr
    assert said[0].startswith("error: ")
    for word in words:
        assert word in said[0]


def like_any_user() -> None:
    """Let permissions hold for root too."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.fixture
def read_only(finished: Any) -> Iterator[Any]:
    finished.work.chmod(0o555)
    yield finished
    finished.work.chmod(0o755)


def test_a_read_only_folder_is_a_clear_error(read_only: Any) -> None:
    """The line names the folder; what was finished is as it was."""
    (read_only.work / ".lock").unlink(missing_ok=True)
    ended = negmine("run", "-c", read_only.file, "--set", "mine.k=12", preexec_fn=like_any_user)
    assert_one_line(ended, str(read_only.work), "Permission denied")
    assert read_only.files() == read_only.expected


def test_status_works_in_a_read_only_folder(read_only: Any) -> None:
    """Looking writes nothing that it needs."""
    looked = negmine("status", "-c", read_only.file, preexec_fn=like_any_user)
    assert looked.returncode == 0, looked.stderr


def limited(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(
    "size", [0, 3000, *(pytest.param(size, marks=pytest.mark.slow) for size in (1500, 4500, 9000))]
)
def test_files_that_may_not_grow_end_the_run_cleanly(finished: Any, size: int) -> None:
    """Whichever file hits the limit, it is named; the rerun without the limit completes."""
    shutil.rmtree(finished.work)
    finished.work.mkdir()
    assert_one_line(negmine("run", "-c", finished.file, preexec_fn=limited(size)), str(finished.work), "File too large")
    for stage in STAGES:
        assert stage_files(finished.work / stage) in ({}, finished.expected[stage])
    finished.run()
    assert finished.files() == finished.expected
    assert not litter(finished.work)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of so many kB."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: int) -> Path:
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("a file system of limited size can only be mounted by root")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


@pytest.mark.parametrize("size", [64, *(pytest.param(size, marks=pytest.mark.slow) for size in (40, 104))])
def test_a_full_disk_ends_the_run_cleanly(finished: Any, small_disk: Callable[[int], Path], size: int) -> None:
    """What was finished stays; with more room the run goes on to the same bytes."""
    place = small_disk(size)
    finished.work = place / "work"
    ended = negmine("run", "-c", finished.file, "--set", f"work_dir={finished.work}")
    assert_one_line(ended, str(place), "No space left on device")
    for stage in STAGES:
        assert stage_files(finished.work / stage) in ({}, finished.expected[stage])
    subprocess.run(["mount", "-o", "remount,size=10m", str(place)], check=True)
    finished.run()
    assert finished.files() == finished.expected
    assert not litter(finished.work)
