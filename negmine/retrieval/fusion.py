"""What several retrievers found, as one list of candidates that says who found each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from negmine.arrays import expand, positions

RRF_K = 60
"""How little the first ranks count more than the next."""


@dataclass(frozen=True)
class Hits:
    """What one retriever found: parallel arrays (n,), a pair of ``query`` and ``passage`` at most once.

    ``rank`` counts from 1 in the retriever's own list.
    """

    query: np.ndarray
    passage: np.ndarray
    rank: np.ndarray

    @classmethod
    def in_order(cls, query: np.ndarray, passage: np.ndarray) -> Hits:
        """What is by query and there best first."""
        return cls(query, passage, (positions(query) + 1).astype(np.int32))

    def rows(self, rows: np.ndarray) -> Hits:
        """Some of them, by number or mask."""
        return Hits(self.query[rows], self.passage[rows], self.rank[rows])


@dataclass(frozen=True)
class Pool:
    """Distinct candidates: ``query`` and ``passage`` (m,), and for each the retrievers that found it.

    Those of candidate i are ``retriever[offsets[i]:offsets[i + 1]]``, ascending, with ``rank`` beside them;
    ``offsets`` is (m + 1,) and every candidate has one at least.
    """

    query: np.ndarray
    passage: np.ndarray
    offsets: np.ndarray
    retriever: np.ndarray
    rank: np.ndarray

    def found_by(self, retriever: int) -> np.ndarray:
        """Which candidates a retriever found: bool (m,)."""
        found = np.zeros(len(self.query), bool)
        found[np.repeat(np.arange(len(found)), np.diff(self.offsets))[self.retriever == retriever]] = True
        return found

    def in_order(self, rows: np.ndarray) -> Pool:
        """The candidates ``rows`` (m,), in that order."""
        hits = expand(self.offsets, rows)
        offsets = np.concatenate([[0], np.cumsum(np.diff(self.offsets)[rows])])
        return Pool(self.query[rows], self.passage[rows], offsets, self.retriever[hits], self.rank[hits])


def pooled(found: Sequence[Hits], passages: int) -> tuple[Pool, tuple[np.ndarray, ...]]:
    """The union of what retrievers 0, 1, ... found, and for each of them the candidate of every hit (n,).

    ``passages`` is how many there are in all. Candidates come by query and passage; those of a single
    retriever stay as they are.
    """
    if len(found) == 1:
        hits = found[0]
        rows = np.arange(len(hits.query))
        alone = np.zeros(len(rows), np.int64)
        return Pool(hits.query, hits.passage, np.arange(len(rows) + 1), alone, hits.rank), (rows,)
    keys = [hits.query.astype(np.int64) * passages + hits.passage for hits in found]
    distinct, row = np.unique(np.concatenate(keys), return_inverse=True)
    retriever = np.repeat(np.arange(len(found)), [len(key) for key in keys])
    order = np.lexsort((retriever, row))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(distinct)))])
    rank = np.concatenate([hits.rank for hits in found])
    pool = Pool(distinct // passages, distinct % passages, offsets, retriever[order], rank[order])
    return pool, tuple(np.split(row, np.cumsum([len(key) for key in keys])[:-1]))


def reciprocal_ranks(pool: Pool) -> np.ndarray:
    """Sum over the retrievers that found a candidate of 1 / (60 + its rank): float64 (m,), higher is better.

    Reciprocal rank fusion of Cormack, Clarke and Buettcher (SIGIR 2009), with their constant. Equal ranks give equal
    sums, whichever retriever has which.
    """
    candidate = np.repeat(np.arange(len(pool.query)), np.diff(pool.offsets))
    rank = pool.rank[np.lexsort((pool.rank, candidate))]
    return np.bincount(candidate, weights=1.0 / (RRF_K + rank), minlength=len(pool.query))
