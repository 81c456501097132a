"""mine: for every query its candidates, scored, and score and rank of its positives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from negmine import schemas
from negmine.config import Config
from negmine.errors import ConfigError
from negmine.readers.lines import check_file
from negmine.stages import lexical, searching
from negmine.stages.base import Job, Stage, Task, ranges
from negmine.stages.mine.part import Miner, positives_file
from negmine.stages.mine.runs import read_runs, run_files
from negmine.store.digests import DigestCache
from negmine.store.manifest import Manifest
from negmine.store.tables import TableWriter, iter_batches


class MineStage(Stage):
    """Run files, and how well the search finds; then parts of ``mine.part_queries`` queries; then what they say
    of the positives becomes one file."""

    name = "mine"
    unit = "queries"
    keys = ("mine.k", "mine.fusion", "mine.quotas", "mine.part_queries")
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ingest": ("corpus", "queries", "positives", "excluded", "negatives"),
        "embed": ("queries",),
        "index": ("all",),
    }

    def keys_used(self, config: Config) -> tuple[str, ...]:
        return (*self.keys, "index.search_params") if config.index.dense not in ("exact", "auto") else self.keys

    def inputs(self, config: Config) -> Mapping[str, Path]:
        files = run_files(config)
        for key, path in files.items():
            check_file(path, key)
        return files

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        # By content, not by path: a run file that is moved is the same.
        entries = [run if isinstance(run, str) else run.model_dump(exclude={"run"}) for run in config.mine.retrievers]
        skips = {"on_bad_row": config.data.on_bad_row} if config.mine.runs else {}
        return {"setting": {"mine.retrievers": {"entries": entries, **skips}}}

    def decided(self, config: Config, upstream: Mapping[str, Manifest]) -> Mapping[str, Mapping[str, Any]]:
        if not config.mine.dense or upstream["index"].facts["search"]["method"] == "exact":
            return {}
        target = config.index.recall_target
        return {"search": {"index.recall_target": target, "seed": None if target is None else config.seed}}

    def check(self, config: Config, counts: Mapping[str, Any] | None) -> None:
        lexical.check(config)
        asked = "k" in config.mine.model_fields_set
        if counts is not None and asked and config.mine.k > counts["passages"]:
            raise ConfigError(
                f"it is {config.mine.k} but the corpus has {counts['passages']} distinct passages",
                where="mine.k",
                hint=f"Set mine.k to at most {max(counts['passages'] - counts['most_positives'], 1)}.",
            )

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        queries = job.manifest("ingest").counts["distinct_queries"]
        parts = ranges(queries, job.config.mine.part_queries, "part")
        first = []
        if job.config.mine.dense and searching.is_measured(job):
            first.append(Task("recall", {}, 0))
        if job.config.mine.runs:
            first.append(Task("runs", {}, 0))
        if first:
            yield first
        yield parts
        yield [Task("positives", {"parts": [positives_file(task) for task in parts]}, 0)]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        if task.name == "recall":
            searching.certify(job)
            return {}
        if task.name == "runs":
            return read_runs(job)
        return _join_positives(task, job) if task.name == "positives" else Miner(job).part(task)


def _join_positives(task: Task, job: Job) -> Mapping[str, int]:
    with job.publish("positives.parquet") as output, TableWriter(output.path, schemas.POSITIVE_SCORES) as writer:
        for path in task.args["parts"]:
            for batch in iter_batches(job.own(path), schemas.POSITIVE_SCORES.names):
                writer.write({name: batch[name] for name in schemas.POSITIVE_SCORES.names})
        output.rows = writer.rows
    return {"positives": writer.rows}
