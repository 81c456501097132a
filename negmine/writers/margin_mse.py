"""``anchor, positive, negative, label``: how much closer the positive is than the negative, to learn from."""

from __future__ import annotations

import pyarrow as pa

from negmine.writers.base import Cells, Groups, OneFile, Options, Rows, lists
from negmine.writers.grouping import grouped
from negmine.writers.n_tuple import texts_by_place


class MarginMse(OneFile):
    """``label`` is score(positive) - score(negative); with n > 1 negatives ``scores`` has n + 1 raw scores instead."""

    name = "margin-mse"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=True, size=options.negatives)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        columns, scores = texts_by_place(rows, cells, options), cells.scores
        if options.negatives == 1:
            columns["negative"] = columns.pop("negative_1")
            columns["label"] = pa.array(scores[0::2] - scores[1::2])
        else:
            columns["scores"] = lists(rows.offsets, pa.array(scores))
        return pa.table(columns)
