"""``query, pos, neg`` as FlagEmbedding trains on: a row per query, or per positive of one."""

from __future__ import annotations

import pyarrow as pa

from negmine.writers.base import Cells, Groups, OneFile, Options, Rows, lists
from negmine.writers.grouping import grouped


class FlagEmbedding(OneFile):
    """A row without negatives would divide by zero there, so there is none. ``prompt`` and ``type`` are only in rows
    when they are given: the trainer takes a ``prompt`` for its own instruction."""

    name = "flagembedding"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=options.one_positive, size=options.negatives)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        passages, scores = cells.passage("passage"), pa.array(cells.scores)
        columns = {"query": cells.query("text")}
        sides = {"pos": rows.is_positive, "neg": ~rows.is_positive}
        for name, chosen in sides.items():
            columns[name] = lists(rows.offsets_of(chosen), passages.filter(pa.array(chosen)))
        if options.scores:
            for name, chosen in sides.items():
                columns[f"{name}_scores"] = lists(rows.offsets_of(chosen), scores.filter(pa.array(chosen)))
        for name, text in (("prompt", options.prompt), ("type", options.type)):
            if text is not None:
                columns[name] = cells.constant(text, rows.count)
        return pa.table(columns)
