"""What an executor is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from negmine.stages.base import Job, Stage, Task
from negmine.store.manifest import Receipt


class Executor(Protocol):
    """Runs tasks that do not depend on each other, anywhere and in any order."""

    def run(self, stage: Stage, tasks: Sequence[Task], job: Job) -> Iterator[tuple[Task, Receipt]]:
        """Yield each task with its receipt when it is done. The first failure ends the run;
        what was done before it stays done."""
