"""``anchor, positive, negative``: one row per positive and negative of a query."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from negmine.arrays import expand
from negmine.writers.base import Groups, Rows, lists


class Triplet:
    """Read by position by Sentence Transformers: there is no column but texts and ``scores``."""

    name = "triplet"

    def rows(self, groups: Groups, num_negatives: int) -> Rows:
        query, positive = groups.pairs()
        counts = groups.negatives[query]
        negative = expand(groups.negative_offsets, query)
        n = len(negative)
        passages = np.stack([np.repeat(positive, counts), np.full(n, -1)], axis=1).ravel()
        others = np.stack([np.full(n, -1), negative], axis=1).ravel()
        return Rows(np.repeat(query, counts), np.arange(n + 1) * 2, passages, others)

    def table(self, rows: Rows, anchors: pa.Array, passages: pa.Array, scores: np.ndarray | None) -> pa.Table:
        first = pa.array(rows.offsets[:-1])
        columns = {
            "anchor": anchors,
            "positive": passages.take(first),
            "negative": passages.take(pa.array(rows.offsets[:-1] + 1)),
        }
        if scores is not None:
            columns["scores"] = lists(rows.offsets, pa.array(scores))
        return pa.table(columns)
