"""``anchor, documents, labels``: a row per positive of a query, or per query, with its negatives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from negmine.writers.base import Cells, Groups, OneFile, Options, Rows, lists
from negmine.writers.grouping import grouped


class LabeledList(OneFile):
    """Lists may differ in length; queries without negatives have no row. ``scores`` takes the
    place of ``labels``."""

    name = "labeled-list"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=options.one_positive, size=options.negatives)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        columns = {"anchor": cells.query("text"), "documents": lists(rows.offsets, cells.passage("passage"))}
        if options.scores:
            columns["scores"] = lists(rows.offsets, pa.array(cells.scores))
        else:
            columns["labels"] = lists(rows.offsets, pa.array(rows.is_positive.astype(np.int64)))
        return pa.table(columns)
