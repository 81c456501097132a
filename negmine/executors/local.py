"""Tasks one after the other in this process; the libraries they call use all cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from negmine.stages.base import Job, Stage, Task
from negmine.store.manifest import Receipt


class LocalExecutor:
    """The plain loop."""

    def run(self, stage: Stage, tasks: Sequence[Task], job: Job) -> Iterator[tuple[Task, Receipt]]:
        for task in tasks:
            yield task, job.execute(stage, task)
