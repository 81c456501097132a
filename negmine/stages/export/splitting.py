"""Which queries are held out: decided once, read by everything that is written."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.config.exporting import DEV, TRAIN
from negmine.errors import InputError
from negmine.selection.random import mix
from negmine.selection.split import split_queries
from negmine.stages.base import Job
from negmine.stages.final import final_stage
from negmine.stages.judged import promoted
from negmine.stages.texts import queries_of
from negmine.store.tables import TableWriter, read_columns, to_numpy

_FILE = "split.parquet"


def write_split(job: Job) -> Mapping[str, int]:
    """Publish ``split.parquet``. What must not be on both sides: a query's positives, also those that a judge made,
    and whatever says the same as one of them or as the query.

    Raises InputError when no queries can be held out.
    """
    assert job.config.split is not None
    share = job.config.split.dev
    path = job.file("ingest", "queries.parquet")
    hashes = to_numpy(queries_of(job).column("id_hash"))
    queries = read_columns(path, ["query_id", "query"])
    linked = read_columns(job.file("ingest", "excluded.parquet"), ["query", "passage"])
    tables = [linked, *(promoted(job, part) for part in job.files(final_stage(job.config), "part-"))]
    query, passage = (np.concatenate([to_numpy(each[name]) for each in tables]) for name in ("query", "passage"))
    found = split_queries(query, passage, len(hashes), mix(job.config.seed, hashes), share)
    if not found.dev.any():
        if found.components == 1:
            hint = "Leave split out: queries that share a positive or a text stay on one side."
        else:
            hint = f"Set a share above {share:g}, or leave split out."
        groups = f"{found.components:,} groups" if found.components > 1 else "one group"
        raise InputError(
            f"split.dev: no queries can be held out: {len(hashes):,} queries are {groups} that share"
            f" positives or texts, the largest of {found.largest:,} queries",
            where=str(path),
            hint=hint,
        )
    number = to_numpy(queries["query"])
    with job.publish(_FILE) as output, TableWriter(output.path, schemas.SPLIT) as writer:
        sides = pa.array([TRAIN, DEV]).take(pa.array(found.dev[number].astype(np.int64)))
        writer.write({"query_id": queries["query_id"], "split": sides, "query": number})
        output.rows = writer.rows
    job.facts["split"] = {
        "wished": share,
        "queries": int(found.dev.sum()),
        "of": len(hashes),
        "components": found.components,
        "largest": found.largest,
    }
    return {"held_out_queries": int(found.dev.sum())}


def queries_in(job: Job, split: str) -> np.ndarray:
    """Which queries are in a split: bool (distinct queries,)."""

    def read() -> np.ndarray:
        table = read_columns(job.own(_FILE), ["query", "split"])
        dev = np.zeros(job.manifest("ingest").counts["distinct_queries"], bool)
        dev[to_numpy(table["query"].filter(pc.equal(table["split"], DEV)))] = True
        return dev

    held = job.resource("held_out", read)
    return held if split == DEV else ~held
