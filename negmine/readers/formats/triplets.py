"""Pairs with negatives, as Sentence Transformers trains on: a column, numbered columns or a list of them."""

from __future__ import annotations

import itertools
import re
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
from negmine.readers.fields import BadFieldError, missing_column, optional_id_field, text_field, values_field
from negmine.readers.formats.pairs import Pairs, check_columns, positives_of, query_of
from negmine.readers.peeking import column_names
from negmine.readers.rows import RowFile


class Triplets:
    """The columns of pairs, and negatives in ``negative``, ``negatives``, ``negative_1`` .. ``negative_n``.

    A list or a bare text in any of these; what is null or blank is no negative. Scores are not read.
    """

    name = "triplets"
    negatives = True

    def read(self, paths: Sequence[Path], settings: LabelSettings, bad_rows: BadRows) -> Iterator[LabelBatch]:
        columns = settings.columns
        wanted = [columns.query_id, columns.anchor, columns.positive, columns.positive_id, columns.negative_id]
        wanted += negative_columns(column_names(paths), columns)

        def start(file: RowFile) -> Parse:
            check_columns(file, columns)
            if not has_negatives(file.names, columns):
                cause = f"there is neither a column '{columns.negative}' nor '{columns.negative_id}'"
                raise missing_column(file, cause, columns.negative, "data.columns.negative", ("neg", "hard_negative"))
            return _Rows(settings).parse

        return table_labels(paths, wanted, bad_rows, start)

    def told_by(self, names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
        columns = settings.columns
        pair = Pairs().told_by(names, settings)
        negatives = [
            *negative_columns(names, columns),
            *([columns.negative_id] if columns.negative_id in names else []),
        ]
        return (*pair, *negatives) if pair and negatives else ()


def has_negatives(names: Sequence[str], columns: LabelColumns) -> bool:
    """Whether some of the columns hold negatives."""
    return columns.negative_id in names or bool(negative_columns(names, columns))


def negative_columns(names: Sequence[str], columns: LabelColumns) -> list[str]:
    """Those of the columns that hold texts of negatives, by number."""
    numbered = re.compile(f"{re.escape(columns.negative)}_?([0-9]+)")
    plain = (columns.negative, f"{columns.negative}s")
    found = [(int(match[1]), name) for name in names if (match := numbered.fullmatch(name)) and name not in plain]
    return [*(name for name in plain if name in names), *(name for _, name in sorted(found))]


class _Rows:
    """Parses rows; which columns hold negatives is looked up once per set of columns."""

    def __init__(self, settings: LabelSettings) -> None:
        self._columns = settings.columns
        self._wanted = settings.negatives
        self._known: dict[tuple[str, ...], list[str]] = {}

    def parse(self, row: Mapping[str, Any]) -> LabelRow:
        positives = positives_of(row, self._columns)
        return LabelRow(*query_of(row, self._columns), positives, self._negatives(row) if self._wanted else ())

    def _negatives(self, row: Mapping[str, Any]) -> list[Negative]:
        names = tuple(row)
        if names not in self._known:
            self._known[names] = negative_columns(names, self._columns)
        columns = self._columns
        ids = [
            optional_id_field({columns.negative_id: v}, columns.negative_id)
            for v in values_field(row, columns.negative_id)
        ]
        texts = [text_field({name: v}, name) for name in self._known[names] for v in values_field(row, name)]
        if ids and texts and len(ids) != len(texts):
            raise BadFieldError(f"'{columns.negative_id}' has {len(ids)} ids and there are {len(texts)} negatives")
        return ranked(itertools.starmap(Passage, itertools.zip_longest(texts, ids)))


def ranked(passages: Iterator[Passage]) -> list[Negative]:
    """Passages as negatives in their order, without those that have neither a text nor an id."""
    return [Negative(each, rank) for rank, each in enumerate(passages, 1) if each.doc_id or not _is_blank(each)]


def _is_blank(passage: Passage) -> bool:
    return not ((passage.text or "").strip() or passage.title.strip())
