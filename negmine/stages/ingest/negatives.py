"""Negatives that came with the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from negmine.arrays import find_pairs


@dataclass(frozen=True)
class Given:
    """Given negatives: row of the query, row of the document, place in the list from 1; three arrays (n,)."""

    query: np.ndarray
    document: np.ndarray
    rank: np.ndarray

    def only(self, keep: np.ndarray) -> Given:
        return Given(self.query[keep], self.document[keep], self.rank[keep])


def no_negatives() -> Given:
    """None at all."""
    return Given(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))


def negatives_table(
    query: np.ndarray,
    passage: np.ndarray,
    rank: np.ndarray,
    excluded_query: np.ndarray,
    excluded_passage: np.ndarray,
) -> tuple[dict[str, np.ndarray], int]:
    """Columns of ``negatives.parquet``, and how many pairs were left out because they are excluded.

    ``query``, ``passage`` and ``rank`` (n,) are by number; the excluded pairs (x,) are sorted by query, passage.
    A pair is there once, with its least rank; rows are by query, rank, passage.
    """
    order = np.lexsort((rank, passage, query))
    query, passage, rank = query[order], passage[order], rank[order]
    first = np.ones(len(query), bool)
    first[1:] = (query[1:] != query[:-1]) | (passage[1:] != passage[:-1])
    query, passage, rank = query[first], passage[first], rank[first]
    passages = 1 + max(passage.max(initial=-1), excluded_passage.max(initial=-1))
    excluded = find_pairs(query, passage, excluded_query, excluded_passage, int(passages)) >= 0
    query, passage, rank = query[~excluded], passage[~excluded], rank[~excluded]
    order = np.lexsort((passage, rank, query))
    return {"query": query[order], "passage": passage[order], "rank": rank[order]}, int(excluded.sum())
