"""What readers of labels share: rows of a query with its passages in, batches of parallel lists out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from negmine.errors import Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import BadFieldError
from negmine.readers.rows import RowFile, row_batches

T = TypeVar("T")
Parse = Callable[[Mapping[str, Any]], "LabelRow"]


class LabelColumns(Protocol):
    """Names of the user's columns; those that may be None have several usual names."""

    query_id: str
    anchor: str
    positive: str
    positive_id: str
    negative: str
    negative_id: str
    passage: str | None
    label: str | None


@dataclass(frozen=True)
class LabelSettings:
    """What a reader of labels has to know.

    ``min_grade`` is the least label of a positive, ``negatives`` whether negatives are wanted; ``queries``
    says that the texts of the queries are in a file of their own.
    """

    columns: LabelColumns
    min_grade: float = 1.0
    negatives: bool = False
    queries: bool = False


class Passage(NamedTuple):
    """A passage of a query: a text (with a title, perhaps), the id of a document, or both."""

    text: str | None = None
    doc_id: str | None = None
    title: str = ""
    grade: float = 1.0


class Negative(NamedTuple):
    """A passage that was given as a negative; ``rank`` is its place in the list, from 1."""

    passage: Passage
    rank: int


class LabelRow(NamedTuple):
    """A query, its id or text or both, with its positives and negatives."""

    query_id: str | None
    query: str | None
    positives: Sequence[Passage]
    negatives: Sequence[Negative] = ()


@dataclass
class LabelBatch:
    """Parallel lists over rows of a file, and parallel lists over their passages.

    A row has a query (its id, its text or both) and a number in ``lines``, whose place ``where`` gives.
    A passage belongs to the row ``row`` (position in the lists over rows); it has a text (with a title,
    which is '' where there is none), the id of a document, or both. ``ranks`` is 0 for a positive, and
    the place in its list, from 1, for a negative.
    """

    where: Callable[[int], Where]
    lines: list[int]
    query_ids: list[str | None]
    queries: list[str | None]
    row: list[int]
    texts: list[str | None]
    titles: list[str]
    doc_ids: list[str | None]
    grades: list[float]
    ranks: list[int]

    @classmethod
    def of(cls, where: Callable[[int], Where], lines: list[int], rows: Sequence[LabelRow]) -> LabelBatch:
        """The batch of some rows, each with its number in ``lines``; positives come before negatives."""
        found = [(at, passage, 0) for at, row in enumerate(rows) for passage in row.positives]
        if any(row.negatives for row in rows):
            found += [(at, passage, rank) for at, row in enumerate(rows) for passage, rank in row.negatives]
            found.sort(key=itemgetter(0))
        return cls(
            where,
            lines,
            [row.query_id for row in rows],
            [row.query for row in rows],
            [at for at, _, _ in found],
            [passage.text for _, passage, _ in found],
            [passage.title for _, passage, _ in found],
            [passage.doc_id for _, passage, _ in found],
            [passage.grade for _, passage, _ in found],
            [rank for _, _, rank in found],
        )


def table_labels(
    paths: Sequence[Path],
    columns: Sequence[str],
    bad_rows: BadRows,
    start: Callable[[RowFile], Parse],
) -> Iterator[LabelBatch]:
    """Yield the labels of files whose rows are objects, in batches.

    ``start`` is called for every file: it raises InputError when a column is missing, and returns what
    makes a ``LabelRow`` of a row, or raises BadFieldError.
    """
    current, parse = None, None
    for file, rows in row_batches(paths, columns, bad_rows):
        if file is not current or parse is None:
            current, parse = file, start(file)
        yield parsed(file.where, rows, parse, bad_rows)


def parsed(
    where: Callable[[int], Where], rows: Sequence[tuple[int, T]], parse: Callable[[T], LabelRow], bad_rows: BadRows
) -> LabelBatch:
    """The batch of some numbered rows; those of which ``parse`` makes nothing are bad."""
    lines: list[int] = []
    found: list[LabelRow] = []
    for line, row in rows:
        try:
            found.append(parse(row))
        except BadFieldError as error:
            bad_rows.reject(where(line), str(error))
        else:
            lines.append(line)
    return LabelBatch.of(where, lines, found)


class LabelFormat(Protocol):
    """A layout of files with queries and their passages."""

    name: str
    negatives: bool
    """Whether it can carry negatives."""

    def read(self, paths: Sequence[Path], settings: LabelSettings, bad_rows: BadRows) -> Iterator[LabelBatch]:
        """Yield the labels. Raises InputError for a missing column, and for bad rows unless they are skipped."""

    def told_by(self, names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
        """Those of the columns ``names`` by which the layout is known; none when it is another one."""
