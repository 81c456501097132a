"""What every export format shares: queries with their passages in, rows of passages out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from negmine.arrays import expand


@dataclass(frozen=True)
class Groups:
    """Positives and kept negatives of consecutive queries.

    ``positive_offsets`` and ``negative_offsets`` (q + 1,) cut the passage and score arrays by
    query; negatives are in falling score.
    """

    positive_offsets: np.ndarray
    positive_passage: np.ndarray
    positive_score: np.ndarray
    negative_offsets: np.ndarray
    negative_passage: np.ndarray
    negative_score: np.ndarray

    @property
    def negatives(self) -> np.ndarray:
        """How many each query has: (q,)."""
        return np.diff(self.negative_offsets)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Every (query, row of its positive), in order: two (p,)."""
        counts = np.diff(self.positive_offsets)
        return np.repeat(np.arange(len(counts)), counts), np.arange(len(self.positive_passage))


@dataclass(frozen=True)
class Rows:
    """Rows of a format before texts: row r has query ``query[r]`` and the passages between
    ``offsets[r]`` and ``offsets[r + 1]``, a positive first unless the format says otherwise.

    ``positive`` and ``negative`` (m,) are rows in the groups' arrays, -1 where it is the other.
    ``width`` is how many passages each row has, for a format with a column for each.
    """

    query: np.ndarray
    offsets: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    width: int | None = None

    @property
    def count(self) -> int:
        return len(self.query)

    def passage(self, groups: Groups) -> np.ndarray:
        """Passage numbers (m,)."""
        return self._pick(groups.positive_passage, groups.negative_passage)

    def score(self, groups: Groups) -> np.ndarray:
        """Scores (m,)."""
        return self._pick(groups.positive_score, groups.negative_score)

    def _pick(self, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
        joined = np.concatenate([positive, negative])
        return joined[np.where(self.positive >= 0, self.positive, len(positive) + self.negative)]


class ExportFormat(Protocol):
    """One layout of training data."""

    name: str

    def rows(self, groups: Groups, num_negatives: int) -> Rows:
        """The rows of some queries."""

    def table(self, rows: Rows, anchors: pa.Array, passages: pa.Array, scores: np.ndarray | None) -> pa.Table:
        """The rows with texts: ``anchors`` (r,) and ``passages`` (m,) are string arrays.

        ``scores`` (m,) is given when the export asks for scores.
        """


def one_positive_with_negatives(groups: Groups, query: np.ndarray, positive: np.ndarray) -> Rows:
    """Rows that each hold a positive, then all negatives of its query."""
    counts = groups.negatives[query]
    offsets = np.concatenate([[0], np.cumsum(counts + 1)])
    size = int(offsets[-1])
    out_positive, out_negative = np.full(size, -1), np.full(size, -1)
    out_positive[offsets[:-1]] = positive
    is_negative = np.ones(size, bool)
    is_negative[offsets[:-1]] = False
    out_negative[is_negative] = expand(groups.negative_offsets, query)
    return Rows(query, offsets, out_positive, out_negative)


def lists(offsets: np.ndarray, values: pa.Array) -> pa.Array:
    """A list column: ``values`` cut at ``offsets``."""
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)
