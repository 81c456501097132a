"""What is known of a candidate besides its score: how close it is to the query's positives.

A passage that looks like the labelled answer is probably an answer too; on judged collections
this separates false negatives from true ones better than the score's margin does.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from negmine.arrays import expand, spans
from negmine.retrieval.similarity import Blocks, score_pairs

# Pairs of candidate and positive scored in one pass over the passages.
_PAIRS = 2_000_000


def positive_similarity(
    blocks: Blocks,
    query: np.ndarray,
    passage: np.ndarray,
    of_query: np.ndarray,
    of_passage: np.ndarray,
    *,
    normalized: bool = False,
) -> np.ndarray:
    """Greatest cosine between each candidate (query, passage) and a positive of its query: float64 (n,).

    The positives (of_query, of_passage) are sorted by query; every candidate's query has one.
    ``query`` (n,) counts from 0. ``normalized`` says that all vectors have length 1. The result of
    a pair does not depend on the others.
    """
    directions = blocks if normalized else lambda: _directions(blocks)
    positives = gather(directions, of_passage)
    queries = int(max(query.max(initial=-1), of_query.max(initial=-1))) + 1
    offsets = spans(of_query, queries)
    counts = np.diff(offsets)[query]
    greatest = np.empty(len(query), np.float64)
    total = np.concatenate([[0], np.cumsum(counts)])
    low = 0
    while low < len(query):
        high = max(int(np.searchsorted(total, total[low] + _PAIRS, side="right")) - 1, low + 1)
        rows = expand(offsets, query[low:high])
        candidate = np.repeat(passage[low:high], counts[low:high])
        scores = score_pairs(positives, directions, rows, candidate, "cosine")
        greatest[low:high] = np.maximum.reduceat(scores, total[low:high] - total[low])
        low = high
    return greatest


def _directions(blocks: Blocks) -> Iterator[tuple[int, np.ndarray]]:
    """The blocks with every vector scaled to length 1; a vector of zeros stays one."""
    for start, vectors in blocks():
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        norms[norms == 0] = 1
        yield start, vectors * (1 / norms).astype(np.float32)[:, None]


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
