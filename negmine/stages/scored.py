"""What each scorer gives to the labelled pairs of a run, whoever it is."""

from __future__ import annotations

import numpy as np

from negmine.arrays import find_pairs
from negmine.config.filtering import RERANK
from negmine.config.mining import DENSE
from negmine.errors import ArtifactError
from negmine.stages.base import Run
from negmine.stages.reranked import positive_rerank_scores
from negmine.store.tables import rows_between, to_numpy


def positive_scores(run: Run, scorer: str, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
    """Score float64 (p,) of labelled pairs: ``query`` (ascending, as numbered in the run) and ``passage`` (p,).

    Raises ArtifactError where one has none.
    """
    if scorer == RERANK:
        return positive_rerank_scores(run, query, passage)
    if not len(query):
        return np.empty(0)
    column = "score" if scorer == DENSE else "scores"
    path = run.file("mine", "positives.parquet")
    rows = rows_between(path, "query", int(query[0]), int(query[-1]) + 1, ["query", "passage", column])
    of_query, of_passage = to_numpy(rows["query"]), to_numpy(rows["passage"])
    if scorer == DENSE:
        score = to_numpy(rows[column])
    else:  # a list of the scores of every retriever, in their order
        names = run.config.mine.names[:-1]
        score = (
            rows[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)[names.index(scorer) :: len(names)]
        )
    order = np.lexsort((of_passage, of_query))
    passages = run.manifest("ingest").counts["passages"]
    place = find_pairs(query, passage, of_query[order], of_passage[order], passages)
    if (place < 0).any():
        raise ArtifactError(
            "mine has no score for a labelled pair", where=run.work.name, hint="Run: negmine mine --repair"
        )
    found: np.ndarray = score[order[place]]
    return found
