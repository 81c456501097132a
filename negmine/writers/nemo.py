"""One JSON document of questions, and a corpus in a folder beside it, as NeMo Automodel trains on."""

from __future__ import annotations

import json

import pyarrow as pa

from negmine.writers.base import Cells, Groups, Lookup, Member, Options, Rows, lists
from negmine.writers.grouping import grouped

_CORPUS = "corpus"


class _Questions:
    """A row per query, as ids of questions must be unique; a query without negatives has none."""

    label = ""
    file = "{split}.json"
    unfit_in_ids: tuple[str, str] | None = None
    frame: tuple[str, str] | None = (json.dumps({"corpus": [{"path": _CORPUS}]})[:-1] + ', "data": [\n', "\n]}\n")

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=False, size=None)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        named = pa.StructArray.from_arrays([cells.passage("doc_id")], ["id"])
        columns = {
            "question_id": cells.query("query_id"),
            "question": cells.query("text"),
            "corpus_id": cells.constant(options.corpus_id, rows.count),
        }
        for name, chosen in (("pos_doc", rows.is_positive), ("neg_doc", ~rows.is_positive)):
            columns[name] = lists(rows.offsets_of(chosen), named.filter(pa.array(chosen)))
        return pa.table(columns)


class Nemo:
    """The corpus holds the passages that the rows name, no others. Corpora that are trained on together need ids
    that differ, so the id has a part of a digest in it."""

    name = "nemo"
    needs: tuple[str, ...] = ()
    members: tuple[Member, ...] = (_Questions(),)
    lookups: tuple[Lookup, ...] = (
        Lookup("corpus", f"{_CORPUS}/train.parquet", "passage", {"id": "doc_id", "text": "passage"}),
    )

    def documents(self, options: Options) -> dict[str, str]:
        metadata = {"class": "TextQADataset", "corpus_id": options.corpus_id}
        return {f"{_CORPUS}/merlin_metadata.json": json.dumps(metadata, ensure_ascii=False) + "\n"}
