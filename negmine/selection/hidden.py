"""Queries with several positives, some of which are hidden: what a filter does to a relevant passage.

A hidden positive is treated as any other candidate. Whether it comes back as a negative is the only
thing about false negatives that labels can tell without judging more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from negmine.selection.candidates import Candidates
from negmine.selection.random import mix
from negmine.selection.verdicts import reference_scores


@dataclass(frozen=True)
class Labelled:
    """Lists of queries with two positives or more.

    ``candidates`` as mined, with own positives among them (excluded); ``calibrating`` (q,) marks the queries
    that models and margins may be fitted on, so that leaks are measured on others; ``is_positive`` (n,) is
    the place of a candidate among the positives, -1 for the others. Positives (p,), grouped by query:
    ``of_query``, ``score``, ``rank`` (infinite when not in the list), ``key`` (seeds draws). Pairs (m,) of
    candidates and positives of the same query, grouped by candidate: ``pair_row``, ``pair_positive``, their
    cosine ``pair_similarity`` and whether they are the ``pair_same``, a mask per column of ``exclude_same``.
    ``more_scores`` (p,) are those of further scorers, as the candidates have them.
    """

    candidates: Candidates
    calibrating: np.ndarray
    is_positive: np.ndarray
    of_query: np.ndarray
    score: np.ndarray
    rank: np.ndarray
    key: np.ndarray
    pair_row: np.ndarray
    pair_positive: np.ndarray
    pair_similarity: np.ndarray
    pair_same: tuple[np.ndarray, ...] = ()
    more_scores: tuple[np.ndarray, ...] = ()

    def draw(self, seed: int, *, keep_one: bool) -> np.ndarray:
        """Which positives to hide: one of each query, or all but one: bool (p,)."""
        query_key = self.candidates.query_key[self.of_query]
        order = np.lexsort((mix(seed, query_key, self.key), self.of_query))
        first = np.ones(len(order), bool)
        first[1:] = np.diff(self.of_query[order]) != 0
        drawn = np.zeros(len(order), bool)
        drawn[order[first]] = True
        return ~drawn if keep_one else drawn

    def hide(self, hidden: np.ndarray, how: str) -> tuple[Candidates, np.ndarray]:
        """The candidates as if ``hidden`` (p,) were not labelled, and which of them are hidden ones (n,).

        ``how`` is ``filter.reference``. Every query keeps a positive.
        """
        shown = ~hidden
        queries = self.candidates.queries
        reference, *more = (
            reference_scores(self.of_query[shown], score[shown], how, queries)
            for score in (self.score, *self.more_scores)
        )
        rank = np.full(queries, np.inf)
        np.minimum.at(rank, self.of_query[shown], self.rank[shown])
        similarity = np.full(len(self.candidates), -np.inf)
        pairs = shown[self.pair_positive]
        np.maximum.at(similarity, self.pair_row[pairs], self.pair_similarity[pairs])
        n = len(self.candidates)
        same = tuple(np.bincount(self.pair_row[pairs & shares], minlength=n) > 0 for shares in self.pair_same)
        is_hidden = (self.is_positive >= 0) & hidden[self.is_positive]
        changed = replace(
            self.candidates,
            positive_similarity=similarity,
            excluded=np.where(is_hidden, 0, self.candidates.excluded),
            reference=reference,
            more_references=tuple(more),
            positive_rank=rank,
            same=same,
        )
        return changed, is_hidden
