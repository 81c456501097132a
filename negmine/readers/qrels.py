"""Judgements (qrels): lines in their two common forms, or tables."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from negmine.errors import InputError, Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import BadFieldError, id_field
from negmine.readers.lines import data_suffix, text_lines
from negmine.readers.peeking import column_names
from negmine.readers.rows import SUFFIXES, RowFile

_BATCH = 4096
_SHOWN = 60  # characters of a wrong value in a message
_QUERY_HEADERS = ("query", "queryid", "qid", "topic", "topicid")
_DOC_HEADERS = ("corpus", "corpusid", "doc", "docid", "documentid", "docno", "pid", "passageid")
_GRADE_HEADERS = ("score", "grade", "relevance", "relevancy", "rel", "label", "judgement", "judgment")


@dataclass
class QrelsBatch:
    """Parallel lists over judgements; ``where`` gives the place of one by its number in ``lines``."""

    where: Callable[[int], Where]
    query_ids: list[str] = field(default_factory=list)
    doc_ids: list[str] = field(default_factory=list)
    grades: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, query_id: str, doc_id: str, grade: float, line: int) -> None:
        self.query_ids.append(query_id)
        self.doc_ids.append(doc_id)
        self.grades.append(grade)
        self.lines.append(line)


def read_qrels(path: Path, bad_rows: BadRows) -> Iterator[QrelsBatch]:
    """Yield judgements in batches: tables with a column for the query, the document and the grade, or lines.

    Lines are ``query doc grade`` (with or without a header line), or TREC's ``query iteration doc grade``; cut at
    tabs, or at any white space when there is no tab.
    """
    if _is_table(path):
        yield from _table(path, bad_rows)
        return

    def place(number: int) -> Where:
        return Where(str(path), number)

    batch = QrelsBatch(place)
    for index, (number, text) in enumerate(text_lines(path, bad_rows)):
        fields = _fields(text)
        if index == 0 and _is_header(fields):
            continue
        where = place(number)
        if len(fields) not in (3, 4):
            bad_rows.reject(where, f"this line has {len(fields)} columns; qrels have 3, or 4 as TREC writes them")
            continue
        query_id, doc_id, grade = fields[0], fields[-2], fields[-1]
        value = _number(grade)
        if value is None:
            column = max(text.rfind(grade), 0) + 1
            bad_rows.reject(Where(str(path), number, column), f"the grade '{grade[:_SHOWN]}' is not a number")
            continue
        if not query_id or not doc_id:
            bad_rows.reject(where, f"the {'document' if query_id else 'query'} id is empty")
            continue
        batch.add(query_id, doc_id, value, number)
        if len(batch.lines) >= _BATCH:
            yield batch
            batch = QrelsBatch(place)
    if batch.lines:
        yield batch


def qrels_width(path: Path) -> int | None:
    """How many columns the first line has; None for tables, and when there is no line to read."""
    if _is_table(path):
        return None
    with contextlib.suppress(InputError):
        for _, text in text_lines(path, BadRows("skip")):
            return len(_fields(text))
    return None


def _is_table(path: Path) -> bool:
    return data_suffix(path) in SUFFIXES and data_suffix(path) != ".tsv"


def _fields(text: str) -> list[str]:
    return [field.strip() for field in text.split("\t")] if "\t" in text else text.split()


def _table(path: Path, bad_rows: BadRows) -> Iterator[QrelsBatch]:
    file = RowFile(path, column_names([path]), bad_rows)
    query, doc, grade = (_column(file, names) for names in (_QUERY_HEADERS, _DOC_HEADERS, _GRADE_HEADERS))
    for rows in file.batches():
        batch = QrelsBatch(file.where)
        for line, row in rows:
            try:
                value = _number(str(row.get(grade)))
                if value is None or isinstance(row[grade], bool):
                    raise BadFieldError(f"the grade '{str(row.get(grade))[:_SHOWN]}' is not a number")
                batch.add(id_field(row, query), id_field(row, doc), value, line)
            except BadFieldError as error:
                bad_rows.reject(file.where(line), str(error))
        yield batch


def _column(file: RowFile, wanted: Sequence[str]) -> str:
    """The column of a table whose name is one of those ``wanted``. Raises InputError when there is none."""
    found = next((name for name in file.names if _letters(name) in wanted), None)
    if found is None:
        usual = {_QUERY_HEADERS: "query-id", _DOC_HEADERS: "corpus-id", _GRADE_HEADERS: "score"}[tuple(wanted)]
        shown = ", ".join(f"'{name[:_SHOWN]}'" for name in file.names[:12])
        raise InputError(
            f"there is no column '{usual}' (found: {shown})", where=file.start, hint=f"Rename the column to {usual}."
        )
    return found


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name.lower()))


def _is_header(fields: list[str]) -> bool:
    """Whether a first line names columns; a first judgement with a bad grade must not pass for one."""
    named = _letters(fields[0]) in _QUERY_HEADERS or fields[-1].lower() in _GRADE_HEADERS
    return _number(fields[-1]) is None and named


def _number(text: str) -> float | None:
    """A finite decimal number, or None."""
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
