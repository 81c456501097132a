"""An executor that is interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from negmine.executors import LocalExecutor
from negmine.stages.base import Job, Stage, Task
from negmine.store.manifest import Receipt


class Stopping(LocalExecutor):
    """Stops, as Ctrl-C does, when so many tasks of a stage are done."""

    def __init__(self, stage: str, after: int) -> None:
        self.stage, self.left = stage, after

    def run(self, stage: Stage, tasks: Sequence[Task], job: Job) -> Iterator[tuple[Task, Receipt]]:
        for done in super().run(stage, tasks, job):
            yield done
            if stage.name == self.stage:
                self.left -= 1
                if not self.left:
                    raise KeyboardInterrupt
