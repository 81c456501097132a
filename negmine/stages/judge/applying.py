"""Filter's verdicts as the judge leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from negmine import schemas
from negmine.arrays import find_pairs, positions
from negmine.stages.base import Job
from negmine.store.tables import TableWriter, read_columns, rows_between, to_numpy

JUDGED, HELD_OUT = "judged.parquet", "held_out.parquet"


def apply(job: Job, name: str, start: int, stop: int) -> Mapping[str, int]:
    """Publish a part of filter with the final verdicts; counts them by reason."""
    path = job.file("filter", name)
    table = read_columns(path, pq.read_schema(path).names)
    names = ["query", "passage", "reason", *(field.name for field in schemas.JUDGEMENT)]
    judged = rows_between(job.own(JUDGED), "query", start, stop, names)
    query, passage = to_numpy(table["query"]), to_numpy(table["passage"])
    of_query, of_passage = to_numpy(judged["query"]), to_numpy(judged["passage"])
    passages = job.manifest("ingest").counts["passages"]
    found = find_pairs(query, passage, of_query, of_passage, passages)
    row = pa.array(np.where(found >= 0, found, 0), mask=found < 0)
    reason = pc.coalesce(judged["reason"].combine_chunks().take(row), table["reason"].combine_chunks())
    if job.config.filter.on_shortage == "drop":
        reason = _without_starved(job, table, reason, start, stop)
    kept = to_numpy(pc.equal(reason, "kept"))
    position = np.zeros(len(query), np.int32)
    position[kept] = positions(query[kept]) + 1
    scorers = [name.removesuffix("_score") for name in table.column_names if name.endswith("_score")]
    schema = schemas.verdicts(scorers, partly=table.schema.field("score").nullable, judged=True)
    columns = {
        **{column: table[column] for column in table.column_names},
        **{field.name: judged[field.name].combine_chunks().take(row) for field in schemas.JUDGEMENT},
        "reason": reason,
        "verdict": pc.if_else(pa.array(kept), "kept", "dropped"),
        "position": pa.array(position, mask=~kept),
    }
    with job.publish(name) as output, TableWriter(output.path, schema) as writer:
        writer.write_table(pa.table([columns[field.name] for field in schema], schema=schema))
        output.rows = writer.rows
    counts = pc.value_counts(reason).to_pylist()
    return {f"reason_{entry['values']}": entry["counts"] for entry in counts} | {"negatives": int(kept.sum())}


def held_out(path: Path) -> np.ndarray:
    """The queries that no training file is to have: int64 (h,), ascending."""
    return to_numpy(read_columns(path, ["query"])["query"])


def _without_starved(job: Job, table: pa.Table, reason: pa.Array, start: int, stop: int) -> pa.Array:
    """``on_shortage: drop`` for queries that the judge left short."""
    section, query = job.config.filter, to_numpy(table["query"]) - start
    wanted = section.num_negatives - round(section.num_negatives * section.random_share)
    kept, mined = pc.equal(reason, "kept"), pc.not_equal(table["retriever"], "random")
    count = np.bincount(query[to_numpy(pc.and_(kept, mined))], minlength=stop - start)
    short = pa.array(count[query] < wanted)
    return pc.if_else(pc.and_(kept, short), "starved", reason)
