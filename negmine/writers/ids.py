"""``query_id, document_ids, scores`` and two tables of texts: each text is stored once."""

from __future__ import annotations

import pyarrow as pa

from negmine.writers.base import Cells, Groups, Lookup, Member, Options, Plain, Rows, lists
from negmine.writers.grouping import grouped


class _Rows(Plain):
    """A row per positive, which comes first, with the negatives of its query."""

    label = ""
    file = "{split}.jsonl"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=True, size=options.negatives)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        return pa.table(
            {
                "query_id": cells.query("query_id"),
                "document_ids": lists(rows.offsets, cells.passage("doc_id")),
                "scores": lists(rows.offsets, pa.array(cells.scores)),
            }
        )


class Ids:
    """The tables of texts hold the queries and passages that the rows name, no others."""

    name = "ids"
    needs: tuple[str, ...] = ()
    members: tuple[Member, ...] = (_Rows(),)
    lookups: tuple[Lookup, ...] = (
        Lookup("queries", "queries.jsonl", "query", {"query_id": "query_id", "text": "text"}),
        Lookup("documents", "documents.jsonl", "passage", {"document_id": "doc_id", "text": "passage"}),
    )

    def documents(self, options: Options) -> dict[str, str]:
        return {}
