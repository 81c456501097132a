"""Which passages may be a query's nearest, in single precision: proposals for ``search_exact``.

A proposal compares *values*: products for cosine and dot, minus squared distances for euclidean,
minus sums of absolute differences for manhattan. Higher is nearer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np

from negmine.retrieval.similarity import Blocks, greatest_norm

_METRICS = {
    "cosine": (faiss.METRIC_INNER_PRODUCT, 1),
    "dot": (faiss.METRIC_INNER_PRODUCT, 1),
    "euclidean": (faiss.METRIC_L2, -1),
    "manhattan": (faiss.METRIC_L1, -1),
}
"""What faiss computes, and the sign that makes it a value: it gives squared distances for euclidean."""


@dataclass(frozen=True)
class Proposed:
    """Pairs (n,) by query, about best first; what was left out of query q has at most the value ``floor[q]``.

    ``floor`` float64 (q,) is -inf where nothing was left out; no passage is longer than
    ``greatest``.
    """

    query: np.ndarray
    passage: np.ndarray
    floor: np.ndarray
    greatest: float


Propose = Callable[[np.ndarray, Blocks, np.ndarray, str], Proposed]
"""Given query vectors float32 (q, d), blocks, how many passages each query wants (q,) and the similarity."""


def group_by_depth(fetch: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Rows of queries to search together, with the depth of each group.

    Groups are powers of two of ``fetch``, so that one query with thousands of positives costs
    the others nothing.
    """
    level = np.ceil(np.log2(np.maximum(fetch, 1)))
    groups = [np.flatnonzero(level == value) for value in np.unique(level)]
    return [(rows, int(fetch[rows].max())) for rows in groups]


def propose_on_cpu(query_vectors: np.ndarray, blocks: Blocks, wanted: np.ndarray, similarity: str) -> Proposed:
    """By faiss, on as many threads as it is set to use."""
    groups = [(rows, np.ascontiguousarray(query_vectors[rows]), width) for rows, width in group_by_depth(wanted)]
    metric, sign = _METRICS[similarity]
    heaps = [faiss.ResultHeap(len(rows), width, keep_max=sign > 0) for rows, _, width in groups]
    greatest, passages = 0.0, 0
    for start, vectors in blocks():
        greatest = max(greatest, greatest_norm(vectors, similarity))
        passages = start + len(vectors)
        for heap, (_, group_vectors, width) in zip(heaps, groups, strict=True):
            values, local = faiss.knn(group_vectors, vectors, min(width, len(vectors)), metric=metric)
            heap.add_result(values, local + start)
    floor = np.full(len(query_vectors), -np.inf)
    query, passage = [], []
    for heap, (rows, _, width) in zip(heaps, groups, strict=True):
        heap.finalize()
        if width < passages:
            floor[rows] = sign * heap.D[:, -1].astype(np.float64)
        query.append(np.repeat(rows, width))
        passage.append(heap.I.ravel())
    joined = np.concatenate(passage)
    there = joined >= 0
    return Proposed(np.concatenate(query)[there], joined[there], floor, greatest)
