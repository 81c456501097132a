"""Random negatives: those of ``random_share``, and those that fill up a short query."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.arrays import positions
from negmine.config.mining import DENSE
from negmine.retrieval.similarity import score_pairs
from negmine.selection.random import draw_passages
from negmine.selection.verdicts import Rules
from negmine.stages.base import Run
from negmine.stages.filter.loading import MinedPart
from negmine.stages.texts import doc_ids_of
from negmine.stages.vectors import block_rows, flat_vectors, query_vectors, similarity
from negmine.store.tables import rows_between, to_numpy


def random_wanted(rules: Rules, kept: np.ndarray) -> np.ndarray:
    """How many random passages each query is to get, which has ``kept`` (q,) mined negatives: (q,)."""
    if rules.on_shortage == "random":
        return np.maximum(rules.num_negatives - kept, 0)
    wanted = np.full(len(kept), rules.random_negatives)
    if rules.on_shortage == "drop":
        wanted[kept < rules.mined_negatives] = 0
    return wanted


def random_rows(
    run: Run, rules: Rules, part: MinedPart, schema: pa.Schema, kept: np.ndarray, wanted: np.ndarray
) -> pa.Table:
    """Verdicts for ``wanted`` (q,) random passages per query: marked by their retriever, never a mined candidate.

    They are laid out by ``schema``. ``kept`` (q,) counts the negatives that each query has already.
    """
    passages = run.manifest("ingest").counts["passages"]
    row, chosen = draw_passages(rules.seed, part.candidates.query_key, wanted, _taken(run, part), passages)
    source = run.resource("vectors", lambda: flat_vectors(run))
    vectors = query_vectors(run, part.start, part.stop)
    rows = block_rows(run.config, source.dimension)
    score = score_pairs(vectors, lambda: source.blocks(rows), row, chosen, similarity(run))
    best = np.lexsort((chosen, -score, row))
    row, chosen, score = row[best], chosen[best], score[best]
    n = len(row)
    values: dict[str, Any] = {
        "query_id": part.named["query_id"].combine_chunks().take(pa.array(row)),
        "doc_id": doc_ids_of(run).take(chosen),
        "retriever": ["random"] * n,
        "retrievers": [["random"]] * n,
        "ranks": [[None]] * n,
        "score": score,
        schemas.score_column(DENSE): score,
        "reference": part.candidates.reference[row],
        "verdict": ["kept"] * n,
        "reason": ["kept"] * n,
        "position": kept[row] + positions(row) + 1,
        "query": row + part.start,
        "passage": chosen,
    }
    arrays = [_array(values.get(field.name, [None] * n), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def _taken(run: Run, part: MinedPart) -> list[np.ndarray]:
    """Per query the passages that it may not draw: its candidates and what is excluded."""
    queries = part.stop - part.start
    banned = rows_between(run.file("ingest", "excluded.parquet"), "query", part.start, part.stop, ["query", "passage"])
    query = np.concatenate([part.candidates.query, to_numpy(banned["query"]) - part.start])
    passage = np.concatenate([part.candidates.passage, to_numpy(banned["passage"])])
    order = np.argsort(query, kind="stable")
    return np.split(passage[order], np.cumsum(np.bincount(query, minlength=queries))[:-1])
