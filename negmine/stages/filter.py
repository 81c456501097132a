"""filter: a verdict and a reason for every mined candidate."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.arrays import find_pairs, positions
from negmine.config import Config
from negmine.errors import InputError
from negmine.retrieval.similarity import score_pairs
from negmine.selection.groups import same_group
from negmine.selection.identity import EXCLUSION_REASONS
from negmine.selection.random import draw_passages
from negmine.selection.verdicts import KEPT, Rules, reason_names, reference_scores, verdicts
from negmine.stages.base import Job, Stage, Task
from negmine.stages.texts import StandingTable
from negmine.stages.vectors import block_rows, flat_vectors, query_vectors, similarity
from negmine.store.tables import TableWriter, iter_batches, read_columns, rows_between, to_numpy

_STARVED_LISTED = 1000


class FilterStage(Stage):
    """One task per part of mine; then the report, which looks at all of them."""

    name = "filter"
    unit = "queries"
    keys = ("filter", "seed")
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ingest": ("corpus", "queries", "excluded"),
        "embed": ("queries",),
        "index": ("all",),
        "mine": ("all",),
    }

    def keys_used(self, config: Config) -> tuple[str, ...]:
        draws = "random" in (config.filter.sampling_strategy, config.filter.on_shortage)
        return self.keys if draws else ("filter",)

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        queries = job.manifest("ingest").counts["distinct_queries"]
        size = job.config.mine.part_queries
        parts = sorted(part.path for part in job.manifest("mine").parts if part.path.startswith("part-"))
        tasks = [
            Task(path.removesuffix(".parquet"), {"start": i * size, "stop": min((i + 1) * size, queries)}, size)
            for i, path in enumerate(parts)
        ]
        yield tasks
        yield [Task("report", {"parts": [f"{task.name}.parquet" for task in tasks], "queries": queries}, 0)]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        return _report(task, job) if task.name == "report" else _filter_part(task, job)


def rules_of(config: Config) -> Rules:
    """The config's filter section as ``Rules``."""
    names = [name for name in Rules.__dataclass_fields__ if name != "seed"]
    return Rules(**{name: getattr(config.filter, name) for name in names}, seed=config.seed)


def _filter_part(task: Task, job: Job) -> Mapping[str, int]:
    rules, names = rules_of(job.config), reason_names(job.config.filter.exclude_same)
    start, stop = task.args["start"], task.args["stop"]
    candidates = read_columns(job.file("mine", f"{task.name}.parquet"), schemas.CANDIDATES.names)
    query, passage = to_numpy(candidates["query"]) - start, to_numpy(candidates["passage"])
    rank, score = to_numpy(candidates["rank"]), to_numpy(candidates["score"])
    reference = _references(job, start, stop)
    queries = job.resource("queries", lambda: StandingTable(job.file("ingest", "queries.parquet"), "query"))
    named = queries.slice(start, stop, ["query_id", "id_hash"])
    query_key = to_numpy(named["id_hash"])
    passage_keys = _passage_keys(job)
    reason = verdicts(
        rules,
        query,
        rank,
        score,
        to_numpy(candidates["positive_similarity"]),
        reference[query],
        _excluded(job, start, stop, query, passage),
        query_key[query],
        passage_keys[passage],
        [_same(job, column, start, stop, query, passage) for column in job.config.filter.exclude_same],
    )
    kept = np.bincount(query[reason == KEPT], minlength=stop - start)
    short = kept < rules.num_negatives
    if rules.on_shortage == "error" and short.any():
        row = int(np.flatnonzero(short)[0])
        raise InputError(
            f"query '{named['query_id'][row].as_py()}' has {kept[row]} negatives and filter.num_negatives is"
            f" {rules.num_negatives} ({int(short.sum())} such queries among {stop - start})",
            hint="Raise mine.k, loosen a rule of filter, or set filter.on_shortage to fewer, drop or random.",
        )
    columns = {
        **{
            name: candidates[name]
            for name in ("query_id", "doc_id", "retriever", "rank", "score", "positive_similarity")
        },
        "reference": reference[query],
        "verdict": pc.take(pa.array(["dropped", "kept"]), pa.array((reason == KEPT).astype(np.int64))),
        "reason": pc.take(pa.array(names), pa.array(reason.astype(np.int64))),
        "position": _positions(query, reason == KEPT, score),
        "query": candidates["query"],
        "passage": candidates["passage"],
    }
    table = pa.table([_cast(columns[field.name], field.type) for field in schemas.VERDICTS], schema=schemas.VERDICTS)
    filled = 0
    if rules.on_shortage == "random" and short.any():
        extra = _random_rows(job, rules, named, query, passage, kept, reference, start)
        filled = extra.num_rows
        table = pa.concat_tables([table, extra]).combine_chunks()
        order = pc.sort_indices(table, [("query", "ascending")])
        table = table.take(order)  # stable: the random rows follow their query's candidates
    with job.publish(f"{task.name}.parquet") as output, TableWriter(output.path, schemas.VERDICTS) as writer:
        writer.write_table(table)
        output.rows = writer.rows
    counts = np.bincount(reason, minlength=len(names))
    job.progress(stop - start)
    return {
        **{f"reason_{name}": int(count) for name, count in zip(names, counts, strict=True)},
        "negatives": int((reason == KEPT).sum()) + filled,
        "random_negatives": filled,
        "short_queries": int(short.sum()),
    }


