"""``messages, positive_messages, negative_messages`` as ms-swift trains embedding models and rerankers on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from negmine.writers.base import Cells, Groups, OneFile, Options, Rows, lists
from negmine.writers.grouping import grouped


class MsSwift(OneFile):
    """A text is a conversation of one message. The trainer of embedding models reads the first positive of a row only,
    and that of rerankers puts the passage after the query, as what the assistant says."""

    name = "ms-swift"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=options.one_positive, size=options.negatives)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        passages = _conversations(cells, options.passage_role, cells.passage("passage"))
        columns = {"messages": _conversations(cells, "user", cells.query("text"))}
        sides = (("positive_messages", rows.is_positive), ("negative_messages", ~rows.is_positive))
        for name, chosen in sides:
            columns[name] = lists(rows.offsets_of(chosen), passages.filter(pa.array(chosen)))
        return pa.table(columns)


def _conversations(cells: Cells, role: str, texts: pa.Array) -> pa.Array:
    """Each text as a list of the one message that it is."""
    messages = pa.StructArray.from_arrays([cells.constant(role, len(texts)), texts], ["role", "content"])
    return lists(np.arange(len(texts) + 1), messages)
