"""``anchor, positive, negative_1 .. negative_n``: rows per positive of a query, each with the same n."""

from __future__ import annotations

import pyarrow as pa

from negmine.writers.base import Cells, Groups, OneFile, Options, Rows, lists
from negmine.writers.grouping import grouped


class NTuple(OneFile):
    """Negatives that do not fill a row of n are left out."""

    name = "n-tuple"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=True, size=options.negatives)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        columns = texts_by_place(rows, cells, options)
        if options.scores:
            columns["scores"] = lists(rows.offsets, pa.array(cells.scores))
        return pa.table(columns)


def texts_by_place(rows: Rows, cells: Cells, options: Options) -> dict[str, pa.Array]:
    """A column for the query, one for the positive, and one for each of n negatives."""
    assert options.negatives is not None
    passages, first = cells.passage("passage"), rows.offsets[:-1]
    columns = {"anchor": cells.query("text"), "positive": passages.take(pa.array(first))}
    for place in range(1, options.negatives + 1):
        columns[f"negative_{place}"] = passages.take(pa.array(first + place))
    return columns
