"""Queries with their positive passages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from negmine.errors import InputError, nearest
from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import BadFieldError, id_field, list_field, require_column, text_field
from negmine.readers.rows import RowFile

_ANCHOR_ALIASES = ("anchor", "query", "question", "sentence1", "query_text")
_POSITIVE_ALIASES = ("positive", "pos", "answer", "passage", "document", "sentence2")


class PairColumns(Protocol):
    """Names of the user's columns."""

    query_id: str
    anchor: str
    positive: str
    positive_id: str


@dataclass
class PairBatch:
    """Parallel lists over (query, positive) pairs: a positive has a text or an id of the corpus."""

    query_ids: list[str | None] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    positive_texts: list[str | None] = field(default_factory=list)
    positive_ids: list[str | None] = field(default_factory=list)
    grades: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, query_id: str | None, query: str, text: str | None, doc_id: str | None, line: int) -> None:
        self.query_ids.append(query_id)
        self.queries.append(query)
        self.positive_texts.append(text)
        self.positive_ids.append(doc_id)
        self.grades.append(1.0)
        self.lines.append(line)


def read_pairs(path: Path, columns: PairColumns, bad_rows: BadRows) -> Iterator[PairBatch]:
    """Yield the pairs of a file in batches; a row with a list of positives gives several.

    Raises InputError for a missing column, and for bad rows unless they are skipped.
    """
    file = RowFile(path, bad_rows)
    checked = False
    for rows in file.batches():
        if not checked:
            _check_columns(file, list(rows[0][1]), columns)
            checked = True
        batch = PairBatch()
        for number, row in rows:
            try:
                query = text_field(row, columns.anchor)
                if not query.strip():
                    raise BadFieldError(f"'{columns.anchor}' is blank")
                query_id = id_field(row, columns.query_id) if columns.query_id in row else None
                positives = _positives(row, columns)
            except BadFieldError as error:
                bad_rows.reject(file.where(number), str(error))
                continue
            for text, doc_id in positives:
                batch.add(query_id, query, text, doc_id, number)
        yield batch


def _positives(row: Mapping[str, Any], columns: PairColumns) -> list[tuple[str | None, str | None]]:
    ids = list_field(row, columns.positive_id, "id")
    if ids:
        return [(None, id_field({columns.positive_id: value}, columns.positive_id)) for value in ids]
    texts = [text_field({columns.positive: v}, columns.positive) for v in list_field(row, columns.positive, "text")]
    if not texts or not all(text.strip() for text in texts):
        raise BadFieldError(f"'{columns.positive}' is blank")
    return [(text, None) for text in texts]


def _check_columns(file: RowFile, present: list[str], columns: PairColumns) -> None:
    require_column(file, present, columns.anchor, "data.columns.anchor", _ANCHOR_ALIASES)
    if columns.positive in present or columns.positive_id in present:
        return
    likely = next((alias for alias in _POSITIVE_ALIASES if alias in present), None)
    close = nearest(columns.positive, present)
    shown = ", ".join(f"'{name}'" for name in present[:12])
    raise InputError(
        f"there is neither a column '{columns.positive}' nor '{columns.positive_id}' (found: {shown})",
        where=file.where(1),
        hint=f"Set data.columns.positive: {likely}" if likely else close or "Set data.columns.positive.",
    )
