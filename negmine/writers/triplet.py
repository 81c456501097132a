"""``anchor, positive, negative``: one row per positive and negative of a query."""

from __future__ import annotations

import pyarrow as pa

from negmine.writers.base import Cells, Groups, OneFile, Options, Rows, lists
from negmine.writers.grouping import grouped


class Triplet(OneFile):
    """Read by position by Sentence Transformers: there is no column but texts and ``scores``."""

    name = "triplet"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=True, size=1)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        passages, first = cells.passage("passage"), rows.offsets[:-1]
        columns = {
            "anchor": cells.query("text"),
            "positive": passages.take(pa.array(first)),
            "negative": passages.take(pa.array(first + 1)),
        }
        if options.scores:
            columns["scores"] = lists(rows.offsets, pa.array(cells.scores))
        return pa.table(columns)
