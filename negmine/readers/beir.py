"""Collections in BEIR layout, and judgements (qrels) in their two common forms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from negmine.errors import InputError, Where, nearest
from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import BadFieldError, id_field, require_column, text_field
from negmine.readers.rows import RowFile, tab_separated

_BATCH = 4096


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
    """Parallel lists over queries."""

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
        raise InputError("this folder does not exist", where=str(folder), hint="Check data.path.")
    qrels = folder / "qrels"
    splits = sorted(path.stem for path in qrels.glob("*.tsv")) if qrels.is_dir() else []
    if split not in splits:
        found = f"There are: {', '.join(splits)}." if splits else "A BEIR folder has qrels/train.tsv."
        raise InputError(
            f"there is no qrels/{split}.tsv", where=str(folder), hint=f"{found} {nearest(split, splits)} Set data.split.".replace("  ", " ")
        )
    return BeirFiles(_one(folder, "corpus"), _one(folder, "queries"), qrels / f"{split}.tsv")


def _one(folder: Path, stem: str) -> Path:
    for suffix in (".jsonl", ".jsonl.gz", ".jsonl.zst"):
        if (folder / f"{stem}{suffix}").exists():
            return folder / f"{stem}{suffix}"
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:12])
    raise InputError(
        f"there is no {stem}.jsonl", where=str(folder), hint=f"The folder holds: {there}. Set data.{stem} to the file."
    )


def read_queries(path: Path, columns: QueryColumns, bad_rows: BadRows) -> Iterator[QueryBatch]:
    """Yield the queries of a file in batches. Raises InputError for missing columns and bad rows."""
    file = RowFile(path, bad_rows)
    checked = False
    for rows in file.batches():
        if not checked:
            require_column(file, rows[0][1], columns.doc_id, "data.columns.doc_id", ("_id", "id", "query_id", "qid"))
            require_column(file, rows[0][1], columns.text, "data.columns.text", ("text", "query", "question"))
            checked = True
        batch = QueryBatch()
        for number, row in rows:
            try:
                query_id, text = id_field(row, columns.doc_id), text_field(row, columns.text)
                if not text.strip():
                    raise BadFieldError(f"'{columns.text}' is blank")
            except BadFieldError as error:
                bad_rows.reject(file.where(number), str(error))
                continue
            batch.query_ids.append(query_id)
            batch.texts.append(text)
            batch.lines.append(number)
        yield batch


def read_qrels(path: Path, bad_rows: BadRows) -> Iterator[QrelsBatch]:
    """Yield judgements in batches: ``query doc grade`` (with or without a header line), or TREC's
    ``query iteration doc grade``."""
    batch = QrelsBatch()
    for number, fields in tab_separated(path, bad_rows):
        where = Where(str(path), number)
        if len(fields) not in (3, 4):
            bad_rows.reject(where, f"this line has {len(fields)} columns; qrels have 3, or 4 as TREC writes them")
            continue
        query_id, doc_id, grade = fields[0], fields[-2], fields[-1]
        try:
            value = float(grade)
        except ValueError:
            if number > 1:
                column = 1 + sum(len(text) + 1 for text in fields[:-1])
                bad_rows.reject(Where(str(path), number, column), f"the grade '{grade}' is not a number")
            continue
        if not query_id or not doc_id or value != value:
            bad_rows.reject(where, "a query id, document id or grade is empty")
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
