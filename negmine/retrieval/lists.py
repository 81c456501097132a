"""Search by lists: a query is compared only with the passages in the lists nearest to it.

Passages are put into lists by k-means (an inverted file: Jegou, Douze and Schmid 2011), and a matrix
holds them list by list. Queries that look into the same list are compared with it at once, as one
product of matrices. In the lists that a query looks into the search is exact.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from negmine.arrays import positions
from negmine.retrieval.evidence import Closeness
from negmine.retrieval.exact import Neighbours, rank_and_cut, scored
from negmine.retrieval.list_costs import TRAIN_ROWS
from negmine.retrieval.similarity import Blocks, pair_scores

_CHUNK = 1024
_SUMMED = 128
"""Lists whose passages are summed up at once."""
_SETTLED = 512
"""Queries whose rows are sorted at once."""


@dataclass(frozen=True)
class Lists:
    """Which passages are in which list.

    ``centroids`` float32 (l, d); list i holds the rows ``offsets[i]:offsets[i + 1]`` (l + 1,) of the
    matrix ordered by list, and ``passage`` (n,) are the passages of these rows.
    """

    centroids: np.ndarray
    offsets: np.ndarray
    passage: np.ndarray

    @classmethod
    def of(cls, centroids: np.ndarray, assigned: np.ndarray) -> Lists:
        """From the list of each passage (n,); within a list passages ascend."""
        counts = np.bincount(assigned, minlength=len(centroids))
        return cls(centroids, np.concatenate([[0], np.cumsum(counts)]), np.argsort(assigned, kind="stable"))


def train_lists(sample: np.ndarray, lists: int, similarity: str, seed: int) -> np.ndarray:
    """Centres of ``lists`` lists by k-means on ``sample`` float32 (s, d), s >= lists: float32 (lists, d).

    They are of length 1 for cosine. Equal on any number of threads. Passes take more and more of the
    sample: ``TRAIN_ROWS`` rows per list.
    """
    drawn = np.random.default_rng(seed).permutation(len(sample))
    centroids = sample[drawn[:lists]]
    for rows in TRAIN_ROWS:
        part = sample[drawn[: rows * lists]] if rows * lists < len(sample) else sample
        assigned = assign_lists(part, centroids, similarity)
        order = np.argsort(assigned, kind="stable")
        counts = np.bincount(assigned, minlength=lists)
        present = np.flatnonzero(counts)
        ends = np.cumsum(counts)
        starts = (ends - counts)[present]
        means = np.empty((len(present), sample.shape[1]), np.float64)
        for low in range(0, len(present), _SUMMED):
            some = slice(low, low + _SUMMED)
            first, last = starts[low], ends[present[some][-1]]
            means[some] = np.add.reduceat(part[order[first:last]], starts[some] - first, axis=0, dtype=np.float64)
        means /= counts[present, None]
        if similarity == "cosine":
            norms = np.sqrt((means * means).sum(axis=1, keepdims=True))
            means /= np.where(norms > 0, norms, 1)
        centroids[present] = means
    return centroids


def assign_lists(vectors: np.ndarray, centroids: np.ndarray, similarity: str) -> np.ndarray:
    """The list of each passage (n, d): int64 (n,)."""
    return _nearest(vectors, centroids, _offset(centroids, similarity, passages=True), 1)[:, 0]


def lists_in_order(query_vectors: np.ndarray, centroids: np.ndarray, similarity: str) -> np.ndarray:
    """Place (q, l) of each list, from 0, in the order in which a query looks into them."""
    single = _offset(centroids, similarity, passages=False)
    # Without optimisation einsum runs on one thread, always in the same order.
    scores = np.einsum("qd,ld->ql", query_vectors.astype(np.float64), centroids.astype(np.float64), optimize=False)
    order = np.argsort(-(scores + single), axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(order.shape[1])[None], axis=1)
    return place


def search_lists(
    query_vectors: np.ndarray,
    lists: Lists,
    blocks: Blocks,
    depth: np.ndarray,
    similarity: str,
    nprobe: int,
    closeness: Closeness | None = None,
) -> Neighbours:
    """As ``search_exact``, among the passages of the ``nprobe`` lists nearest to each query.

    ``blocks`` passes over the matrix ordered by list. Does not depend on how the blocks are cut nor
    on the number of threads: single precision only proposes. A query has fewer than its ``depth``
    where its lists hold fewer.
    """
    offset = _offset(lists.centroids, similarity, passages=False)
    probed = _nearest(query_vectors, lists.centroids, offset, nprobe)
    kept = _Kept(query_vectors, np.minimum(depth, len(lists.passage)))
    with _workers() as pool:
        for start, vectors in blocks():
            _compare(kept, lists, probed, start, vectors, similarity, pool)
        kept.settle(pool)
    found = scored(query_vectors, blocks, *kept.pairs(), similarity, closeness)
    return rank_and_cut(replace(found, passage=lists.passage[found.passage]), depth)


class _Kept:
    """Rows of the matrix that may be among a query's nearest, with their single-precision scores."""

    def __init__(self, query_vectors: np.ndarray, depth: np.ndarray) -> None:
        self.vectors, self.depth = query_vectors, depth
        self.norms = np.sqrt(np.einsum("ij,ij->i", query_vectors, query_vectors, dtype=np.float64))
        self.floor = np.full(len(depth), -np.inf)
        """The true score of a query's last passage is at least this."""
        self.slack = np.zeros(len(depth))
        """How far a single-precision score may be from the true one."""
        self._edges = np.append(np.arange(0, max(len(depth), 1), _SETTLED), len(depth))
        """Queries are settled by ranges: how many there are at once does not matter, and a few fit the cache."""
        nothing = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        self._known = [nothing] * (len(self._edges) - 1)
        self._new: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in self._known]

    def seen(self, greatest_norm: float) -> None:
        unit = 2.0 * (self.vectors.shape[1] + 8) * 2.0**-24
        self.slack = np.maximum(self.slack, unit * (self.norms + greatest_norm) * greatest_norm)

    def among(self, rows: np.ndarray, first: int, scores: np.ndarray, *, raising: bool) -> None:
        """Take what reaches the floor of queries ``rows`` (m,), ascending, among ``scores`` (m, n), those of
        the matrix rows from ``first`` on; with ``raising`` their floors rise where n allows it."""
        width, n = int(self.depth[rows].max()), scores.shape[1]
        if raising and 0 < width <= n:
            edge = np.partition(scores, n - width, axis=1)[:, n - width] - self.slack[rows]
            self.floor[rows] = np.maximum(self.floor[rows], edge)
        # Rounded down to single precision, so that nothing is lost.
        least = np.nextafter((self.floor[rows] - self.slack[rows]).astype(np.float32), np.float32(-np.inf))
        flat = np.flatnonzero(scores >= least[:, None])
        query, row, score = rows[flat // n], flat % n + first, scores.ravel()[flat]
        ends = np.searchsorted(query, self._edges)
        for place in np.flatnonzero(np.diff(ends)):
            inside = slice(ends[place], ends[place + 1])
            self._new[place].append((query[inside], row[inside], score[inside]))

    def settle(self, pool: ThreadPoolExecutor, spare: int = 0) -> None:
        """Where more than ``spare`` times as many rows are new as are wanted: forget those that others have outdone."""
        list(pool.map(lambda place: self._settle(place, spare), range(len(self._known))))

    def _settle(self, place: int, spare: int) -> None:
        wanted = self.depth[self._edges[place] : self._edges[place + 1]].sum()
        if sum(len(query) for query, _, _ in self._new[place]) <= spare * wanted:
            return
        query, row, score = (np.concatenate(part) for part in zip(self._known[place], *self._new[place], strict=True))
        self._new[place] = []
        order = np.argsort(_by_query(query, score))
        query, row, score = query[order], row[order], score[order]
        last = positions(query) == self.depth[query] - 1
        self.floor[query[last]] = np.maximum(self.floor[query[last]], score[last] - self.slack[query[last]])
        stay = score + self.slack[query] >= self.floor[query]
        self._known[place] = (query[stay], row[stay], score[stay])

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Once all is settled: the queries, ascending, and the rows of what stays, two arrays (n,)."""
        query, row, _ = (np.concatenate(part) for part in zip(*self._known, strict=True))
        return query, row


def _by_query(query: np.ndarray, score: np.ndarray) -> np.ndarray:
    """A key (n,) that sorts by query, then from the best score on: one sort instead of two."""
    bits = score.view(np.uint32)
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (query.astype(np.uint64) << np.uint64(32)) | (~ascending).astype(np.uint64)


def _compare(
    kept: _Kept,
    lists: Lists,
    probed: np.ndarray,
    start: int,
    vectors: np.ndarray,
    similarity: str,
    pool: ThreadPoolExecutor,
) -> None:
    """Compare each query with what this block has of its lists, list by list."""
    stop = start + len(vectors)
    squares = np.einsum("ij,ij->i", vectors, vectors)
    kept.seen(float(np.sqrt(squares.max())))
    there = (lists.offsets[:-1] < stop) & (lists.offsets[1:] > start) & (np.diff(lists.offsets) > 0)
    query, place = np.nonzero(there[probed])
    of = probed[query, place]
    later = positions(query) > 0
    order = np.lexsort((of, later))
    query, of, later = query[order], of[order], later[order]
    edges = np.flatnonzero((np.diff(of) != 0) | (np.diff(later) != 0)) + 1
    low, high = np.concatenate([[0], edges]), np.concatenate([edges, [len(of)]])

    def compare(group: int) -> None:
        rows, which = query[low[group] : high[group]], of[low[group]]
        first, last = max(lists.offsets[which], start), min(lists.offsets[which + 1], stop)
        inside = slice(first - start, last - start)
        for piece in range(0, len(rows), _CHUNK):
            some = rows[piece : piece + _CHUNK]
            scores = kept.vectors[some] @ vectors[inside].T
            if similarity == "euclidean":
                scores -= squares[inside] / 2
            kept.among(some, int(first), scores, raising=not later[low[group]])

    if not len(query):
        return
    # The nearest list of each query goes first: what it holds keeps most of the others out.
    nearest = int(np.searchsorted(later[low], True))
    list(pool.map(compare, range(nearest)))
    list(pool.map(compare, range(nearest, len(low))))
    kept.settle(pool, spare=4)


def _offset(centroids: np.ndarray, similarity: str, *, passages: bool) -> np.ndarray:
    """What is added to the product with each centre (l,), so that more is nearer.

    Lists of vectors of any length are formed by distance, and chosen by product where the
    similarity is one.
    """
    if similarity == "cosine" or (similarity == "dot" and not passages):
        return np.zeros(len(centroids))
    doubles = centroids.astype(np.float64)
    return -(doubles * doubles).sum(axis=1) / 2


def _nearest(vectors: np.ndarray, centroids: np.ndarray, offset: np.ndarray, count: int) -> np.ndarray:
    """For each vector the ``count`` lists of the highest score: int64 (n, count), about best first."""
    count = min(count, len(centroids))
    greatest = float(np.sqrt(np.einsum("ij,ij->i", centroids, centroids).max()))
    chosen = np.empty((len(vectors), count), np.int64)

    def choose(low: int) -> None:
        part = vectors[low : low + _CHUNK]
        chosen[low : low + _CHUNK] = _chosen(part, centroids, offset, count, greatest)

    with _workers() as pool:
        list(pool.map(choose, range(0, len(vectors), _CHUNK)))
    return chosen


def _chosen(part: np.ndarray, centroids: np.ndarray, offset: np.ndarray, count: int, greatest: float) -> np.ndarray:
    scores = part @ centroids.T
    scores += offset.astype(np.float32)
    last = scores.shape[1] - count
    edge = scores.max(axis=1) if count == 1 else np.partition(scores, last, axis=1)[:, last]
    norms = np.sqrt(np.einsum("ij,ij->i", part, part))
    slack = 4.0 * (part.shape[1] + 8) * 2.0**-24 * (norms + greatest) * greatest
    row, which = np.nonzero(scores >= (edge - slack)[:, None])
    value = scores[row, which].astype(np.float64)
    sure = value > (edge + slack)[row]
    # Where rounding could decide which list is the last one, double precision does.
    close = np.flatnonzero(~sure & (np.bincount(row, minlength=len(part)) > count)[row])
    value[close] = pair_scores(part[row[close]], centroids[which[close]], "dot") + offset[which[close]]
    order = np.lexsort((which, -value, ~sure, row))
    row, which = row[order], which[order]
    lists: np.ndarray = which[positions(row) < count].reshape(len(part), count)
    return lists


@contextlib.contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """As many threads as faiss uses, each of which computes its products alone."""
    threads = faiss.omp_get_max_threads()  # asked before: limiting BLAS limits faiss, too
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        yield pool