def _references(job: Job, start: int, stop: int) -> np.ndarray:
    rows = rows_between(job.file("mine", "positives.parquet"), "query", start, stop, ["query", "score"])
    return reference_scores(
        to_numpy(rows["query"]) - start, to_numpy(rows["score"]), job.config.filter.reference, stop - start
    )


def _passage_keys(job: Job) -> np.ndarray:
    def build() -> np.ndarray:
        return to_numpy(StandingTable(job.file("ingest", "corpus.parquet"), "passage").column("id_hash"))

    return job.resource("passage_keys", build)


def _excluded(job: Job, start: int, stop: int, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
    columns = ["query", "passage", "reason"]
    rows = rows_between(job.file("ingest", "excluded.parquet"), "query", start, stop, columns)
    codes = to_numpy(pc.index_in(rows["reason"], value_set=pa.array(EXCLUSION_REASONS))) + 1
    passages = job.manifest("ingest").counts["passages"]
    row = find_pairs(query, passage, to_numpy(rows["query"]) - start, to_numpy(rows["passage"]), passages)
    return np.where(row >= 0, codes[row], 0)


def _same(job: Job, column: str, start: int, stop: int, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
    """Whether candidates have the value of a positive in a metadata column: bool (n,)."""

    def values() -> tuple[np.ndarray, np.ndarray]:
        table = read_columns(job.file("ingest", "corpus.parquet"), ["passage", column])
        codes = table[column].combine_chunks().dictionary_encode().indices
        return to_numpy(table["passage"]), to_numpy(pc.fill_null(codes, -1))

    rows = rows_between(job.file("mine", "positives.parquet"), "query", start, stop, ["query", "passage"])
    return same_group(
        query,
        passage,
        to_numpy(rows["query"]) - start,
        to_numpy(rows["passage"]),
        *job.resource(f"metadata {column}", values),
        job.manifest("ingest").counts["passages"],
    )


def _positions(query: np.ndarray, kept: np.ndarray, score: np.ndarray) -> pa.Array:
    values = np.zeros(len(query), np.int32)
    rows = np.flatnonzero(kept)
    values[rows] = positions(query[rows]) + 1
    return pa.array(values, mask=~kept)


def _cast(values: Any, kind: pa.DataType) -> Any:
    if isinstance(values, pa.ChunkedArray):
        return values
    return pa.array(values, kind) if isinstance(values, np.ndarray) else values.cast(kind)


def _random_rows(
    job: Job,
    rules: Rules,
    named: pa.Table,
    query: np.ndarray,
    passage: np.ndarray,
    kept: np.ndarray,
    reference: np.ndarray,
    start: int,
) -> pa.Table:
    """Random negatives for short queries: marked by their retriever, never a mined candidate."""
    queries = len(kept)
    columns = ["query", "passage"]
    banned = rows_between(job.file("ingest", "excluded.parquet"), "query", start, start + queries, columns)
    seen_query = np.concatenate([query, to_numpy(banned["query"]) - start])
    seen = np.concatenate([passage, to_numpy(banned["passage"])])
    order = np.argsort(seen_query, kind="stable")
    taken = np.split(seen[order], np.cumsum(np.bincount(seen_query, minlength=queries))[:-1])
    wanted = np.maximum(rules.num_negatives - kept, 0)
    key = to_numpy(named["id_hash"])
    row, chosen = draw_passages(rules.seed, key, wanted, taken, job.manifest("ingest").counts["passages"])
    source = job.resource("vectors", lambda: flat_vectors(job))
    vectors = query_vectors(job, start, start + queries)
    rows = block_rows(job.config, source.dimension)
    score = score_pairs(vectors, lambda: source.blocks(rows), row, chosen, similarity(job))
    best = np.lexsort((chosen, -score, row))
    row, chosen, score = row[best], chosen[best], score[best]
    doc_ids = job.resource(
        "doc_ids", lambda: StandingTable(job.file("ingest", "corpus.parquet"), "passage").column("doc_id")
    )
    n = len(row)
    values: dict[str, Any] = {
        "query_id": named["query_id"].combine_chunks().take(pa.array(row)),
        "doc_id": doc_ids.take(pa.array(chosen)),
        "retriever": ["random"] * n,
        "rank": [None] * n,
        "score": score,
        "positive_similarity": [None] * n,
        "reference": reference[row],
        "verdict": ["kept"] * n,
        "reason": ["kept"] * n,
        "position": kept[row] + positions(row) + 1,
        "query": row + start,
        "passage": chosen,
    }
    arrays = [v if isinstance(v, pa.Array) else pa.array(v, f.type) for f in schemas.VERDICTS for v in [values[f.name]]]
    return pa.Table.from_arrays(arrays, schema=schemas.VERDICTS)


def _report(task: Task, job: Job) -> Mapping[str, int]:
    """``report.json``: what the filter did to the run as a whole."""
    queries, wanted = task.args["queries"], job.config.filter.num_negatives
    reasons = dict.fromkeys(reason_names(job.config.filter.exclude_same), 0)
    kept = np.zeros(queries, np.int64)
    margins: list[np.ndarray] = []
    for part in task.args["parts"]:
        for batch in iter_batches(job.own(part), ["query", "reason", "score", "reference"]):
            for entry in pc.value_counts(batch["reason"]).to_pylist():
                reasons[entry["values"]] += entry["counts"]
            mask = pc.equal(batch["reason"], "kept").to_numpy(zero_copy_only=False)
            kept += np.bincount(to_numpy(batch["query"])[mask], minlength=queries)
            margins.append((to_numpy(batch["reference"]) - to_numpy(batch["score"]))[mask])
    starved = np.flatnonzero(kept < wanted)
    table = StandingTable(job.file("ingest", "queries.parquet"), "query")
    names = table.take(starved[:_STARVED_LISTED], ["query_id"])["query_id"].to_pylist()
    margin = np.concatenate(margins) if margins else np.empty(0)
    report = {
        "queries": queries,
        "num_negatives": wanted,
        "negatives": int(kept.sum()),
        "yield": float(np.minimum(kept, wanted).sum() / (queries * wanted)),
        "queries_with_all": int((kept >= wanted).sum()),
        "queries_without_any": int((kept == 0).sum()),
        "candidates": sum(reasons.values()),
        "reasons": reasons,
        "margin": _summary(margin),
        "starved": [{"query_id": name, "negatives": int(kept[q])} for name, q in zip(names, starved, strict=False)],
        "starved_not_listed": max(len(starved) - _STARVED_LISTED, 0),
    }
    with job.publish("report.json") as output:
        output.path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
        output.rows = 1
    return {"queries_with_all": report["queries_with_all"], "queries_without_any": report["queries_without_any"]}


def _summary(values: np.ndarray) -> dict[str, float | None]:
    """Reference minus score of the kept negatives: small is hard."""
    if not len(values):
        return {"mean": None, "min": None, "median": None, "max": None}
    return {
        "mean": float(values.mean()),
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
    }
