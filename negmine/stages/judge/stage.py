"""judge: a last look at the hardest survivors, by a language model or by people.

One task asks, for all queries; its answers are kept one by one outside the stage, so that neither a kill nor another
filter asks twice. The tasks after it make the verdicts of what was said: they depend on the answers alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.config import Config
from negmine.scoring.judge_prompts import shipped_prompt
from negmine.selection.judging import Walk
from negmine.stages.base import Job, Stage, Task
from negmine.stages.judge.applying import HELD_OUT, JUDGED, apply
from negmine.stages.judge.block import Block, Group
from negmine.stages.judge.judges import Judges, Said
from negmine.stages.judge.report import counted, report
from negmine.stages.judge.setup import JUDGEMENTS, NAMES, ROLES, judge_section, open_chat, prompt_files, prompts_of
from negmine.stages.judge.walking import judged_blocks, judgement
from negmine.stages.texts import queries_of
from negmine.store.digests import DigestCache
from negmine.store.files import read_json, write_json
from negmine.store.tables import TableWriter
from negmine.text import text_digest

_COUNTS = "counts.json"
_MODEL_KEYS = ("model", "revision", "temperature")


class JudgeStage(Stage):
    """First all that is asked, then a task per part of filter, then the report."""

    name = "judge"
    unit = "queries"
    keys = (
        *(f"judge.{name}.{key}" for name in NAMES for key in _MODEL_KEYS),
        "judge.action",
        "judge.depth",
        "judge.max_relevant",
        "filter.num_negatives",
        "filter.near_duplicates.jaccard",
        "filter.random_share",
        "filter.on_shortage",
        "filter.max_reuse",
    )
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ingest": ("corpus", "queries", "passage_texts", "query_texts"),
        "mine": ("all",),
        "filter": ("all",),
    }

    def wanted(self, config: Config) -> bool:
        return config.judge is not None

    def inputs(self, config: Config) -> Mapping[str, Path]:
        return prompt_files(config)

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        people = Path(config.work_dir) / JUDGEMENTS
        judge = judge_section(config)
        shipped = [role for role in ROLES if judge.judges and getattr(judge.prompts, role) is None]
        return {
            "shipped": {f"{role} prompt": text_digest(shipped_prompt(role)).hex() for role in shipped},
            "people's": {"judgements": digests.digest(people)} if people.is_file() else {},
        }

    def check(self, config: Config, counts: Mapping[str, Any] | None) -> None:
        judge = judge_section(config)
        if counts is not None:
            return
        prompts_of(config)
        done = (Path(config.work_dir) / "judge" / "manifest.json").exists()
        for name, model in zip(NAMES, judge.judges, strict=False):
            if not done:
                open_chat(model, f"judge.{name}", judge.response_format).close()  # a key that is missing is told now

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        queries = job.manifest("ingest").counts["distinct_queries"]
        yield [Task("asking", {}, queries)]
        size = job.manifest("mine").made_from["config"]["mine.part_queries"]
        names = sorted(part.path for part in job.manifest("filter").parts if part.path.startswith("part-"))
        bounds = [(number * size, min((number + 1) * size, queries)) for number in range(len(names))]
        yield [
            Task(name.removesuffix(".parquet"), {"part": name, "start": low, "stop": high}, 0)
            for name, (low, high) in zip(names, bounds, strict=True)
        ]
        yield [Task("report", {"parts": names}, 0)]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        if task.name == "asking":
            return _asked(job)
        if task.name == "report":
            return report(job, task.args["parts"], read_json(job.own(_COUNTS)))
        return apply(job, task.args["part"], task.args["start"], task.args["stop"])


def _asked(job: Job) -> Mapping[str, int]:
    """Ask all that has to be asked; publish what became of every candidate that was looked at."""
    counts: Counter[str] = Counter()
    promote = judge_section(job.config).action == "promote"
    with (
        Judges(job.config, job.work.root) as judges,
        job.publish(JUDGED) as output,
        TableWriter(output.path, schemas.JUDGED) as judged,
        job.publish(HELD_OUT) as held,
        TableWriter(held.path, schemas.HELD_OUT) as held_out,
    ):
        for block, walks in judged_blocks(job, judges, job.progress):
            rows = [row for group, walk in walks for row in _rows(block, group, walk, judges, counts)]
            rows.sort(key=lambda row: (row["query"], row["passage"]))
            judged.write_table(pa.Table.from_pylist(rows, schema=schemas.JUDGED))
            out = {group.query: walk.relevant for group, walk in walks if walk.held_out}
            held_out.write_table(_named(job, out))
            counts["queries_held_out"] += len(out)
            if promote:
                relevant = (walk.relevant for _, walk in walks if not walk.held_out)
                counts["promoted"] += sum(relevant)
        output.rows, held.rows = judged.rows, held_out.rows
        job.facts["spent"] = judges.log.spent.as_json()
    with job.publish(_COUNTS) as output:
        write_json(output.path, counted(counts))
        output.rows = 1
    return counted(counts)


def _rows(block: Block, group: Group, walk: Walk, judges: Judges, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """What became of the candidates of a query that were looked at, or that are nearly positives."""
    taken = set(walk.taken)
    for row in walk.seen:
        said = judgement(block, group, row, judges)
        assert isinstance(said, Said)
        _count(counts, said, strong=len(judges.models) > 1)
        reason = "judged_relevant" if said.relevant else "kept" if row in taken else "not_sampled"
        was_negative = row in group.kept or row in group.drawn
        if was_negative and reason == "not_sampled":
            reason = "query_held_out"
        counts["refilled"] += not was_negative and reason == "kept"
        yield {
            "query": group.query,
            "passage": int(block.passage[row]),
            "reason": reason,
            "judgement": said.judgement,
            "judged_by": said.by,
            "flagged": said.flagged,
        }
    for row in group.near:
        yield {"query": group.query, "passage": int(block.passage[row]), "reason": "near_duplicate"}


def _count(counts: Counter[str], said: Said, *, strong: bool) -> None:
    if said.judgement is None:
        counts["not_judged"] += 1
        return
    counts["judged"] += 1
    counts["confirmed"] += bool(said.relevant)
    counts["by_people"] += said.flagged is None and said.relevant is not None
    counts["flagged"] += bool(said.flagged)
    counts[said.judgement] += said.relevant is None
    if strong and said.flagged:
        counts["strong_asked"] += 1
        counts["strong_agreed"] += bool(said.relevant)


def _named(job: Job, out: Mapping[int, int]) -> pa.Table:
    """Queries that are held out, with their ids."""
    numbers = np.array(sorted(out), np.int64)
    names = queries_of(job).take(numbers, ["query_id"])["query_id"].combine_chunks()
    relevant = pa.array([out[int(number)] for number in numbers], pa.int32())
    return pa.table([names, relevant, pa.array(numbers)], schema=schemas.HELD_OUT)
