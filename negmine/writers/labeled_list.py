"""``anchor, documents, labels``: one row per positive of a query, with all its negatives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from negmine.writers.base import Groups, Rows, lists, one_positive_with_negatives


class LabeledList:
    """Lists may differ in length; queries without negatives have no row. ``scores`` takes the
    place of ``labels``."""

    name = "labeled-list"

    def rows(self, groups: Groups, num_negatives: int) -> Rows:
        query, positive = groups.pairs()
        some = groups.negatives[query] > 0
        return one_positive_with_negatives(groups, query[some], positive[some])

    def table(self, rows: Rows, anchors: pa.Array, passages: pa.Array, scores: np.ndarray | None) -> pa.Table:
        columns = {"anchor": anchors, "documents": lists(rows.offsets, passages)}
        if scores is None:
            columns["labels"] = lists(rows.offsets, pa.array((rows.positive >= 0).astype(np.int64)))
        else:
            columns["scores"] = lists(rows.offsets, pa.array(scores))
        return pa.table(columns)
