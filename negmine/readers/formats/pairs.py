"""Queries with their positive passages: a column for each, whatever they are called."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from negmine.readers.bad_rows import BadRows
from negmine.readers.base import (
    LabelBatch,
    LabelColumns,
    LabelRow,
    LabelSettings,
    Parse,
    Passage,
    table_labels,
)
from negmine.readers.fields import (
    BadFieldError,
    id_field,
    list_field,
    missing_column,
    query_field,
    require_column,
    text_field,
)
from negmine.readers.rows import RowFile

_QUERY_ID = "query_id"  # Under this name, ids are optional; a name that was chosen must be there.
ANCHOR_ALIASES = ("anchor", "query", "question", "sentence1", "query_text")
POSITIVE_ALIASES = ("positive", "pos", "answer", "passage", "document", "sentence2")


class Pairs:
    """A row with a list of positives gives several; a positive is a text, an id of the corpus, or both."""

    name = "pairs"
    negatives = False

    def read(self, paths: Sequence[Path], settings: LabelSettings, bad_rows: BadRows) -> Iterator[LabelBatch]:
        columns = settings.columns
        wanted = (columns.query_id, columns.anchor, columns.positive, columns.positive_id)

        def start(file: RowFile) -> Parse:
            check_columns(file, columns)
            return lambda row: LabelRow(*query_of(row, columns), positives_of(row, columns))

        return table_labels(paths, wanted, bad_rows, start)

    def told_by(self, names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
        columns = settings.columns
        positives = tuple(name for name in (columns.positive, columns.positive_id) if name in names)
        return (columns.anchor, *positives) if columns.anchor in names and positives else ()


def query_of(row: Mapping[str, Any], columns: LabelColumns) -> tuple[str | None, str]:
    """The id of a row's query, if it has one, and its text."""
    query = query_field(row, columns.anchor)
    return id_field(row, columns.query_id) if columns.query_id in row else None, query


def positives_of(row: Mapping[str, Any], columns: LabelColumns) -> list[Passage]:
    """The positives of a row, of which there is at least one."""
    value = row.get(columns.positive)
    if isinstance(value, str) and row.get(columns.positive_id) is None:  # most rows: one text
        return [Passage(query_field(row, columns.positive))]
    ids = [id_field({columns.positive_id: v}, columns.positive_id) for v in list_field(row, columns.positive_id, "id")]
    texts = [text_field({columns.positive: v}, columns.positive) for v in list_field(row, columns.positive, "text")]
    if not (ids or texts) or not all(text.strip() for text in texts):
        raise BadFieldError(f"'{columns.positive}' is blank")
    if ids and texts and len(ids) != len(texts):
        raise BadFieldError(f"'{columns.positive_id}' has {len(ids)} ids and '{columns.positive}' {len(texts)} texts")
    return list(itertools.starmap(Passage, itertools.zip_longest(texts, ids)))


def check_columns(file: RowFile, columns: LabelColumns) -> None:
    """Raise InputError when the file lacks a column that pairs need."""
    check_query_columns(file, columns)
    if columns.positive not in file.names and columns.positive_id not in file.names:
        cause = f"there is neither a column '{columns.positive}' nor '{columns.positive_id}'"
        raise missing_column(file, cause, columns.positive, "data.columns.positive", POSITIVE_ALIASES)


def check_query_columns(file: RowFile, columns: LabelColumns) -> None:
    """Raise InputError when the file lacks the column of the queries, or that of their ids where one was chosen."""
    require_column(file, columns.anchor, "data.columns.anchor", ANCHOR_ALIASES)
    if columns.query_id != _QUERY_ID:
        require_column(file, columns.query_id, "data.columns.query_id")
