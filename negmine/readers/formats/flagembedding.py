"""FlagEmbedding's ``query, pos, neg``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from negmine.readers.bad_rows import BadRows
from negmine.readers.base import LabelBatch, LabelRow, LabelSettings, Passage, table_labels
from negmine.readers.fields import BadFieldError, list_field, query_field, require_column, text_field, values_field
from negmine.readers.formats.triplets import ranked
from negmine.readers.rows import RowFile


class FlagEmbedding:
    """No ids; a query may be on several lines. ``prompt``, ``type`` and the scores are not read."""

    name = "flagembedding"
    negatives = True

    def read(self, paths: Sequence[Path], settings: LabelSettings, bad_rows: BadRows) -> Iterator[LabelBatch]:
        def parse(row: Mapping[str, Any]) -> LabelRow:
            query = query_field(row, "query")
            positives = [text_field({"pos": value}, "pos") for value in list_field(row, "pos", "text")]
            if not positives or not all(text.strip() for text in positives):
                raise BadFieldError("'pos' is blank")
            found = values_field(row, "neg") if settings.negatives else []
            negatives = ranked(Passage(text_field({"neg": value}, "neg")) for value in found)
            return LabelRow(None, query, [Passage(text) for text in positives], negatives)

        def start(file: RowFile) -> Any:
            for name in ("query", "pos"):
                require_column(file, name, None)
            return parse

        return table_labels(paths, ("query", "pos", "neg"), bad_rows, start)

    def told_by(self, names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
        return ("query", "pos", *(["neg"] if "neg" in names else [])) if {"query", "pos"} <= set(names) else ()
