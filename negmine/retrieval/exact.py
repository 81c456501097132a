"""Exact nearest passages in one pass over blocks, whatever the corpus's size."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from negmine.arrays import positions
from negmine.retrieval.evidence import Closeness
from negmine.retrieval.similarity import Blocks, score_pairs

_SPARE = 16
"""Passages fetched beyond the depth: single precision may put the last ones in another order."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest passages of a batch of queries, best first: parallel arrays (n,), by query.

    ``cosines`` float64 (n, 2) are mean and greatest cosine to the query's positives, (n, 0) where
    they were not asked for.
    """

    query: np.ndarray
    passage: np.ndarray
    score: np.ndarray
    cosines: np.ndarray

    def rows(self, which: np.ndarray) -> Neighbours:
        """Those rows that an index or a mask (n,) names."""
        return Neighbours(self.query[which], self.passage[which], self.score[which], self.cosines[which])


def search_exact(
    query_vectors: np.ndarray,
    blocks: Blocks,
    depth: np.ndarray,
    passages: int,
    similarity: str,
    closeness: Closeness | None = None,
) -> Neighbours:
    """For each query its ``depth`` nearest passages, scored in float64, ties by passage number.

    query_vectors float32 (q, d); depth int (q,); ``passages`` is how many there are in all. The
    result does not depend on how the blocks are cut: single precision only proposes, and where
    its rounding could hide a passage the query is searched again without it. ``closeness`` asks
    for the cosines to the queries' positives.
    """
    depth = np.minimum(depth, passages)
    query, passage, floor, greatest = _propose(query_vectors, blocks, depth, passages, similarity)
    found = _ranked(scored(query_vectors, blocks, query, passage, similarity, closeness))
    unsafe, threshold = _hidden(found, depth, floor, _rounding(query_vectors, greatest, similarity))
    if len(unsafe):
        vectors = np.ascontiguousarray(query_vectors[unsafe])
        row, passage = _all_above(vectors, blocks, threshold, similarity)
        again = scored(query_vectors, blocks, unsafe[row], passage, similarity, closeness)
        found = _ranked(_joined(found.rows(~np.isin(found.query, unsafe)), again))
    return _cut(found, depth)


def scored(
    query_vectors: np.ndarray,
    blocks: Blocks,
    query: np.ndarray,
    passage: np.ndarray,
    similarity: str,
    closeness: Closeness | None,
) -> Neighbours:
    """The pairs (n,) with their scores and, where asked for, cosines, in one pass over the blocks."""
    cosines = np.empty((len(query), 0 if closeness is None else 2), np.float64)

    def seen(rows: np.ndarray, vectors: np.ndarray) -> None:
        if closeness is not None:
            cosines[rows] = closeness.cosines(query[rows], vectors)

    scores = score_pairs(query_vectors, blocks, query, passage, similarity, seen)
    return Neighbours(query, passage, scores, cosines)


def rank_and_cut(found: Neighbours, depth: np.ndarray) -> Neighbours:
    """Scored pairs in order (best first, ties by passage), at most ``depth[q]`` for query q."""
    return _cut(_ranked(found), depth)


def group_by_depth(fetch: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Rows of queries to search together, with the depth of each group.

    Groups are powers of two of ``fetch``, so that one query with thousands of positives costs
    the others nothing.
    """
    level = np.ceil(np.log2(np.maximum(fetch, 1)))
    groups = [np.flatnonzero(level == value) for value in np.unique(level)]
    return [(rows, int(fetch[rows].max())) for rows in groups]


def _cut(found: Neighbours, depth: np.ndarray) -> Neighbours:
    return found.rows(positions(found.query) < depth[found.query])


def _joined(first: Neighbours, second: Neighbours) -> Neighbours:
    return Neighbours(
        np.concatenate([first.query, second.query]),
        np.concatenate([first.passage, second.passage]),
        np.concatenate([first.score, second.score]),
        np.concatenate([first.cosines, second.cosines]),
    )


def _ranked(found: Neighbours) -> Neighbours:
    """In order of query, score (best first), passage. What is proposed nearly is: only the rows of
    queries that are not in order are sorted."""
    if (found.query[1:] < found.query[:-1]).any():
        found = found.rows(np.argsort(found.query, kind="stable"))
    query, passage, score = found.query, found.passage, found.score
    wrong = (score[1:] > score[:-1]) | ((score[1:] == score[:-1]) & (passage[1:] < passage[:-1]))
    wrong &= query[1:] == query[:-1]
    if not wrong.any():
        return found
    disordered = np.zeros(int(query[-1]) + 1, bool)
    disordered[query[1:][wrong]] = True
    rows = np.flatnonzero(disordered[query])
    order = np.arange(len(query))
    order[rows] = rows[np.lexsort((passage[rows], -score[rows], query[rows]))]
    return found.rows(order)


