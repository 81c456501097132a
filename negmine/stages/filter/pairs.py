"""The audit of the labelled pairs: what speaks against each of them, and the worst of all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.selection import pairs
from negmine.stages.base import Job
from negmine.stages.filter.labels import among, in_conflict, positives_of, ranked_low, ranks_of, stays
from negmine.stages.filter.loading import excluded_codes, mined_parts
from negmine.store.tables import TableWriter, iter_batches, read_columns, rows_between, to_numpy

_WORST_LISTED = 20


def audit(job: Job) -> Mapping[str, int]:
    """Look at every labelled pair; publish ``pairs.json`` and, unless they are only counted, ``pairs.parquet``."""
    config = job.config.pairs
    serves = _serves(job)
    counts = np.zeros(len(pairs.FINDINGS), np.int64)
    suspicious = dropped = queries_dropped = 0
    ranks: list[np.ndarray] = []
    worst = schemas.PAIRS.empty_table()
    with contextlib.ExitStack() as stack:
        writer = None
        if config.action != "keep":
            output = stack.enter_context(job.publish("pairs.parquet"))
            writer = stack.enter_context(TableWriter(output.path, schemas.PAIRS))
        for name, start, stop in mined_parts(job):
            table, found = _judged(job, name, start, stop, serves)
            counts += found.sum(axis=0)
            suspicious += int(pairs.is_suspicious(found).sum())
            gone, query = to_numpy(table["dropped"]), to_numpy(table["query"]) - start
            dropped += int(gone.sum())
            queries_dropped += int((np.bincount(query[~gone], minlength=stop - start) == 0).sum())
            ranks.append(ranks_of(table))
            worst = _worst(pa.concat_tables([worst, table]), searched=job.config.mine.dense)
            if writer is not None:
                writer.write_table(table)
                output.rows = writer.rows
    rank = np.concatenate(ranks)
    summary = {
        "pairs": len(rank),
        "max_rank": config.max_rank,
        "action": config.action,
        "findings": dict(zip(pairs.FINDINGS, counts.tolist(), strict=True)),
        "suspicious": suspicious,
        "dropped": dropped,
        "queries_dropped": queries_dropped,
        "share_not_retrieved": float(np.isinf(rank).mean()) if job.config.mine.dense else None,
        "median_rank": pairs.median_rank(rank),
        "worst": worst.drop_columns(["shared_by", "dropped", "query", "passage"]).to_pylist(),
    }
    with job.publish("pairs.json") as output:
        output.path.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", "utf-8")
        output.rows = 1
    return {"suspicious_pairs": suspicious, "pairs_dropped": dropped, "queries_dropped": queries_dropped}


def _serves(job: Job) -> np.ndarray:
    """How many queries have each passage as a positive: (passages,)."""
    serves = np.zeros(job.manifest("ingest").counts["passages"], np.int64)
    for batch in iter_batches(job.file("mine", "positives.parquet"), ["passage"]):
        serves += np.bincount(to_numpy(batch["passage"]), minlength=len(serves))
    return serves


def _judged(job: Job, name: str, start: int, stop: int, serves: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    """The pairs of a part of mine, and their findings, bool (p, 6)."""
    positives = positives_of(job, start, stop)
    rank, passage = ranks_of(positives), to_numpy(positives["passage"])
    beaten = _beaten(job, name, start, stop, positives)
    found = pairs.findings(
        rank if job.config.mine.dense else np.ones(len(rank)),  # without a search none is missing from it
        ranked_low(job, positives),
        beaten,
        serves[passage],
        in_conflict(job, positives),
        _same_text(job, start, stop, positives),
    )
    row, column = np.nonzero(found)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(found)))])
    names = pa.array(pairs.FINDINGS).take(pa.array(column))
    columns = {
        **{column: positives[column] for column in positives.column_names},
        "beaten_by": beaten,
        "shared_by": serves[passage],
        "findings": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), names),
        "dropped": ~stays(job, positives),
    }
    arrays = [_as(columns[field.name], field.type) for field in schemas.PAIRS]
    return pa.Table.from_arrays(arrays, schema=schemas.PAIRS), found


def _as(values: Any, kind: pa.DataType) -> Any:
    return pa.array(values, kind) if isinstance(values, np.ndarray) else values


def _beaten(job: Job, name: str, start: int, stop: int, positives: pa.Table) -> np.ndarray:
    """By how many candidates each positive is beaten; the query's own text is no rival."""
    table = read_columns(job.file("mine", f"{name}.parquet"), ["query", "passage", "score"])
    query, passage, score = (to_numpy(table[column]) for column in ("query", "passage", "score"))
    query = query - start
    rival = excluded_codes(job, start, stop, query, passage) == 0
    of_query = to_numpy(positives["query"]) - start
    return pairs.beaten_by(query[rival], score[rival], of_query, to_numpy(positives["score"]))


def _same_text(job: Job, start: int, stop: int, positives: pa.Table) -> np.ndarray:
    labels = job.file("ingest", "positives.parquet")
    rows = rows_between(labels, "query", start, stop, ["query", "passage", "same_text"])
    rows = rows.filter(rows["same_text"])
    return among(job, positives, to_numpy(rows["query"]), to_numpy(rows["passage"]))


def _worst(table: pa.Table, *, searched: bool) -> pa.Table:
    """The worst of the pairs that are beaten or, where there was a search, not retrieved."""
    missed = pc.and_(pc.is_null(table["rank"]), pa.scalar(searched))
    table = table.filter(pc.or_(pc.greater(table["beaten_by"], 0), missed))
    order = pairs.worst_first(ranks_of(table), to_numpy(table["beaten_by"]), to_numpy(table["score"]))
    return table.take(pa.array(order[:_WORST_LISTED]))
