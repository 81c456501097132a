"""filter: a verdict and a reason for every mined candidate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.arrays import find_pairs, positions
from negmine.config import Config
from negmine.errors import InputError
from negmine.selection.calibration import calibration_needed
from negmine.selection.reuse import over_claimed
from negmine.selection.risk import shipped_digest
from negmine.selection.verdicts import KEPT, Rules, Survivors, decide, reason_names, survivors
from negmine.stages.base import Job, Run, Stage, Task
from negmine.stages.filter.calibrating import Calibration, calibrate, risk_of, rules_of, too_few_labelled
from negmine.stages.filter.fill import random_rows, random_wanted
from negmine.stages.filter.loading import MinedPart, load_part, mined_parts, near_duplicates_of, scorers_of
from negmine.stages.filter.pairs import audit
from negmine.stages.filter.report import report
from negmine.store.digests import DigestCache
from negmine.store.files import read_json, write_json
from negmine.store.tables import TableWriter, read_columns, to_numpy

_RANDOM = ("random", "softmax", "simans", "spread")


class FilterStage(Stage):
    """First what the rules take from all queries and what is found about the labels, then a task per
    part of mine, then the report."""

    name = "filter"
    unit = "queries"
    keys = ("filter", "pairs", "seed")
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ingest": ("corpus", "queries", "positives", "excluded", "conflicts", "passage_texts"),
        "embed": ("queries",),
        "index": ("all",),
        "mine": ("all",),
        "rerank": ("all",),
    }

    def keys_used(self, config: Config) -> tuple[str, ...]:
        section = config.filter
        draws = section.sampling_strategy in _RANDOM or section.on_shortage == "random" or section.random_share > 0
        return self.keys if draws else ("filter", "pairs")

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        return {"shipped": {"risk model": shipped_digest()}} if config.filter.risk is not None else {}

    def check(self, config: Config, counts: Mapping[str, Any] | None) -> None:
        rate = config.filter.leak_rate
        if counts is not None and rate is not None:
            several = counts["queries_with_several_positives"]
            if several < 2 * calibration_needed(rate) - 1:
                raise too_few_labelled(rate, several)

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        parts = mined_parts(job)
        yield [Task("calibration", {}, 0), Task("pairs", {}, 0)]
        if job.config.filter.max_reuse is not None:
            yield [Task("reuse", {}, 0)]
        yield [Task(name, {"start": start, "stop": stop}, stop - start) for name, start, stop in parts]
        yield [Task("report", {"parts": [f"{name}.parquet" for name, _, _ in parts]}, 0)]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        if task.name == "calibration":
            return _calibration(job)
        if task.name == "pairs":
            return audit(job)
        if task.name == "reuse":
            return _reuse(job)
        if task.name == "report":
            return report(job, task.args["parts"])
        return _filter_part(task, job)


def _calibration(job: Job) -> Mapping[str, int]:
    with job.publish("calibration.json") as output:
        write_json(output.path, calibrate(job).as_json())
        output.rows = 1
    return {}


def _found(job: Job) -> Calibration:
    return Calibration.from_json(read_json(job.own("calibration.json")))


def _part(job: Run, name: str, start: int, stop: int, *, numbers_only: bool = False) -> MinedPart:
    return load_part(job, name, start, stop, job.config.filter.exclude_same, numbers_only=numbers_only)


def _survivors(job: Run, rules: Rules, part: MinedPart, risk: np.ndarray | None) -> Survivors:
    near = job.config.filter.near_duplicates
    rule = None
    if near is not None and near.jaccard is not None:
        rule = near_duplicates_of(job, part.candidates, part.start, near.jaccard)
    return survivors(rules, part.candidates, risk, rule)


def _risk(job: Run, found: Calibration, part: MinedPart) -> np.ndarray | None:
    return risk_of(found.model, part.candidates) if job.config.filter.risk is not None else None


def _reuse(job: Job) -> Mapping[str, int]:
    """Which survivors ``max_reuse`` forbids, as it is seen from all queries at once."""
    found = _found(job)
    rules = rules_of(job.config, found)
    columns: list[tuple[np.ndarray, ...]] = []
    for name, start, stop in mined_parts(job):
        part = _part(job, name, start, stop, numbers_only=True)
        left = _survivors(job, rules, part, _risk(job, found, part))
        rows = np.flatnonzero(left.reason < 0)
        of = part.candidates
        columns.append((of.query[rows] + start, of.passage[rows], of.score[rows], left.place[rows]))
    query, passage, score, place = (np.concatenate(column) for column in zip(*columns, strict=True))
    passages, most = job.manifest("ingest").counts["passages"], job.config.filter.max_reuse
    assert most is not None
    rows = np.flatnonzero(over_claimed(query, passage, score, place, rules.mined_negatives, most, passages))
    rows = rows[np.lexsort((passage[rows], query[rows]))]
    with job.publish("reuse.parquet") as output, TableWriter(output.path, schemas.REUSE) as writer:
        writer.write({"query": query[rows], "passage": passage[rows]})
        output.rows = writer.rows
    return {}


def _rejected(job: Job, part: MinedPart) -> np.ndarray | None:
    if job.config.filter.max_reuse is None:
        return None

    def read() -> tuple[np.ndarray, np.ndarray]:
        table = read_columns(job.own("reuse.parquet"), ["query", "passage"])
        return to_numpy(table["query"]), to_numpy(table["passage"])

    of_query, of_passage = job.resource("reuse", read)
    low, high = np.searchsorted(of_query, [part.start, part.stop])
    passages = job.manifest("ingest").counts["passages"]
    of = part.candidates
    found = find_pairs(of.query + part.start, of.passage, of_query[low:high], of_passage[low:high], passages)
    return found >= 0


def _filter_part(task: Task, job: Job) -> Mapping[str, int]:
    found = _found(job)
    rules, names = rules_of(job.config, found), reason_names(job.config.filter.exclude_same)
    part = _part(job, task.name, task.args["start"], task.args["stop"])
    query = part.candidates.query
    risk = _risk(job, found, part)
    left = _survivors(job, rules, part, risk)
    reason = decide(rules, query, left, _rejected(job, part))
    kept = np.bincount(query[reason == KEPT], minlength=part.candidates.queries)
    _complain(job, rules, part, kept)
    schema = schemas.verdicts(scorers_of(job), partly=part.rest is not None)
    table = _verdict_table(part, schema, reason, left.place, risk, names)
    wanted = random_wanted(rules, kept)
    filled = int(wanted.sum())
    if filled:
        extra = random_rows(job, rules, part, schema, kept, wanted)
        filled = extra.num_rows
        table = pa.concat_tables([table, extra]).combine_chunks()
        table = table.take(pc.sort_indices(table, [("query", "ascending")]))  # stable: random rows come last
    counts = np.bincount(reason, minlength=len(names))
    if part.rest is not None and part.rest.num_rows:
        counts[names.index("range")] += part.rest.num_rows
        table = pa.concat_tables([table, _not_scored(part, schema)]).combine_chunks()
        table = table.take(pc.sort_indices(table, [("query", "ascending")]))  # stable: they come last
    with job.publish(f"{task.name}.parquet") as output, TableWriter(output.path, table.schema) as writer:
        writer.write_table(table)
        output.rows = writer.rows
    job.progress(part.stop - part.start)
    return {
        **{f"reason_{name}": int(count) for name, count in zip(names, counts, strict=True)},
        "negatives": int((reason == KEPT).sum()) + filled,
        "random_negatives": filled,
        "short_queries": int((kept < rules.mined_negatives).sum()),
    }


def _complain(job: Job, rules: Rules, part: MinedPart, kept: np.ndarray) -> None:
    short = kept < rules.mined_negatives
    if rules.on_shortage != "error" or not short.any():
        return
    row = int(np.flatnonzero(short)[0])
    raise InputError(
        f"query '{part.named['query_id'][row].as_py()}' has {kept[row]} negatives and filter.num_negatives is"
        f" {rules.num_negatives} ({int(short.sum())} such queries among {len(kept)})",
        hint="Raise mine.k, loosen a rule of filter, or set filter.on_shortage to fewer, drop or random.",
    )


_SURVIVED = ("kept", "not_sampled", "starved")


def _verdict_table(
    part: MinedPart,
    schema: pa.Schema,
    reason: np.ndarray,
    place: np.ndarray,
    risk: np.ndarray | None,
    names: Sequence[str],
) -> pa.Table:
    query, kept = part.candidates.query, reason == KEPT
    survived = np.isin(reason, [names.index(name) for name in _SURVIVED])
    columns = {
        **{name: part.table[name] for name in part.table.column_names},
        "reference": part.candidates.reference[query],
        "risk": pa.nulls(len(reason), pa.float64()) if risk is None else risk,
        "verdict": pc.take(pa.array(["dropped", "kept"]), pa.array(kept.astype(np.int64))),
        "reason": pc.take(pa.array(names), pa.array(reason.astype(np.int64))),
        "position": _positions(query, kept),
        "place": pa.array((place + 1).astype(np.int32), mask=~survived),
    }
    return pa.table([_cast(columns[field.name], field.type) for field in schema], schema=schema)


def _not_scored(part: MinedPart, schema: pa.Schema) -> pa.Table:
    """The verdicts on candidates beyond ``rerank.depth``: nothing can be said of them."""
    assert part.rest is not None
    rows = part.rest.num_rows
    columns = {
        **{name: part.rest[name] for name in part.rest.column_names},
        "reference": part.candidates.reference[to_numpy(part.rest["query"]) - part.start],
        "risk": pa.nulls(rows, pa.float64()),
        "verdict": pa.repeat("dropped", rows),
        "reason": pa.repeat("range", rows),
        "position": pa.nulls(rows, pa.int32()),
        "place": pa.nulls(rows, pa.int32()),
    }
    return pa.table([_cast(columns[field.name], field.type) for field in schema], schema=schema)


def _positions(query: np.ndarray, kept: np.ndarray) -> pa.Array:
    values = np.zeros(len(query), np.int32)
    rows = np.flatnonzero(kept)
    values[rows] = positions(query[rows]) + 1
    return pa.array(values, mask=~kept)


def _cast(values: Any, kind: pa.DataType) -> Any:
    if isinstance(values, pa.ChunkedArray):
        return values
    return pa.array(values, kind) if isinstance(values, np.ndarray) else values.cast(kind)
