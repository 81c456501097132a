"""Similarity functions: higher is closer, the same for candidates and positives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import faiss
import numpy as np

from negmine.arrays import dots, runs_of_equal_length

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")

Blocks = Callable[[], Iterable[tuple[int, np.ndarray]]]
"""Starts a pass over the passage vectors: (first passage, float32 (b, d)) in order."""

Seen = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
"""Is given queries (g,), which ``w`` pairs of each they are, (g, w), and the vectors of these pairs' passages, float32
(g, w, d), to be read at once. Threads call it at the same time, with different pairs."""

_UNIT = 1 + 2.0**-10
"""Vectors that are compared by cosine are normalised when they are embedded; half precision may lengthen them by half
of that."""

_CHUNK = 1024
"""Pairs scored at once: enough that threads seldom wait for each other, few enough for the processor's cache."""


def greatest_norm(vectors: np.ndarray, similarity: str) -> float:
    """At least the length of the longest of the vectors (n, d)."""
    if similarity == "cosine":
        return _UNIT
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max()))


def pair_scores(queries: np.ndarray, passages: np.ndarray, similarity: str) -> np.ndarray:
    """Score of each row of ``queries`` with the same row of ``passages``: float64 (n,).

    ``queries`` are float32 or float64 (n, d), ``passages`` float32 (n, d). Every score is computed
    alone, in float64, by the same sequence of operations, so it does not depend on what else is
    scored with it. Cosine is the dot product: its vectors are normalised when they are embedded.
    """
    scores = np.empty(len(queries), np.float64)
    for low in range(0, len(queries), _CHUNK):
        part = slice(low, low + _CHUNK)
        scores[part] = _scores(queries[part].astype(np.float64), passages[part].astype(np.float64), similarity)
    return scores


def _scores(queries: np.ndarray, passages: np.ndarray, similarity: str) -> np.ndarray:
    """Of float64 (..., d), which are broadcast: (...). ``passages`` may be overwritten."""
    if similarity in ("cosine", "dot"):
        return dots(queries, passages)
    difference = np.subtract(queries, passages, out=passages)
    if similarity == "euclidean":
        return -np.sqrt(dots(difference, difference))
    distances: np.ndarray = np.abs(difference, out=difference).sum(axis=-1)
    return -distances


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

    def score(groups: Sequence[np.ndarray], start: int, vectors: np.ndarray) -> None:
        most = max(rows.size for rows in groups)
        single, double = (np.empty((most, query_vectors.shape[1]), kind) for kind in (np.float32, np.float64))
        for rows in groups:
            of, shape = query[rows[:, 0]], (*rows.shape, query_vectors.shape[1])
            found, widened = single[: rows.size].reshape(shape), double[: rows.size].reshape(shape)
            # Any mode but "raise" writes into ``out`` without a copy in between.
            vectors.take(passage[rows] - start, axis=0, out=found, mode="clip")
            np.copyto(widened, found)
            scores[rows] = _scores(wide[of][:, None], widened, similarity)
            if seen is not None:
                seen(of, rows, found)

    with ThreadPoolExecutor(threads) as pool:
        for start, vectors in _until(blocks, int(passage.max())):
            inside = np.flatnonzero((passage >= start) & (passage < start + len(vectors)))
            groups = [inside[rows] for rows in runs_of_equal_length(query[inside], _CHUNK)]
            shares = [groups[first::threads] for first in range(min(threads, len(groups)))]
            list(pool.map(partial(score, start=start, vectors=vectors), shares))
    return scores


def _until(blocks: Blocks, last: int) -> Iterator[tuple[int, np.ndarray]]:
    for start, vectors in blocks():
        if start > last:
            return
        yield start, vectors
