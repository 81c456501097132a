"""Labels that only name: the texts of queries and documents are in files of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from negmine.readers.bad_rows import BadRows
from negmine.readers.base import LabelBatch, LabelRow, LabelSettings, Parse, Passage, table_labels
from negmine.readers.fields import BadFieldError, id_field, missing_column, require_column, values_field
from negmine.readers.formats.triplets import ranked
from negmine.readers.rows import RowFile

_DOCUMENTS = "document_ids"


class Ids:
    """``query_id, document_ids``, of which the first is the positive; or ``query_id, positive_id, negative_id``.

    Each may hold an id or a list of them. Scores are not read.
    """

    name = "ids"
    negatives = True

    def read(self, paths: Sequence[Path], settings: LabelSettings, bad_rows: BadRows) -> Iterator[LabelBatch]:
        columns = settings.columns

        def of_one_list(row: Mapping[str, Any]) -> LabelRow:
            found = _ids(row, _DOCUMENTS)
            if not found:
                raise BadFieldError(f"'{_DOCUMENTS}' is empty: it needs at least the id of a positive")
            return LabelRow(
                id_field(row, columns.query_id), None, found[:1], ranked(iter(found[1:])) if settings.negatives else ()
            )

        def of_two_columns(row: Mapping[str, Any]) -> LabelRow:
            found = _ids(row, columns.positive_id)
            if not found:
                raise BadFieldError(f"'{columns.positive_id}' is empty")
            negatives = _ids(row, columns.negative_id) if settings.negatives else []
            return LabelRow(id_field(row, columns.query_id), None, found, ranked(iter(negatives)))

        def start(file: RowFile) -> Parse:
            require_column(file, columns.query_id, "data.columns.query_id", ("query_id", "qid", "query"))
            if _DOCUMENTS in file.names:
                return of_one_list
            if columns.positive_id not in file.names:
                cause = f"there is neither a column '{_DOCUMENTS}' nor '{columns.positive_id}'"
                raise missing_column(file, cause, columns.positive_id, "data.columns.positive_id", ("positive", "pos"))
            return of_two_columns

        wanted = (columns.query_id, _DOCUMENTS, columns.positive_id, columns.negative_id)
        return table_labels(paths, wanted, bad_rows, start)

    def told_by(self, names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
        columns = settings.columns
        documents = [name for name in (_DOCUMENTS, columns.positive_id) if name in names]
        known = columns.query_id in names and documents and columns.anchor not in names
        return (columns.query_id, *documents[:1]) if known else ()


def _ids(row: Mapping[str, Any], column: str) -> list[Passage]:
    return [Passage(None, id_field({column: value}, column)) for value in values_field(row, column)]