def _propose(
    query_vectors: np.ndarray, blocks: Blocks, depth: np.ndarray, passages: int, similarity: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Pairs found in single precision, per query the score below which nothing was kept, and
    the greatest norm of a passage."""
    groups = [
        (rows, np.ascontiguousarray(query_vectors[rows]), width)
        for rows, width in group_by_depth(np.minimum(depth + _SPARE, passages))
    ]
    metric, largest = _metric(similarity)
    heaps = [faiss.ResultHeap(len(rows), width, keep_max=largest) for rows, _, width in groups]
    greatest = 0.0
    for start, vectors in blocks():
        greatest = max(greatest, float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max())))
        for heap, (_, group_vectors, width) in zip(heaps, groups, strict=True):
            values, local = faiss.knn(group_vectors, vectors, min(width, len(vectors)), metric=metric)
            heap.add_result(values, local + start)
    floor = np.full(len(query_vectors), -np.inf)
    query, passage = [], []
    for heap, (rows, _, width) in zip(heaps, groups, strict=True):
        heap.finalize()
        if width < passages:
            floor[rows] = _as_score(heap.D[:, -1].astype(np.float64), similarity)
        query.append(np.repeat(rows, width))
        passage.append(heap.I.ravel())
    joined = np.concatenate(passage)
    there = joined >= 0
    return np.concatenate(query)[there], joined[there], floor, greatest


def _metric(similarity: str) -> tuple[int, bool]:
    if similarity in ("cosine", "dot"):
        return faiss.METRIC_INNER_PRODUCT, True
    return (faiss.METRIC_L2, False) if similarity == "euclidean" else (faiss.METRIC_L1, False)


def _as_score(values: np.ndarray, similarity: str) -> np.ndarray:
    """A value of faiss as a score: it gives squared distances for euclidean."""
    if similarity in ("cosine", "dot"):
        return values
    return -np.sqrt(np.maximum(values, 0)) if similarity == "euclidean" else -values


def _hidden(
    found: Neighbours, depth: np.ndarray, floor: np.ndarray, rounding: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Queries whose last kept score lies within rounding of what was not fetched.

    Returns their rows and, for each, a single-precision score that every passage that may
    belong to the result reaches.
    """
    last = np.full(len(depth), np.inf)
    at_depth = positions(found.query) == depth[found.query] - 1
    last[found.query[at_depth]] = found.score[at_depth]
    unsafe = np.flatnonzero(np.isfinite(floor) & (last - floor <= rounding))
    return unsafe, last[unsafe] - rounding[unsafe]


def _rounding(query_vectors: np.ndarray, greatest_norm: float, similarity: str) -> np.ndarray:
    """Bound (q,) on the error of a single-precision score: d roundings of 2^-24, twice for safety."""
    dimension = query_vectors.shape[1]
    norms = np.sqrt(np.einsum("ij,ij->i", query_vectors, query_vectors, dtype=np.float64))
    unit = 2.0 * (dimension + 8) * 2.0**-24
    if similarity in ("cosine", "dot"):
        return unit * norms * greatest_norm
    # A squared distance is rounded relative to the squared norms it is computed from.
    width = norms + greatest_norm
    return np.sqrt(unit) * width if similarity == "euclidean" else unit * width * np.sqrt(dimension)


def _all_above(
    vectors: np.ndarray, blocks: Blocks, threshold: np.ndarray, similarity: str
) -> tuple[np.ndarray, np.ndarray]:
    """All (row, passage) whose single-precision score reaches the row's threshold."""
    query, passage = [], []
    metric, _ = _metric(similarity)
    step = 64
    for start, block in blocks():
        for low in range(0, len(vectors), step):
            part = vectors[low : low + step]
            if similarity in ("cosine", "dot"):
                scores = part @ block.T
            else:
                scores = _as_score(faiss.pairwise_distances(part, block, metric=metric), similarity)
            rows, columns = np.nonzero(scores >= threshold[low : low + step, None])
            query.append(rows + low)
            passage.append(columns + start)
    return np.concatenate(query), np.concatenate(passage)
