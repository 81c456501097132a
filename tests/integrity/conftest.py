"""One small finished run, copied for every test that wants to break it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from small_run import make_run, run_files
from stopping import Stopping

from negmine.config import Config, load_config
from negmine.pipeline import RunResult, run


@dataclass
class Finished:
    """A finished run to do things to."""

    file: Path
    work: Path
    expected: dict[str, dict[str, Any]]

    def config(self, *overrides: str) -> Config:
        return load_config(self.file, [f"work_dir={self.work}", *overrides])

    def run(self, **named: Any) -> RunResult:
        return run(self.config(), **named)

    def run_with(self, *overrides: str, **named: Any) -> RunResult:
        return run(self.config(*overrides), **named)

    def tasks_run(self, **named: Any) -> dict[str, int]:
        return {result.stage: result.tasks_run for result in self.run(**named).stages}

    def files(self) -> dict[str, dict[str, Any]]:
        return run_files(self.work)

    def part(self, path: str) -> Path:
        return self.work / path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("template")
    file = make_run(folder, passages=60, queries=16, part_rows=20, part_queries=4)
    run(load_config(file))
    return Finished(file, folder / "work", run_files(folder / "work"))


@pytest.fixture
def finished(template: Finished, tmp_path: Path) -> Finished:
    """A run that is done, with data of its own."""
    shutil.copytree(template.file.parent, tmp_path / "run")
    return Finished(tmp_path / "run" / template.file.name, tmp_path / "run" / "work", template.expected)


@pytest.fixture
def stopped(finished: Finished) -> Callable[[str, int], Path]:
    """Begin the run anew and stop in a stage after so many tasks; the folder of its work in progress."""

    def stop(stage: str, after: int) -> Path:
        shutil.rmtree(finished.work)
        with pytest.raises(KeyboardInterrupt):
            finished.run(executor=Stopping(stage, after))
        return next(finished.work.glob(f".pending/{stage}-*"))

    return stop
