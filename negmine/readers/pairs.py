"""Queries with their positive passages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from negmine.errors import Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import BadFieldError, id_field, list_field, missing_column, require_column, text_field
from negmine.readers.rows import RowFile

_QUERY_ID = "query_id"  # Under this name, ids are optional; a name that was chosen must be there.
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
    """Parallel lists over (query, positive) pairs: a positive has a text, an id of a document, or both.

    ``where`` gives the place of a row by its number in ``lines``.
    """

    where: Callable[[int], Where]
    query_ids: list[str | None] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    positive_texts: list[str | None] = field(default_factory=list)
    positive_ids: list[str | None] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, query_id: str | None, query: str, text: str | None, doc_id: str | None, line: int) -> None:
        self.query_ids.append(query_id)
        self.queries.append(query)
        self.positive_texts.append(text)
        self.positive_ids.append(doc_id)
        self.lines.append(line)


def read_pairs(path: Path, columns: PairColumns, bad_rows: BadRows) -> Iterator[PairBatch]:
    """Yield the pairs of a file in batches; a row with a list of positives gives several.

    Raises InputError for a missing column, and for bad rows unless they are skipped.
    """
    wanted = (columns.query_id, columns.anchor, columns.positive, columns.positive_id)
    file = RowFile(path, wanted, bad_rows)
    for number, rows in enumerate(file.batches()):
        if number == 0:
            _check_columns(file, columns)
        batch = PairBatch(file.where)
        for line, row in rows:
            try:
                query = text_field(row, columns.anchor)
                if not query.strip():
                    raise BadFieldError(f"'{columns.anchor}' is blank")
                query_id = id_field(row, columns.query_id) if columns.query_id in row else None
                positives = _positives(row, columns)
            except BadFieldError as error:
                bad_rows.reject(file.where(line), str(error))
                continue
            for text, doc_id in positives:
                batch.add(query_id, query, text, doc_id, line)
        yield batch


def _positives(row: Mapping[str, Any], columns: PairColumns) -> list[tuple[str | None, str | None]]:
    """The positives of a row as (text or None, id or None)."""
    ids = [id_field({columns.positive_id: v}, columns.positive_id) for v in list_field(row, columns.positive_id, "id")]
    texts = [text_field({columns.positive: v}, columns.positive) for v in list_field(row, columns.positive, "text")]
    if not (ids or texts) or not all(text.strip() for text in texts):
        raise BadFieldError(f"'{columns.positive}' is blank")
    if ids and texts and len(ids) != len(texts):
        raise BadFieldError(f"'{columns.positive_id}' has {len(ids)} ids and '{columns.positive}' {len(texts)} texts")
    return list(itertools.zip_longest(texts, ids))


def _check_columns(file: RowFile, columns: PairColumns) -> None:
    require_column(file, columns.anchor, "data.columns.anchor", _ANCHOR_ALIASES)
    if columns.query_id != _QUERY_ID:
        require_column(file, columns.query_id, "data.columns.query_id")
    if columns.positive not in file.names and columns.positive_id not in file.names:
        cause = f"there is neither a column '{columns.positive}' nor '{columns.positive_id}'"
        raise missing_column(file, cause, columns.positive, "data.columns.positive", _POSITIVE_ALIASES)
