"""Tevatron's newer ``query_id, query_text, positive_document_ids, negative_document_ids``, and a corpus."""

from __future__ import annotations

import pyarrow as pa

from negmine.writers.base import Cells, Groups, Lookup, Member, Options, Plain, Rows, lists
from negmine.writers.grouping import grouped


class _Rows(Plain):
    label = ""
    file = "{split}.jsonl"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=options.one_positive, size=options.negatives)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        ids = cells.passage("doc_id")
        columns = {"query_id": cells.query("query_id"), "query_text": cells.query("text")}
        for name, chosen in (("positive_document_ids", rows.is_positive), ("negative_document_ids", ~rows.is_positive)):
            columns[name] = lists(rows.offsets_of(chosen), ids.filter(pa.array(chosen)))
        return pa.table(columns)


class TevatronIds:
    """The corpus holds the passages that the rows name, no others."""

    name = "tevatron-ids"
    needs: tuple[str, ...] = ()
    members: tuple[Member, ...] = (_Rows(),)
    lookups: tuple[Lookup, ...] = (Lookup("corpus", "corpus.jsonl", "passage", {"docid": "doc_id", "text": "passage"}),)

    def documents(self, options: Options) -> dict[str, str]:
        return {}
