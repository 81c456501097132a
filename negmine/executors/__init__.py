"""Where the tasks of a stage run."""

from negmine.executors.base import Executor
from negmine.executors.local import LocalExecutor

__all__ = ["Executor", "LocalExecutor"]
