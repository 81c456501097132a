"""Passages with a label or score each: one a row, or a list of them, as losses for rerankers take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from negmine.readers.bad_rows import BadRows
from negmine.readers.base import (
    LabelBatch,
    LabelColumns,
    LabelRow,
    LabelSettings,
    Negative,
    Parse,
    Passage,
    table_labels,
)
from negmine.readers.fields import BadFieldError, missing_column, text_field, values_field
from negmine.readers.formats.pairs import check_query_columns, query_of
from negmine.readers.rows import RowFile

_PASSAGES = ("text", "documents")
_LABELS = ("label", "labels", "score", "scores")


class Labeled:
    """``anchor, text, label`` or ``anchor, documents, labels``, also with ``score`` or ``scores``.

    A passage is a positive when its label reaches ``data.min_grade``, else a negative.
    """

    name = "labeled"
    negatives = True

    def read(self, paths: Sequence[Path], settings: LabelSettings, bad_rows: BadRows) -> Iterator[LabelBatch]:
        columns = settings.columns
        usual = (*_PASSAGES, columns.positive)
        wanted = (columns.query_id, columns.anchor, *_names(columns.passage, usual), *_names(columns.label, _LABELS))

        def start(file: RowFile) -> Parse:
            check_query_columns(file, columns)
            passage = _present(file, columns.passage, usual, "passage")
            label = _present(file, columns.label, _LABELS, "label")
            return lambda row: _parse(row, settings, passage, label)

        return table_labels(paths, wanted, bad_rows, start)

    def told_by(self, names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
        columns = settings.columns
        usual = _names(columns.passage, (*_PASSAGES, columns.positive))
        passage = next((name for name in usual if name in names), None)
        label = next((name for name in _names(columns.label, _LABELS) if name in names), None)
        return (columns.anchor, passage, label) if columns.anchor in names and passage and label else ()


def _names(chosen: str | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    return usual if chosen is None else (chosen,)


def _present(file: RowFile, chosen: str | None, usual: tuple[str, ...], key: str) -> str:
    """The first of the possible columns that the file has. Raises InputError when it has none."""
    names = _names(chosen, usual)
    found = next((name for name in names if name in file.names), None)
    if found is None:
        cause = f"there is no column '{names[0]}'" if chosen else f"there is no column {' or '.join(map(repr, names))}"
        raise missing_column(file, cause, names[0], f"data.columns.{key}")
    return found


def _parse(row: Mapping[str, Any], settings: LabelSettings, passage: str, label: str) -> LabelRow:
    columns: LabelColumns = settings.columns
    texts = [text_field({passage: value}, passage) for value in values_field(row, passage)]
    values = [_number(value, label) for value in values_field(row, label)]
    if len(texts) != len(values):
        raise BadFieldError(f"'{passage}' has {len(texts)} texts and '{label}' {len(values)} numbers")
    pairs = list(zip(texts, values, strict=True))
    positives = [Passage(text, grade=value) for text, value in pairs if value >= settings.min_grade]
    if not all((passage.text or "").strip() for passage in positives):
        raise BadFieldError(f"'{passage}' is blank")
    others = [text for text, value in pairs if value < settings.min_grade]
    negatives = [Negative(Passage(text), rank) for rank, text in enumerate(others, 1) if text.strip()]
    return LabelRow(*query_of(row, columns), positives, negatives if settings.negatives else ())


def _number(value: Any, column: str) -> float:
    """A label as a number; text is read as one, as CSV has nothing else."""
    try:
        number = float(value) if isinstance(value, int | float | str) and "_" not in str(value) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadFieldError(f"'{column}' has a label that is not a number")
    return number
