"""Mined candidates of some queries, as the arrays that every rule works on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from negmine.arrays import positions

STANDARD_DEPTH = 100
"""Candidates of a query that its means and spreads are taken over, so that they do not depend on ``mine.k``."""


@dataclass(frozen=True)
class Candidates:
    """Candidates of q queries: arrays (n,), grouped by ``query`` (from 0) and best first within one.

    ``rank`` counts from 1 as mined; ``positive_similarity`` is the greatest cosine to a positive of the
    query; ``excluded`` is 0, or 1 + the place in ``EXCLUSION_REASONS``; ``same`` holds a mask (n,) per
    column of ``exclude_same``. Per query (q,): ``reference`` score, ``positive_rank`` (the best rank that
    one of its positives has in the list as mined, infinite when it is not there), ``query_key``. The keys
    seed random draws. ``more_scores`` (n,) and ``more_references`` (q,) are those of further scorers, whose
    margins count as well.
    """

    query: np.ndarray
    passage: np.ndarray
    rank: np.ndarray
    score: np.ndarray
    positive_similarity: np.ndarray
    excluded: np.ndarray
    passage_key: np.ndarray
    reference: np.ndarray
    positive_rank: np.ndarray
    query_key: np.ndarray
    same: tuple[np.ndarray, ...] = ()
    more_scores: tuple[np.ndarray, ...] = ()
    more_references: tuple[np.ndarray, ...] = ()

    def __len__(self) -> int:
        return len(self.query)

    @property
    def queries(self) -> int:
        """How many queries there are."""
        return len(self.reference)

    @cached_property
    def eligible(self) -> np.ndarray:
        """Candidates that are no positive, no copy of one and not of its group: bool (n,)."""
        allowed = self.excluded == 0
        for shares in self.same:
            allowed &= ~shares
        return allowed

    @cached_property
    def positive_similarity_z(self) -> np.ndarray:
        """Similarities to the positives in standard deviations from the mean of the query's list: float64 (n,).

        The list is the first ``STANDARD_DEPTH`` eligible candidates; 0 where they do not differ.
        """
        # Relative to the first of them: equal values differ by exactly 0, whatever their size.
        values = self.positive_similarity
        rows = np.flatnonzero(self.eligible)
        place = positions(self.query[rows])
        rows, first = rows[place < STANDARD_DEPTH], rows[place == 0]
        level = np.zeros(self.queries)
        level[self.query[first]] = values[first]
        relative = values - level[self.query]
        group, picked = self.query[rows], relative[rows]
        count = np.maximum(np.bincount(group, minlength=self.queries), 1)
        mean = np.bincount(group, weights=picked, minlength=self.queries) / count
        spread = np.bincount(group, weights=(picked - mean[group]) ** 2, minlength=self.queries) / count
        deviation = np.sqrt(spread)
        varied = deviation > 0
        scale = np.where(varied, 1 / np.where(varied, deviation, 1), 0)
        relative -= mean[self.query]
        relative *= scale[self.query]
        return relative

    def of_queries(self, chosen: np.ndarray) -> Candidates:
        """Those of some queries (ascending numbers), which are numbered anew from 0."""
        number = np.full(self.queries, -1)
        number[chosen] = np.arange(len(chosen))
        rows = number[self.query] >= 0
        return Candidates(
            query=number[self.query[rows]],
            passage=self.passage[rows],
            rank=self.rank[rows],
            score=self.score[rows],
            positive_similarity=self.positive_similarity[rows],
            excluded=self.excluded[rows],
            passage_key=self.passage_key[rows],
            reference=self.reference[chosen],
            positive_rank=self.positive_rank[chosen],
            query_key=self.query_key[chosen],
            same=tuple(shares[rows] for shares in self.same),
            more_scores=tuple(score[rows] for score in self.more_scores),
            more_references=tuple(reference[chosen] for reference in self.more_references),
        )


def joined(parts: list[Candidates]) -> Candidates:
    """Candidates of several sets of queries as one."""
    first = np.cumsum([0, *(part.queries for part in parts)])

    def stacked(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    names = ("passage", "rank", "score", "positive_similarity", "excluded", "passage_key")

    def each_stacked(name: str) -> tuple[np.ndarray, ...]:
        columns = zip(*(getattr(part, name) for part in parts), strict=True)
        return tuple(np.concatenate(column) for column in columns)

    return Candidates(
        query=np.concatenate([part.query + start for part, start in zip(parts, first[:-1], strict=True)]),
        **{name: stacked(name) for name in (*names, "reference", "positive_rank", "query_key")},
        same=each_stacked("same"),
        more_scores=each_stacked("more_scores"),
        more_references=each_stacked("more_references"),
    )
