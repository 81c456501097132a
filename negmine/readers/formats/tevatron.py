"""Tevatron's ``query, positive_passages, negative_passages``: the texts are in the row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from negmine.readers.bad_rows import BadRows
from negmine.readers.base import LabelBatch, LabelRow, LabelSettings, Passage, table_labels
from negmine.readers.fields import optional_id_field, passages_field, query_field, require_column
from negmine.readers.formats.triplets import ranked
from negmine.readers.rows import RowFile

_COLUMNS = ("query_id", "query", "positive_passages", "negative_passages")
_IDS = ("docid",)


class Tevatron:
    """A row without positives is a query without any; titles may be null, ids integers, ``answers`` are not read."""

    name = "tevatron"
    negatives = True

    def read(self, paths: Sequence[Path], settings: LabelSettings, bad_rows: BadRows) -> Iterator[LabelBatch]:
        def parse(row: Mapping[str, Any]) -> LabelRow:
            query = query_field(row, "query")
            positives = [Passage(*found) for found in passages_field(row, "positive_passages", _IDS)]
            negatives = passages_field(row, "negative_passages", _IDS, blank=True) if settings.negatives else []
            found = ranked(Passage(*passage) for passage in negatives)
            return LabelRow(optional_id_field(row, "query_id"), query, positives, found)

        def start(file: RowFile) -> Any:
            for name in ("query", "positive_passages"):
                require_column(file, name, None)
            return parse

        return table_labels(paths, _COLUMNS, bad_rows, start)

    def told_by(self, names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
        return ("query", "positive_passages") if {"query", "positive_passages"} <= set(names) else ()
