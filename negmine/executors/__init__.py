"""Where the tasks of a stage run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from negmine.config import Config
from negmine.executors.base import Executor
from negmine.executors.local import LocalExecutor
from negmine.executors.ray import RayExecutor
from negmine.executors.worker import Lease

__all__ = ["Executor", "LocalExecutor", "RayExecutor", "engine"]


@contextlib.contextmanager
def engine(config: Config) -> Iterator[Executor]:
    """The executor that ``config.engine`` asks for, until the block ends.

    Workers that a killed run may have left publish nothing from then on.

    Raises MissingDependencyError when it needs a package that is not installed.
    """
    shutil.rmtree(Lease.folder(Path(config.work_dir)), ignore_errors=True)
    if config.engine.kind == "local":
        yield LocalExecutor()
        return
    executor = RayExecutor(config)
    try:
        yield executor
    finally:
        executor.close()
