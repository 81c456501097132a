"""DPR's array of ``question, positive_ctxs, negative_ctxs, hard_negative_ctxs``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from negmine.readers.bad_rows import BadRows
from negmine.readers.base import LabelBatch, LabelRow, LabelSettings, Passage, table_labels
from negmine.readers.fields import passages_field, query_field, require_column
from negmine.readers.formats.triplets import ranked
from negmine.readers.rows import RowFile

_NEGATIVES = ("hard_negative_ctxs", "negative_ctxs")
_IDS = ("passage_id", "psg_id")


class Dpr:
    """Queries have no id. A row without positives is a query without any; hard negatives rank before the others."""

    name = "dpr"
    negatives = True

    def read(self, paths: Sequence[Path], settings: LabelSettings, bad_rows: BadRows) -> Iterator[LabelBatch]:
        def parse(row: Mapping[str, Any]) -> LabelRow:
            query = query_field(row, "question")
            positives = [Passage(*found) for found in passages_field(row, "positive_ctxs", _IDS)]
            names = _NEGATIVES if settings.negatives else ()
            negatives = (Passage(*found) for name in names for found in passages_field(row, name, _IDS, blank=True))
            return LabelRow(None, query, positives, ranked(negatives))

        def start(file: RowFile) -> Any:
            for name in ("question", "positive_ctxs"):
                require_column(file, name, None)
            return parse

        return table_labels(paths, ("question", "positive_ctxs", *_NEGATIVES), bad_rows, start)

    def told_by(self, names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
        return ("question", "positive_ctxs") if {"question", "positive_ctxs"} <= set(names) else ()
