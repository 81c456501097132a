"""``query_id, query, positive_passages, negative_passages`` as Tevatron trains on: passages whole in the row."""

from __future__ import annotations

import pyarrow as pa

from negmine.writers.base import Cells, Groups, OneFile, Options, Rows, lists
from negmine.writers.grouping import grouped


class Tevatron(OneFile):
    """Every passage has a ``title``, which may be empty, and a text without it: the trainer joins the two."""

    name = "tevatron"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=options.one_positive, size=options.negatives)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        fields = {"docid": cells.passage("doc_id"), "title": cells.passage("title"), "text": cells.passage("text")}
        if options.scores:
            fields["score"] = pa.array(cells.scores)
        passages = pa.StructArray.from_arrays(list(fields.values()), list(fields))
        columns = {"query_id": cells.query("query_id"), "query": cells.query("text")}
        for name, chosen in (("positive_passages", rows.is_positive), ("negative_passages", ~rows.is_positive)):
            columns[name] = lists(rows.offsets_of(chosen), passages.filter(pa.array(chosen)))
        return pa.table(columns)
