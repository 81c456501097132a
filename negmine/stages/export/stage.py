"""The tasks of export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from negmine.config import Config
from negmine.stages.account import reranker_name
from negmine.stages.base import Job, Stage, Task
from negmine.stages.export.describing import model_name, write_card
from negmine.stages.export.provenance import write_provenance
from negmine.stages.export.splitting import write_split
from negmine.stages.export.targets import splits, target
from negmine.stages.export.writing import write_lookups, write_rows
from negmine.store.digests import DigestCache
from negmine.writers import FORMATS


class ExportStage(Stage):
    """Where queries are held out, a task that says which. Then one per file of rows and split, one for the texts of
    an export that has them apart, one for the provenance of all rows; last the dataset card."""

    name = "export"
    unit = "queries"
    keys = (
        "export",
        "split",
        "seed",
        "filter",
        "pairs",
        "mine.k",
        # The card names them.
        *(f"judge.{key}" for key in ("endpoint.model", "strong.model", "action", "depth", "max_relevant")),
    )
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ingest": ("corpus", "queries", "positives", "excluded", "passage_texts"),
        "mine": ("all",),
        "rerank": ("all",),
        "filter": ("all",),
        "judge": ("all",),
    }

    def keys_used(self, config: Config) -> tuple[str, ...]:
        return tuple(key for key in self.keys if key != "seed" or config.split is not None)

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        reranker = {} if config.rerank is None else {"reranker": reranker_name(config)}
        return {"card": {"model": model_name(config), **reranker}}

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        if job.config.split is not None:
            yield [Task("split", {}, 0)]
        queries = job.manifest("ingest").counts["distinct_queries"]
        yield [*file_tasks(job.config, queries), Task("provenance", {}, queries)]
        yield [Task("card", {}, 0)]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        if task.name == "split":
            return write_split(job)
        if task.name == "provenance":
            return write_provenance(job)
        if task.name == "card":
            return write_card(job)
        chosen = target(job, task.args["export"])
        return write_lookups(job, chosen) if "split" not in task.args else write_rows(job, chosen, task.args["split"])


def file_tasks(config: Config, queries: int) -> Iterator[Task]:
    """A task per export and split, and one more per export that has its texts in files of their own."""
    for number, export in enumerate(config.export):
        for split in splits(config):
            name = f"file-{number}" if split is None else f"file-{number}-{split}"
            yield Task(name, {"export": number, "split": split}, queries)
        if FORMATS[export.format].lookups:
            yield Task(f"file-{number}-texts", {"export": number}, 0)
