"""Similarity functions: higher is closer, the same for candidates and positives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import faiss
import numpy as np

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")

Blocks = Callable[[], Iterable[tuple[int, np.ndarray]]]
"""Starts a pass over the passage vectors: (first passage, float32 (b, d)) in order."""

Seen = Callable[[np.ndarray, np.ndarray], None]
"""Is given some rows of pairs (m,) and the vectors of their passages, float32 (m, d), to be read at
once. Threads call it at the same time, with different rows."""

# Pairs scored at once: a few copies of this many vectors stay in the processor's cache.
_CHUNK = 512


def pair_scores(queries: np.ndarray, passages: np.ndarray, similarity: str) -> np.ndarray:
    """Score of each row of ``queries`` with the same row of ``passages``: float64 (n,).

    ``queries`` are float32 or float64 (n, d), ``passages`` float32 (n, d). Every score is computed
    alone, in float64, by the same sequence of operations, so it does not depend on what else is
    scored with it. Cosine is the dot product: its vectors are normalised when they are embedded.
    """
    scores = np.empty(len(queries), np.float64)
    combine = np.multiply if similarity in ("cosine", "dot") else np.subtract
    buffer = np.empty((min(_CHUNK, len(queries)), queries.shape[1]), np.float64)
    for low in range(0, len(queries), _CHUNK):
        high = min(low + _CHUNK, len(queries))
        each = buffer[: high - low]
        np.copyto(each, passages[low:high])  # apart: numpy converts piece by piece what it is to combine
        combine(queries[low:high], each, out=each)
        if similarity in ("cosine", "dot"):
            scores[low:high] = each.sum(axis=1)
        elif similarity == "euclidean":
            each *= each
            scores[low:high] = -np.sqrt(each.sum(axis=1))
        else:
            scores[low:high] = -np.abs(each, out=each).sum(axis=1)
    return scores


def score_pairs(
    query_vectors: np.ndarray,
    blocks: Blocks,
    query: np.ndarray,
    passage: np.ndarray,
    similarity: str,
    seen: Seen | None = None,
) -> np.ndarray:
    """Scores of pairs (row of ``query_vectors``, passage number), in one pass over the blocks.

    ``query`` and ``passage`` are int (n,) in any order, fastest by query; the result is float64
    (n,). ``seen`` is called with the passages of every pair, some pairs at a time. Works on as many
    threads as faiss does.
    """
    scores = np.empty(len(query), np.float64)
    if not len(query):
        return scores
    threads = faiss.omp_get_max_threads()
    wide = query_vectors.astype(np.float64)

    def score(inside: np.ndarray, start: int, vectors: np.ndarray) -> None:
        shape = (min(_CHUNK, len(inside)), query_vectors.shape[1])
        lefts, rights = np.empty(shape, np.float64), np.empty(shape, np.float32)
        for low in range(0, len(inside), _CHUNK):
            rows = inside[low : low + _CHUNK]
            left, right = lefts[: len(rows)], rights[: len(rows)]
            # Any mode but "raise" writes into ``out`` without a copy in between.
            wide.take(query[rows], axis=0, out=left, mode="clip")
            vectors.take(passage[rows] - start, axis=0, out=right, mode="clip")
            scores[rows] = pair_scores(left, right, similarity)
            if seen is not None:
                seen(rows, right)

    with ThreadPoolExecutor(threads) as pool:
        for start, vectors in _until(blocks, int(passage.max())):
            inside = np.flatnonzero((passage >= start) & (passage < start + len(vectors)))
            shares = [inside] if len(inside) <= _CHUNK else np.array_split(inside, threads)
            list(pool.map(partial(score, start=start, vectors=vectors), shares))
    return scores


def _until(blocks: Blocks, last: int) -> Iterator[tuple[int, np.ndarray]]:
    for start, vectors in blocks():
        if start > last:
            return
        yield start, vectors
