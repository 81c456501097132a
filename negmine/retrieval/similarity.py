"""Similarity functions: higher is closer, the same for candidates and positives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")

Blocks = Callable[[], Iterable[tuple[int, np.ndarray]]]
"""Starts a pass over the passage vectors: (first passage, float32 (b, d)) in order."""

# Pairs scored at once: three float64 copies of this many vectors stay in the processor's cache.
_CHUNK = 256


def pair_scores(queries: np.ndarray, passages: np.ndarray, similarity: str) -> np.ndarray:
    """Score of each row of ``queries`` with the same row of ``passages``: float64 (n,).

    Both are float32 (n, d). Every score is computed alone, in float64, by the same sequence of
    operations, so it does not depend on what else is scored with it. Cosine is the dot product:
    its vectors are normalised when they are embedded.
    """
    scores = np.empty(len(queries), np.float64)
    for low in range(0, len(queries), _CHUNK):
        high = low + _CHUNK
        left, right = queries[low:high].astype(np.float64), passages[low:high].astype(np.float64)
        if similarity in ("cosine", "dot"):
            left *= right
            scores[low:high] = left.sum(axis=1)
        else:
            left -= right
            if similarity == "euclidean":
                left *= left
                scores[low:high] = -np.sqrt(left.sum(axis=1))
            else:
                scores[low:high] = -np.abs(left, out=left).sum(axis=1)
    return scores


def score_pairs(
    query_vectors: np.ndarray, blocks: Blocks, query: np.ndarray, passage: np.ndarray, similarity: str
) -> np.ndarray:
    """Scores of pairs (row of ``query_vectors``, passage number), in one pass over the blocks.

    ``query`` and ``passage`` are int (n,) in any order; the result is float64 (n,).
    """
    scores = np.empty(len(query), np.float64)
    if not len(query):
        return scores
    order = np.argsort(passage, kind="stable")
    ordered = passage[order]
    for start, vectors in _until(blocks, int(ordered[-1])):
        low, high = np.searchsorted(ordered, [start, start + len(vectors)])
        for first in range(low, high, 8 * _CHUNK):
            rows = order[first : min(first + 8 * _CHUNK, high)]
            scores[rows] = pair_scores(query_vectors[query[rows]], vectors[passage[rows] - start], similarity)
    return scores


def _until(blocks: Blocks, last: int) -> Iterator[tuple[int, np.ndarray]]:
    for start, vectors in blocks():
        if start > last:
            return
        yield start, vectors
