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
    groups = [_Group(rows, np.ascontiguousarray(query_vectors[rows]), width) for rows, width in group_by_depth(wanted)]
    metric, sign = _METRICS[similarity]
    greatest, passages = 0.0, 0
    for start, vectors in blocks():
        greatest = max(greatest, greatest_norm(vectors, similarity))
        passages = start + len(vectors)
        for group in groups:
            values, local = faiss.knn(group.vectors, vectors, min(group.width, len(vectors)), metric=metric)
            group.add(values, local + start, keep_max=sign > 0)
    floor = np.full(len(query_vectors), -np.inf)
    query, passage = [], []
    for group in groups:
        values, numbers = group.best()
        if group.width < passages:
            floor[group.rows] = sign * values[:, -1].astype(np.float64)
        there = numbers.ravel() >= 0
        query.append(np.repeat(group.rows, numbers.shape[1])[there])
        passage.append(numbers.ravel()[there])
    return Proposed(np.concatenate(query), np.concatenate(passage), floor, greatest)


class _Group:
    """The ``width`` best passages so far of the queries ``rows``."""

    def __init__(self, rows: np.ndarray, vectors: np.ndarray, width: int) -> None:
        self.rows, self.vectors, self.width = rows, vectors, width
        self._found: list[tuple[np.ndarray, np.ndarray]] = []
        self._heap: faiss.ResultHeap | None = None

    def add(self, values: np.ndarray, numbers: np.ndarray, *, keep_max: bool) -> None:
        """What was found in one block, best first. That of the first stays as it is until there is a second."""
        if self._heap is None and not self._found:
            self._found.append((values, numbers))
            return
        if self._heap is None:
            self._heap = faiss.ResultHeap(len(self.rows), self.width, keep_max=keep_max)
            self._heap.add_result(*self._found.pop())
        self._heap.add_result(values, numbers)

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and passages (q, w), best first; -1 where there are fewer."""
        if self._heap is None:
            return self._found.pop()
        self._heap.finalize()
        return self._heap.D, self._heap.I
