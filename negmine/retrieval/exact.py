"""Exact nearest passages in one pass over blocks, whatever the corpus's size."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from negmine.arrays import positions
from negmine.retrieval.evidence import Closeness
from negmine.retrieval.proposing import Propose, propose_on_cpu
from negmine.retrieval.similarity import Blocks, score_pairs


def _spare(depth: np.ndarray) -> np.ndarray:
    """Passages fetched beyond the depth (q,): single precision may put the last ones in another order, and the deeper
    they are the closer together are their scores."""
    return 4 + depth // 50


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
        rows = np.flatnonzero(which) if which.dtype == bool else which
        columns = (self.query, self.passage, self.score, self.cosines)
        return Neighbours(*(column.take(rows, axis=0) for column in columns))  # indexing pairs takes far longer


def search_exact(
    query_vectors: np.ndarray,
    blocks: Blocks,
    depth: np.ndarray,
    passages: int,
    similarity: str,
    closeness: Closeness | None = None,
    propose: Propose = propose_on_cpu,
) -> Neighbours:
    """For each query its ``depth`` nearest passages, scored in float64, ties by passage number.

    query_vectors float32 (q, d); depth int (q,); ``passages`` is how many there are in all. The
    result does not depend on how the blocks are cut: single precision only proposes, and where
    its rounding could hide a passage the query is searched again without it. ``closeness`` asks
    for the cosines to the queries' positives. Whatever ``propose`` is, the result is the same.
    """
    depth = np.minimum(depth, passages)
    near = propose(query_vectors, blocks, np.minimum(depth + _spare(depth), passages), similarity)
    found = scored(query_vectors, blocks, near.query, near.passage, similarity, closeness)
    order = _within(found, depth)
    rounding = _rounding(query_vectors, near.greatest, similarity)
    unsafe, threshold = _hidden(found, order, depth, near.floor, rounding, similarity)
    if not len(unsafe):
        return found.rows(order)
    vectors = np.ascontiguousarray(query_vectors[unsafe])
    row, passage = _all_above(vectors, blocks, threshold, similarity)
    again = scored(query_vectors, blocks, unsafe[row], passage, similarity, closeness)
    return rank_and_cut(_joined(found.rows(order[~np.isin(found.query[order], unsafe)]), again), depth)


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

    def seen(of: np.ndarray, rows: np.ndarray, vectors: np.ndarray) -> None:
        if closeness is not None:
            cosines[rows] = closeness.cosines(of, vectors)

    scores = score_pairs(query_vectors, blocks, query, passage, similarity, seen)
    return Neighbours(query, passage, scores, cosines)


def rank_and_cut(found: Neighbours, depth: np.ndarray) -> Neighbours:
    """Scored pairs in order (best first, ties by passage), at most ``depth[q]`` for query q."""
    return found.rows(_within(found, depth))


def _joined(first: Neighbours, second: Neighbours) -> Neighbours:
    return Neighbours(
        np.concatenate([first.query, second.query]),
        np.concatenate([first.passage, second.passage]),
        np.concatenate([first.score, second.score]),
        np.concatenate([first.cosines, second.cosines]),
    )


def _within(found: Neighbours, depth: np.ndarray) -> np.ndarray:
    """The rows that are within their query's depth, by query, score (best first), passage: (m,)."""
    order = _best_first(found)
    query = found.query[order]
    return order[positions(query) < depth[query]]


def _best_first(found: Neighbours) -> np.ndarray:
    """All rows by query, score (best first), passage: (n,). What is proposed nearly is in that order: only the rows
    of queries that are not are sorted."""
    query, passage, score = found.query, found.passage, found.score
    if (query[1:] < query[:-1]).any():
        return np.lexsort((passage, -score, query))
    wrong = (score[1:] > score[:-1]) | ((score[1:] == score[:-1]) & (passage[1:] < passage[:-1]))
    wrong &= query[1:] == query[:-1]
    order = np.arange(len(query))
    if wrong.any():
        disordered = np.zeros(int(query[-1]) + 1, bool)
        disordered[query[1:][wrong]] = True
        rows = np.flatnonzero(disordered[query])
        order[rows] = rows[np.lexsort((passage[rows], -score[rows], query[rows]))]
    return order


def _hidden(
    found: Neighbours, order: np.ndarray, depth: np.ndarray, floor: np.ndarray, rounding: np.ndarray, similarity: str
) -> tuple[np.ndarray, np.ndarray]:
    """Queries whose last kept passage lies within rounding of what was not proposed; ``order`` as of ``_within``.

    Returns their rows and, for each, a single-precision value that every passage that may
    belong to the result reaches.
    """
    last = np.full(len(depth), np.inf)
    query = found.query[order]
    ends = np.flatnonzero(np.diff(query, append=-1))
    full = ends[np.bincount(query, minlength=len(depth))[query[ends]] == depth[query[ends]]]
    last[query[full]] = _as_value(found.score[order[full]], similarity)
    unsafe = np.flatnonzero(np.isfinite(floor) & (last - floor <= rounding))
    return unsafe, last[unsafe] - rounding[unsafe]


def _as_value(scores: np.ndarray, similarity: str) -> np.ndarray:
    """What a proposal compares, from the score: minus the squared distance for euclidean."""
    return -scores * scores if similarity == "euclidean" else scores


def _rounding(query_vectors: np.ndarray, greatest_norm: float, similarity: str) -> np.ndarray:
    """Bound (q,) on the error of a single-precision value: d roundings of 2^-24, twice for safety."""
    dimension = query_vectors.shape[1]
    norms = np.sqrt(np.einsum("ij,ij->i", query_vectors, query_vectors, dtype=np.float64))
    unit = 2.0 * (dimension + 8) * 2.0**-24
    if similarity in ("cosine", "dot"):
        return unit * norms * greatest_norm
    # A squared distance is rounded relative to the squared norms it is computed from.
    width = norms + greatest_norm
    return unit * width * (width if similarity == "euclidean" else np.sqrt(dimension))


def _all_above(
    vectors: np.ndarray, blocks: Blocks, threshold: np.ndarray, similarity: str
) -> tuple[np.ndarray, np.ndarray]:
    """All (row, passage) whose single-precision value reaches the row's threshold."""
    query, passage = [], []
    metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_L1
    step = 64
    for start, block in blocks():
        for low in range(0, len(vectors), step):
            part = vectors[low : low + step]
            products = similarity in ("cosine", "dot")
            values = part @ block.T if products else -faiss.pairwise_distances(part, block, metric=metric)
            rows, columns = np.nonzero(values >= threshold[low : low + step, None])
            query.append(rows + low)
            passage.append(columns + start)
    return np.concatenate(query), np.concatenate(passage)
