"""The scores of the cross-encoder, looked up by pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from negmine.arrays import find_pairs
from negmine.errors import ArtifactError
from negmine.stages.base import Run
from negmine.store.tables import rows_between, to_numpy


def rerank_scores(run: Run, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
    """Score float64 (n,) of each pair of a run that is reranked, NaN where it has none.

    ``query`` (ascending, as numbered in the run) and ``passage`` (n,). Files are read one after the other.
    """
    scores = np.full(len(query), np.nan)
    passages = run.manifest("ingest").counts["passages"]
    for path, first, last in run.resource("rerank files", lambda: _files(run)):
        low, high = np.searchsorted(query, [first, last + 1])
        if low == high:
            continue
        start, stop = int(query[low]), int(query[high - 1]) + 1
        rows = rows_between(path, "query", start, stop, ["query", "passage", "score"])
        of_query, of_passage, score = (to_numpy(rows[name]) for name in ("query", "passage", "score"))
        place = find_pairs(query[low:high], passage[low:high], of_query, of_passage, passages)
        scores[low:high][place >= 0] = score[place[place >= 0]]
    return scores


def positive_rerank_scores(run: Run, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
    """The same of labelled pairs, which all have a score. Raises ArtifactError where one has none."""
    scores = rerank_scores(run, query, passage)
    if np.isnan(scores).any():
        where = run.work.name
        raise ArtifactError("rerank has no score for a labelled pair", where=where, hint="Run: negmine rerank --repair")
    return scores


def _files(run: Run) -> list[tuple[Path, int, int]]:
    """Every file with its first and its last query."""
    found = []
    for path in run.files("rerank", "part-"):
        with pq.ParquetFile(path) as file:
            column = file.schema_arrow.get_field_index("query")
            groups = [file.metadata.row_group(number).column(column) for number in range(file.num_row_groups)]
            if groups:
                found.append((path, groups[0].statistics.min, groups[-1].statistics.max))
    return found
