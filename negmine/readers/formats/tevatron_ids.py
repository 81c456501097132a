"""Tevatron's newer ``query_text, positive_document_ids, negative_document_ids``: the texts are in a corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from negmine.readers.bad_rows import BadRows
from negmine.readers.base import LabelBatch, LabelRow, LabelSettings, Passage, table_labels
from negmine.readers.fields import id_field, optional_id_field, query_field, require_column, values_field
from negmine.readers.formats.triplets import ranked
from negmine.readers.rows import RowFile

_POSITIVES, _NEGATIVES = "positive_document_ids", "negative_document_ids"


class TevatronIds:
    """A row without positives is a query without any."""

    name = "tevatron-ids"
    negatives = True

    def read(self, paths: Sequence[Path], settings: LabelSettings, bad_rows: BadRows) -> Iterator[LabelBatch]:
        def parse(row: Mapping[str, Any]) -> LabelRow:
            query = query_field(row, "query_text")
            positives = [Passage(None, id_field({_POSITIVES: v}, _POSITIVES)) for v in values_field(row, _POSITIVES)]
            found = values_field(row, _NEGATIVES) if settings.negatives else []
            negatives = ranked(Passage(None, id_field({_NEGATIVES: value}, _NEGATIVES)) for value in found)
            return LabelRow(optional_id_field(row, "query_id"), query, positives, negatives)

        def start(file: RowFile) -> Any:
            for name in ("query_text", _POSITIVES):
                require_column(file, name, None)
            return parse

        return table_labels(paths, ("query_id", "query_text", _POSITIVES, _NEGATIVES), bad_rows, start)

    def told_by(self, names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
        return ("query_text", _POSITIVES) if {"query_text", _POSITIVES} <= set(names) else ()
