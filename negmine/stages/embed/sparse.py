"""The parts of a sparse encoder: per text the terms that have a weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.encoders.base import SparseVectors
from negmine.stages.base import Job
from negmine.store.tables import TableWriter

Rows = Sequence[tuple[np.ndarray, np.ndarray]]
"""Terms and weights (k,) of each text."""


def sparse_joined(known: np.ndarray, taken: Rows, missing: np.ndarray, encoded: SparseVectors | None) -> SparseVectors:
    """Vectors of the rows ``known`` and ``missing`` together, in order."""
    rows: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0))] * (len(known) + len(missing))
    for row, vector in zip(known.tolist(), taken, strict=True):
        rows[row] = vector
    for number, row in enumerate(missing.tolist()):
        assert encoded is not None
        own = slice(encoded.offsets[number], encoded.offsets[number + 1])
        rows[row] = (encoded.terms[own], encoded.weights[own])
    offsets = np.concatenate([[0], np.cumsum([len(terms) for terms, _ in rows])]).astype(np.int64)
    terms, weights = (np.concatenate([np.empty(0), *(row[i] for row in rows)]) for i in (0, 1))
    return SparseVectors(offsets, terms.astype(np.int32), weights.astype(np.float32))


def publish_sparse(
    job: Job, name: str, ids: tuple[str, Any], vectors: SparseVectors, texts: tuple[np.ndarray, pa.Array]
) -> None:
    """Publish a part: ``ids`` with their column; ``texts``: digests (n,), and which were not read to the end."""
    id_column, values = ids
    schema = schemas.sparse_vectors(schemas.DOC_ID if id_column == "doc_id" else schemas.QUERY_ID)
    offsets = pa.array(vectors.offsets, pa.int32())
    with job.publish(f"{name}.parquet") as output, TableWriter(output.path, schema) as writer:
        writer.write(
            {
                id_column: values,
                "terms": pa.ListArray.from_arrays(offsets, pa.array(vectors.terms)),
                "weights": pa.ListArray.from_arrays(offsets, pa.array(vectors.weights)),
                **text_columns(*texts),
            }
        )
        output.rows = writer.rows


def text_columns(digests: np.ndarray, cut_off: pa.Array) -> dict[str, Any]:
    """The columns about the texts that vectors were made from: ``digests`` S16 (n,), and which were ``cut_off``."""
    buffers = [None, pa.py_buffer(digests.tobytes())]
    digest = pa.FixedSizeBinaryArray.from_buffers(schemas.TEXT_DIGEST.type, len(digests), buffers)
    return {schemas.TEXT_DIGEST.name: digest, schemas.CUT_OFF.name: cut_off}
