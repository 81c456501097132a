"""What the judge decided beside the verdicts: passages that became positives, queries that no training file has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.stages.base import Run
from negmine.store.tables import read_columns, to_numpy

_COLUMNS = ("query", "passage", "score", "doc_id", "reason")


def held_out(run: Run) -> np.ndarray:
    """Which queries are left out of all training files: bool (q,)."""

    def read() -> np.ndarray:
        out = np.zeros(run.manifest("ingest").counts["distinct_queries"], bool)
        if run.config.judge is not None:
            out[to_numpy(read_columns(run.file("judge", "held_out.parquet"), ["query"])["query"])] = True
        return out

    return run.resource("held out by the judge", read)


def promoted(run: Run, path: Path) -> pa.Table:
    """The passages in a part of final verdicts that the judge makes positives: query, passage, score, doc_id."""
    if run.config.judge is None or run.config.judge.action != "promote":
        return pa.table({name: pa.array([], kind) for name, kind in _KINDS.items()})
    table = read_columns(path, _COLUMNS)
    table = table.filter(pc.equal(table["reason"], "judged_relevant"))
    table = table.filter(pa.array(~held_out(run)[to_numpy(table["query"])]))
    return table.select(list(_KINDS)).combine_chunks()


_KINDS = {"query": pa.int64(), "passage": pa.int64(), "score": pa.float64(), "doc_id": pa.string()}
