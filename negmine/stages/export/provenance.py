"""Where each row came from, for what the formats cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.stages.base import Job
from negmine.stages.export.chunks import AT_ONCE, Chunk, chunks
from negmine.stages.export.targets import targets
from negmine.stages.texts import queries_of
from negmine.store.tables import TableWriter
from negmine.writers import Rows

_COLUMNS = ("doc_id", "retriever", "rank")


def write_provenance(job: Job) -> Mapping[str, int]:
    """Publish ``provenance.parquet``: a row for every row of the first file of every export."""
    schema = schemas.provenance(judged=job.config.judge is not None)
    with job.publish("provenance.parquet") as output, TableWriter(output.path, schema) as writer:
        for target in targets(job):
            for split in target.splits:
                file, first = target.path(target.main, split), 0
                for chunk in chunks(job, split, columns=_COLUMNS, needs=target.format.needs):
                    rows = target.main.rows(chunk.groups, target.options)
                    for low, high in rows.cuts(AT_ONCE):
                        writer.write(_origin(job, chunk, rows.part(low, high), file, first + low))
                    first += rows.count
        output.rows = writer.rows
    return {}


def _origin(job: Job, chunk: Chunk, rows: Rows, file: str, first: int) -> dict[str, Any]:
    ids = queries_of(job).slice(chunk.start, chunk.stop, ["query_id"])["query_id"].combine_chunks()
    sides = {}
    for name, chosen, of_row in (
        ("positive", rows.is_positive, rows.positive),
        ("negative", ~rows.is_positive, rows.negative),
    ):
        sides[name] = (pa.array(rows.offsets_of(chosen), pa.int32()), pa.array(of_row[chosen]))

    def listed(side: str, values: pa.Array) -> pa.Array:
        offsets, picked = sides[side]
        return pa.ListArray.from_arrays(offsets, values.take(picked))

    promoted = {} if job.config.judge is None else {"promoted": listed("positive", pa.array(chunk.promoted))}
    return {
        **promoted,
        "file": pa.repeat(pa.scalar(file), rows.count),
        "row": np.arange(first, first + rows.count),
        "query_id": ids.take(pa.array(rows.query)),
        "positive_ids": listed("positive", chunk.positive_ids),
        "negative_ids": listed("negative", chunk.negatives("doc_id")),
        "retrievers": listed("negative", chunk.negatives("retriever")),
        "ranks": listed("negative", chunk.negatives("rank")),
        "positive_scores": listed("positive", pa.array(chunk.groups.positive_score)),
        "negative_scores": listed("negative", pa.array(chunk.groups.negative_score)),
    }
