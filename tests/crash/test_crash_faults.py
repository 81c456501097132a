"""The file system fails at any one call: the run ends with that error, the next one completes."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_run import litter, make_run, run_files

from negmine.config import Config, load_config
from negmine.pipeline import run
from negmine.store.tables import TableWriter

CALLS: dict[str, tuple[Any, str]] = {
    "replace": (os, "replace"),
    "rename": (os, "rename"),
    "fsync": (os, "fsync"),
    "write": (TableWriter, "write_table"),
}


class Failing:
    """Counts calls of a function and fails at the n-th."""

    def __init__(self, real: Callable[..., Any], at: int) -> None:
        self.real, self.at, self.calls = real, at, 0

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.calls += 1
        if self.calls == self.at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self.real(*args, **named)

    def __get__(self, instance: Any, owner: Any) -> Callable[..., Any]:
        return lambda *args, **named: self(instance, *args, **named)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("faults"), passages=24, queries=8, part_rows=12, part_queries=4)


@pytest.fixture(scope="module")
def expected(data: Path) -> dict[str, Any]:
    run(load_config(data))
    return run_files(data.parent / "work")


def configured(data: Path, work: Path) -> Config:
    return load_config(data, [f"work_dir={work}"])


def fails(config: Config, call: str, at: int) -> bool:
    """Run with the n-th call failing; whether the run ended with that error."""
    owner, name = CALLS[call]
    with pytest.MonkeyPatch.context() as patch:
        failing = Failing(getattr(owner, name), at)
        patch.setattr(owner, name, failing)
        try:
            run(config)
        except OSError as error:
            assert error.errno == errno.EIO  # noqa: PT017  whether there is one is what is asked
            return True
        return failing.calls >= at


@pytest.mark.parametrize(
    ("call", "step"),
    [
        ("replace", 7),
        ("rename", 2),
        ("fsync", 11),
        ("write", 5),
        pytest.param("replace", 1, marks=pytest.mark.slow),
        pytest.param("rename", 1, marks=pytest.mark.slow),
        pytest.param("fsync", 1, marks=pytest.mark.slow),
        pytest.param("write", 1, marks=pytest.mark.slow),
    ],
)
def test_a_run_completes_after_any_single_failure(
    data: Path, expected: dict[str, Any], tmp_path: Path, call: str, step: int
) -> None:
    """For every (``step``-th) call from the first to the last: fail there, run again, have the same bytes."""
    at = 1
    while fails(config := configured(data, tmp_path / str(at)), call, at):
        run(config)
        assert run_files(Path(config.work_dir)) == expected, f"{call} {at}"
        assert not litter(Path(config.work_dir)), f"{call} {at}"
        at += step
    assert at > 6


@pytest.mark.parametrize(
    ("call", "step"),
    [
        ("rename", 3),
        pytest.param("rename", 1, marks=pytest.mark.slow),
        pytest.param("replace", 1, marks=pytest.mark.slow),
    ],
)
def test_replacing_a_finished_run_survives_any_single_failure(
    data: Path, expected: dict[str, Any], tmp_path: Path, call: str, step: int
) -> None:
    """The same where every stage takes the place of an older one that holds a file of the user's."""
    other = make_run(tmp_path / "other", seed=3, passages=24, queries=8, part_rows=12, part_queries=4)
    run(load_config(other))
    (other.parent / "work" / "export" / "notes.txt").write_text("mine")
    at = 1
    while True:
        work = tmp_path / str(at)
        shutil.copytree(other.parent / "work", work)
        config = configured(data, work)
        if not fails(config, call, at):
            break
        run(config)
        found = run_files(work)
        assert found["export"].pop("notes.txt", None), f"{call} {at}"
        assert found == expected, f"{call} {at}"
        assert not litter(work), f"{call} {at}"
        at += step
    assert at > 6


SOME = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ROWS = st.lists(st.tuples(st.sampled_from(list(CALLS)), st.integers(1, 40)), min_size=1, max_size=6)


@SOME
@given(failures=ROWS)
def test_a_run_completes_after_any_row_of_failures(
    data: Path, expected: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, failures: list[tuple[str, int]]
) -> None:
    """Failures of all kinds one after the other, each in the rerun after the one before."""
    _assert_it_completes(data, expected, tmp_path_factory.mktemp("row") / "work", failures)


@pytest.mark.slow
@settings(SOME, max_examples=40)
@given(failures=ROWS)
def test_a_run_completes_after_many_more_rows_of_failures(
    data: Path, expected: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, failures: list[tuple[str, int]]
) -> None:
    _assert_it_completes(data, expected, tmp_path_factory.mktemp("row") / "work", failures)


def _assert_it_completes(data: Path, expected: dict[str, Any], work: Path, failures: list[tuple[str, int]]) -> None:
    config = configured(data, work)
    for call, at in failures:
        fails(config, call, at)
    run(config)
    assert run_files(Path(config.work_dir)) == expected
    assert not litter(Path(config.work_dir))
