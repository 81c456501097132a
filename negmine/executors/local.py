"""Tasks one after the other in this process; the libraries they call use all cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from negmine.stages.base import Job, Stage, Task
from negmine.store.manifest import Receipt


class LocalExecutor:
    """The plain loop."""

    def run(self, stage: Stage, tasks: Sequence[Task], job: Job) -> Iterator[tuple[Task, Receipt]]:
        if tasks and job.config.threads != "auto":
            limit_threads(job.config.threads)
        for task in tasks:
            yield task, job.execute(stage, task)


def limit_threads(threads: int) -> None:
    """Let the libraries of this process use so many threads. (Torch is told when a model loads.)"""
    import faiss
    import pyarrow as pa

    faiss.omp_set_num_threads(threads)
    pa.set_cpu_count(threads)
