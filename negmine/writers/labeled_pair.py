"""``anchor, text, label``: one row per passage of a query, label 1 for positives and 0 for negatives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from negmine.writers.base import Groups, Rows


class LabeledPair:
    """The positives of a query, then its negatives; ``score`` takes the place of ``label``."""

    name = "labeled-pair"

    def rows(self, groups: Groups, num_negatives: int) -> Rows:
        positives, negatives = np.diff(groups.positive_offsets), groups.negatives
        queries = np.arange(len(positives))
        query = np.concatenate([np.repeat(queries, positives), np.repeat(queries, negatives)])
        none = np.full(len(query), -1)
        positive, negative = none.copy(), none.copy()
        split = len(groups.positive_passage)
        positive[:split] = np.arange(split)
        negative[split:] = np.arange(len(groups.negative_passage))
        order = np.argsort(query, kind="stable")
        return Rows(query[order], np.arange(len(query) + 1), positive[order], negative[order])

    def table(self, rows: Rows, anchors: pa.Array, passages: pa.Array, scores: np.ndarray | None) -> pa.Table:
        columns = {"anchor": anchors, "text": passages}
        if scores is None:
            columns["label"] = pa.array((rows.positive >= 0).astype(np.int64))
        else:
            columns["score"] = pa.array(scores)
        return pa.table(columns)
