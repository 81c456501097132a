"""A query's own passages, which are no negatives of it, in the lists of the retrievers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from negmine.arrays import find_pairs


@dataclass(frozen=True)
class Own:
    """Distinct pairs ``query`` and ``passage`` (p,), sorted, that can be no negatives: positives and their copies.

    Hits of a batch count its queries from 0, which is the query ``low`` here.
    """

    query: np.ndarray
    passage: np.ndarray
    low: int
    passages: int

    def places(self, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
        """Where pairs (n,) of a batch are among them, -1 for those that are not: (n,)."""
        return find_pairs(query + self.low, passage, self.query, self.passage, self.passages)

    def ranks(self, rank_of_hit: np.ndarray, place: np.ndarray, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
        """Rank of each positive, ``query`` (not counted from the batch) and ``passage`` (m,), among hits that have
        ranks and places (n,); 0 where it is not among them: int32 (m,)."""
        rank = np.zeros(len(self.query), np.int32)
        rank[place[place >= 0]] = rank_of_hit[place >= 0]
        ranks: np.ndarray = rank[find_pairs(query, passage, self.query, self.passage, self.passages)]
        return ranks


def ranked_by(ranks: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray], positives: int) -> dict[str, Any]:
    """The columns that say of each positive which rank and score every retriever gives it: null for a rank of 0, and
    where the retriever has no scores. Arrays by retriever are as long as there are ``positives``."""
    rank, score = np.zeros((positives, len(ranks)), np.int32), np.full((positives, len(ranks)), np.nan)
    for column, name in enumerate(ranks):
        rank[:, column] = ranks[name]
        score[:, column] = scores.get(name, np.nan)
    number = np.tile(np.arange(len(ranks)), positives)
    values = {
        "retrievers": pa.array(list(ranks), pa.string()).take(pa.array(number, pa.int64())),
        "ranks": pa.array(rank.ravel(), mask=rank.ravel() == 0),
        "scores": pa.array(score.ravel(), mask=np.isnan(score.ravel())),
    }
    offsets = pa.array(np.arange(positives + 1) * len(ranks), pa.int32())
    return {name: pa.ListArray.from_arrays(offsets, array) for name, array in values.items()}
