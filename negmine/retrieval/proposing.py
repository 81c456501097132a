"""Which passages may be a query's nearest, in single precision: proposals for ``search_exact``.

A proposal compares *values*: products for cosine and dot, minus squared distances for euclidean,
minus sums of absolute differences for manhattan. Higher is nearer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from negmine.retrieval.similarity import Blocks

_PASSAGES = 2048
"""Passages compared at once with the queries of one chunk: the values stay in the processor's cache."""
_QUERIES = (128, 512)
"""Least and most queries of a chunk."""


@dataclass(frozen=True)
class Proposed:
    """Pairs (n,) by query, about best first; what was left out of query q has at most the value ``floor[q]``.

    ``floor`` float64 (q,) is -inf where nothing was left out; ``greatest`` is the greatest norm of a
    passage.
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
    """By products of matrices on as many threads as faiss uses; manhattan by faiss."""
    if similarity == "manhattan":
        return _propose_manhattan(query_vectors, blocks, wanted)
    threads = faiss.omp_get_max_threads()
    size = int(np.clip(-(-len(query_vectors) // (4 * threads)), *_QUERIES))
    chunks = [
        _Chunk(query_vectors, rows[low : low + size], width)
        for rows, width in group_by_depth(wanted)
        for low in range(0, len(rows), size)
    ]
    greatest = 0.0
    with workers() as pool:
        for start, vectors in blocks():
            pieces = [vectors[low : low + _PASSAGES] for low in range(0, len(vectors), _PASSAGES)]
            squares = np.concatenate(list(pool.map(_squares, pieces)))
            greatest = max(greatest, float(np.sqrt(squares.max())))
            halves = squares / 2 if similarity == "euclidean" else None
            list(pool.map(partial(_Chunk.compare, start=start, vectors=vectors, halves=halves), chunks))
        pairs = list(pool.map(_Chunk.pairs, chunks))
    floor = np.full(len(query_vectors), -np.inf)
    for chunk in chunks:
        floor[chunk.rows] = chunk.floor
    if similarity == "euclidean":
        floor = minus_squared_distance(floor, query_vectors)
    query, passage = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return Proposed(query, passage, floor, greatest)


def minus_squared_distance(products: np.ndarray, query_vectors: np.ndarray) -> np.ndarray:
    """From q . p - |p|^2 / 2 of each query (q,), in float64: -|q - p|^2."""
    return 2 * products - np.einsum("ij,ij->i", query_vectors, query_vectors, dtype=np.float64)


@contextlib.contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """As many threads as faiss uses, each of which computes its products alone."""
    threads = faiss.omp_get_max_threads()  # before the limit: a BLAS that runs on OpenMP limits faiss with it
    try:
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
            yield pool
    finally:
        faiss.omp_set_num_threads(threads)


def _squares(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", vectors, vectors)


class _Chunk:
    """The ``width`` best passages of some queries, as far as these were compared.

    A value that beats a query's ``floor`` is noted in one of 2 * ``width`` places. Once they are
    taken, the best ``width`` stay, and the floor rises to the last of them.
    """

    def __init__(self, query_vectors: np.ndarray, rows: np.ndarray, width: int) -> None:
        self.rows, self.width, self._room = rows, width, 2 * width
        self.floor = np.full(len(rows), -np.inf, np.float32)
        self._vectors = query_vectors[rows]
        self._value = np.full((len(rows), self._room), -np.inf, np.float32)
        self._passage = np.zeros((len(rows), self._room), np.int64)
        self._noted = np.zeros(len(rows), np.int64)

    def compare(self, start: int, vectors: np.ndarray, halves: np.ndarray | None) -> None:
        """With the passages ``start`` ... of a block (b, d); ``halves`` (b,) of squared norms are subtracted."""
        buffer = np.empty(len(self.rows) * min(_PASSAGES, len(vectors)), np.float32)
        for low in range(0, len(vectors), _PASSAGES):
            part = vectors[low : low + _PASSAGES]
            values = buffer[: len(self.rows) * len(part)].reshape(len(self.rows), len(part))
            np.matmul(self._vectors, part.T, out=values)
            if halves is not None:
                values -= halves[low : low + len(part)]
            self._note(values, start + low)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """What stays in the end: query (n,), passage (n,), best first."""
        self._tighten()
        order = np.argsort(-self._value[:, : self.width], axis=1)
        passage = np.take_along_axis(self._passage[:, : self.width], order, axis=1)
        there = np.arange(self.width) < self._noted[:, None]
        return np.repeat(self.rows, self._noted), passage[there]

    def _note(self, values: np.ndarray, first: int) -> None:
        """What beats its query's floor among ``values`` (m, n), those of the passages from ``first`` on."""
        flat, row, counts = self._above(values)
        if (self._noted + counts > self._room).any():
            self._tighten()
            self._raise(np.flatnonzero(self._noted + counts > self._room), values)
            flat, row, counts = self._above(values)
            crowded = self._noted + counts > self._room
            if crowded.any():
                self._take_all(np.flatnonzero(crowded), values, first)
                left = ~crowded[row]
                flat, row, counts = flat[left], row[left], np.where(crowded, 0, counts)
        # A row's new values go behind those that are there.
        behind = np.arange(len(self.rows)) * self._room + self._noted - (np.cumsum(counts) - counts)
        place = behind[row]
        place += np.arange(len(row))
        self._value.ravel()[place] = values.ravel()[flat]
        self._passage.ravel()[place] = flat - row * values.shape[1] + first
        self._noted += counts

    def _above(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places in the flat ``values`` above the floor, their rows, and how many each row has."""
        flat = np.flatnonzero(values > self.floor[:, None])
        row = flat // values.shape[1]
        return flat, row, np.bincount(row, minlength=len(self.rows))

    def _raise(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Let the floors of ``rows`` rise to where these values alone allow it."""
        edge = values.shape[1] - self.width
        if edge >= 0 and len(rows):
            last = np.partition(values[rows], edge, axis=1)[:, edge]
            self.floor[rows] = np.maximum(self.floor[rows], np.nextafter(last, np.float32(-np.inf)))

    def _tighten(self) -> None:
        over = np.flatnonzero(self._noted > self.width)
        if len(over):
            self._keep_best(over, self._value[over], self._passage[over])

    def _take_all(self, rows: np.ndarray, values: np.ndarray, first: int) -> None:
        """Of ``rows``, in which too many values tie, the best of old and new at once."""
        numbers = np.broadcast_to(np.arange(first, first + values.shape[1]), (len(rows), values.shape[1]))
        value = np.concatenate([self._value[rows], values[rows]], axis=1)
        self._keep_best(rows, value, np.concatenate([self._passage[rows], numbers], axis=1))

    def _keep_best(self, rows: np.ndarray, value: np.ndarray, passage: np.ndarray) -> None:
        """Of (r, n) values, more than ``width`` of them real in each row."""
        edge = value.shape[1] - self.width
        best = np.argpartition(value, edge, axis=1)[:, edge:]
        value = np.take_along_axis(value, best, axis=1)
        self._value[rows, : self.width], self._value[rows, self.width :] = value, -np.inf
        self._passage[rows, : self.width] = np.take_along_axis(passage, best, axis=1)
        self._noted[rows] = self.width
        self.floor[rows] = value[:, 0]


def _propose_manhattan(query_vectors: np.ndarray, blocks: Blocks, wanted: np.ndarray) -> Proposed:
    groups = [(rows, np.ascontiguousarray(query_vectors[rows]), width) for rows, width in group_by_depth(wanted)]
    heaps = [faiss.ResultHeap(len(rows), width, keep_max=False) for rows, _, width in groups]
    greatest, passages = 0.0, 0
    for start, vectors in blocks():
        greatest = max(greatest, float(np.sqrt(_squares(vectors).max())))
        passages = start + len(vectors)
        for heap, (_, group_vectors, width) in zip(heaps, groups, strict=True):
            values, local = faiss.knn(group_vectors, vectors, min(width, len(vectors)), metric=faiss.METRIC_L1)
            heap.add_result(values, local + start)
    floor = np.full(len(query_vectors), -np.inf)
    query, passage = [], []
    for heap, (rows, _, width) in zip(heaps, groups, strict=True):
        heap.finalize()
        if width < passages:
            floor[rows] = -heap.D[:, -1].astype(np.float64)
        query.append(np.repeat(rows, width))
        passage.append(heap.I.ravel())
    joined = np.concatenate(passage)
    there = joined >= 0
    return Proposed(np.concatenate(query)[there], joined[there], floor, greatest)
