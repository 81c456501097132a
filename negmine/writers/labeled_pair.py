"""``anchor, text, label``: one row per passage of a query, label 1 for positives and 0 for negatives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from negmine.writers.base import Cells, Groups, OneFile, Options, Rows
from negmine.writers.grouping import every_passage


class LabeledPair(OneFile):
    """The positives of a query, then its negatives; ``score`` takes the place of ``label``."""

    name = "labeled-pair"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return every_passage(groups)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        columns = {"anchor": cells.query("text"), "text": cells.passage("passage")}
        if options.scores:
            columns["score"] = pa.array(cells.scores)
        else:
            columns["label"] = pa.array(rows.is_positive.astype(np.int64))
        return pa.table(columns)
