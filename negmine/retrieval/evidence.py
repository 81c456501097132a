"""What is known of a candidate besides its score: how close it is to the query's positives.

A passage that looks like the labelled answer is probably an answer too; on judged collections
this separates false negatives from true ones better than the score's margin does.
"""

from __future__ import annotations

import numpy as np

from negmine.arrays import dots, expand, spans
from negmine.retrieval.similarity import Blocks

# Pairs of candidate and positive compared at once: their vectors stay in the processor's cache.
_CHUNK = 512
_MANY = 8
"""Positives from which on a query is looked at alone."""


class Closeness:
    """Cosines between the candidates of queries and those queries' positives.

    ``positives`` float32 (p, d) are the vectors of the labelled passages of queries ``of_query``
    (p,), ascending, of which there are ``queries``. ``normalized`` says that all vectors have
    length 1. Cosines are computed in single precision, each alone, by the same sequence of
    operations: what is computed for a pair does not depend on the others.
    """

    def __init__(self, positives: np.ndarray, of_query: np.ndarray, queries: int, *, normalized: bool = False) -> None:
        self._normalized = normalized
        self._positives = positives if normalized else _directions(positives)
        self._offsets = spans(of_query, queries)
        self._single = bool((np.diff(self._offsets) == 1).all())

    def cosines(self, query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Mean and greatest cosine of each candidate to a positive of its query: float64 (q, n, 2).

        ``query`` (q,) are queries, each of which has a positive; ``vectors`` float32 (q, n, d) those of
        ``n`` candidates of each.
        """
        if not self._normalized:
            vectors = _directions(vectors)
        if self._single:
            return np.repeat(dots(self._positives[query][:, None], vectors).astype(np.float64)[..., None], 2, axis=2)
        positive = expand(self._offsets, query)
        counts = np.diff(self._offsets)[query]
        of = np.repeat(np.arange(len(query)), counts)
        each = np.empty((vectors.shape[1], len(positive)), np.float64)
        starts = np.cumsum(counts) - counts
        many = counts >= _MANY
        for row in np.flatnonzero(many).tolist():  # alone a query needs no copy of its candidates for each positive
            first, last = self._offsets[query[row] : query[row] + 2]
            each[:, starts[row] : starts[row] + counts[row]] = dots(self._positives[first:last, None], vectors[row]).T
        few = np.flatnonzero(~many[of])
        step = max(_CHUNK // max(vectors.shape[1], 1), 1)
        for low in range(0, len(few), step):
            part = few[low : low + step]
            each[:, part] = dots(self._positives[positive[part]][:, None], vectors[of[part]]).T
        if not each.size:
            return np.empty((*vectors.shape[:2], 2), np.float64)
        mean = np.add.reduceat(each, starts, axis=1) / counts
        return np.stack([mean.T, np.maximum.reduceat(each, starts, axis=1).T], axis=2)


def _directions(vectors: np.ndarray) -> np.ndarray:
    """The vectors (..., d) scaled to length 1; a vector of zeros stays one."""
    squares = vectors.astype(np.float64)
    squares *= squares
    norms = np.sqrt(squares.sum(axis=-1))
    norms[norms == 0] = 1
    return vectors * (1 / norms).astype(np.float32)[..., None]


def gather(blocks: Blocks, passage: np.ndarray) -> np.ndarray:
    """Vectors of the given passages (any order, repetitions allowed): float32 (n, d)."""
    found: np.ndarray | None = None
    order = np.argsort(passage, kind="stable")
    ordered = passage[order]
    for start, vectors in blocks():
        if found is None:
            found = np.empty((len(passage), vectors.shape[1]), np.float32)
        low, high = np.searchsorted(ordered, [start, start + len(vectors)])
        found[order[low:high]] = vectors[ordered[low:high] - start]
    return found if found is not None else np.empty((len(passage), 0), np.float32)
