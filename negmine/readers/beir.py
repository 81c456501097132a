"""Collections in BEIR layout, and judgements (qrels) in their two common forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from negmine.errors import InputError, Where, nearest
from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import BadFieldError, id_field, require_column, text_field
from negmine.readers.lines import text_lines
from negmine.readers.rows import RowFile

_BATCH = 4096
_SHOWN = 60  # characters of a wrong value in a message
_QUERY_HEADERS = ("query", "queryid", "qid", "topic", "topicid")
_GRADE_HEADERS = ("score", "grade", "relevance", "relevancy", "rel", "label", "judgement", "judgment")


class QueryColumns(Protocol):
    """Names of the user's columns: BEIR names queries as it names documents."""

    doc_id: str
    text: str


@dataclass(frozen=True)
class BeirFiles:
    """The files of a collection."""

    corpus: Path
    queries: Path
    qrels: Path


@dataclass
class QueryBatch:
    """Parallel lists over queries; ``where`` gives the place of a row by its number in ``lines``."""

    where: Callable[[int], Where]
    query_ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


@dataclass
class QrelsBatch:
    """Parallel lists over judgements."""

    query_ids: list[str] = field(default_factory=list)
    doc_ids: list[str] = field(default_factory=list)
    grades: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def beir_files(folder: Path, split: str) -> BeirFiles:
    """The files of the collection in ``folder``. Raises InputError when one is missing."""
    if not folder.is_dir():
        cause = "this is a file, and a folder is needed" if folder.exists() else "this folder does not exist"
        raise InputError(cause, where=str(folder), hint="Check data.path.")
    qrels = folder / "qrels"
    splits = sorted(path.stem for path in qrels.glob("*.tsv")) if qrels.is_dir() else []
    if split not in splits:
        found = f"There are: {', '.join(splits)}." if splits else "A BEIR folder has qrels/train.tsv."
        hint = " ".join(filter(None, [found, nearest(split, splits), "Set data.split."]))
        raise InputError(f"there is no qrels/{split}.tsv", where=str(folder), hint=hint)
    return BeirFiles(_one(folder, "corpus"), _one(folder, "queries"), qrels / f"{split}.tsv")


def _one(folder: Path, stem: str) -> Path:
    for suffix in (".jsonl", ".jsonl.gz", ".jsonl.zst"):
        if (folder / f"{stem}{suffix}").exists():
            return folder / f"{stem}{suffix}"
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:12])
    raise InputError(
        f"there is no {stem}.jsonl",
        where=str(folder),
        hint=f"The folder holds: {there}. Rename the file, or set data.corpus, data.queries and data.qrels"
        " instead of data.path.",
    )


def read_queries(path: Path, columns: QueryColumns, bad_rows: BadRows) -> Iterator[QueryBatch]:
    """Yield the queries of a file in batches. Raises InputError for missing columns and bad rows."""
    file = RowFile(path, (columns.doc_id, columns.text), bad_rows)
    for number, rows in enumerate(file.batches()):
        if number == 0:
            require_column(file, columns.doc_id, "data.columns.doc_id", ("_id", "id", "query_id", "qid"))
            require_column(file, columns.text, "data.columns.text", ("text", "query", "question"))
        batch = QueryBatch(file.where)
        for line, row in rows:
            try:
                query_id, text = id_field(row, columns.doc_id), text_field(row, columns.text)
                if not text.strip():
                    raise BadFieldError(f"'{columns.text}' is blank")
            except BadFieldError as error:
                bad_rows.reject(file.where(line), str(error))
                continue
            batch.query_ids.append(query_id)
            batch.texts.append(text)
            batch.lines.append(line)
        yield batch


def read_qrels(path: Path, bad_rows: BadRows) -> Iterator[QrelsBatch]:
    """Yield judgements in batches: ``query doc grade`` (with or without a header line), or TREC's
    ``query iteration doc grade``; cut at tabs, or at any white space when there is no tab.
    """
    batch = QrelsBatch()
    for index, (number, text) in enumerate(text_lines(path, bad_rows)):
        fields = [field.strip() for field in text.split("\t")] if "\t" in text else text.split()
        if index == 0 and _is_header(fields):
            continue
        where = Where(str(path), number)
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
        batch.query_ids.append(query_id)
        batch.doc_ids.append(doc_id)
        batch.grades.append(value)
        batch.lines.append(number)
        if len(batch.lines) >= _BATCH:
            yield batch
            batch = QrelsBatch()
    if batch.lines:
        yield batch


def _is_header(fields: list[str]) -> bool:
    """Whether a first line names columns; a first judgement with a bad grade must not pass for one."""
    query = "".join(filter(str.isalpha, fields[0].lower()))
    return _number(fields[-1]) is None and (query in _QUERY_HEADERS or fields[-1].lower() in _GRADE_HEADERS)


def _number(text: str) -> float | None:
    """A finite decimal number, or None."""
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
