"""``anchor, positive, negative_1 .. negative_n``: one row per positive of a query."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from negmine.writers.base import Groups, Rows, lists, one_positive_with_negatives


class NTuple:
    """Every row has the same n, so queries with fewer negatives have no row."""

    name = "n-tuple"

    def rows(self, groups: Groups, num_negatives: int) -> Rows:
        query, positive = groups.pairs()
        full = groups.negatives[query] == num_negatives
        return replace(one_positive_with_negatives(groups, query[full], positive[full]), width=num_negatives + 1)

    def table(self, rows: Rows, anchors: pa.Array, passages: pa.Array, scores: np.ndarray | None) -> pa.Table:
        assert rows.width is not None
        first = rows.offsets[:-1]
        columns = {"anchor": anchors, "positive": passages.take(pa.array(first))}
        for place in range(1, rows.width):
            columns[f"negative_{place}"] = passages.take(pa.array(first + place))
        if scores is not None:
            columns["scores"] = lists(rows.offsets, pa.array(scores))
        return pa.table(columns)
