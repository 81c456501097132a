"""Runs of other retrievers: which documents they found for which query."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from negmine.errors import InputError, Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import text_lines

_BATCH = 4096
_SHOWN = 60  # characters of a wrong value in a message
_SHORT, _TREC = 3, 6


@dataclass
class RunBatch:
    """Parallel lists over lines of a run; the greatest of the ``values`` is the best of a query: scores,
    or ranks with their sign changed."""

    query_ids: list[str] = field(default_factory=list)
    doc_ids: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def read_run(path: Path, kind: str, bad_rows: BadRows) -> Iterator[RunBatch]:
    """Yield a run in batches, in the order of the file.

    A line has TREC's six columns (``query Q0 document rank score tag``) or three (``query document value``),
    between any white space, or between tabs where ids have blanks. ``kind`` says whether ``score`` or ``rank``
    orders the documents; ``auto`` is the score of six columns. In a file of three columns the best documents
    of a query come first, which tells scores from ranks: InputError when they do not fit ``kind``.
    """
    columns, last = 0, ("", math.inf)
    batch = RunBatch()
    for number, text in text_lines(path, bad_rows):
        fields = _fields(text, columns)
        where = Where(str(path), number)
        if not columns and len(fields) == _SHORT and fields[-1].lower() in ("score", "rank"):
            continue  # a header
        if len(fields) != (columns or len(fields)) or len(fields) not in (_SHORT, _TREC):
            wanted = f"those before have {columns}" if columns else "runs have 6 as TREC writes them, or 3"
            bad_rows.reject(where, f"this line has {len(fields)} columns; {wanted}")
            continue
        columns = len(fields)
        if columns == _SHORT and kind == "auto":
            cause = "this run has three columns, and the third may be a score or a rank"
            raise InputError(cause, where=where, hint="Set kind: score or kind: rank for it in mine.retrievers.")
        value, problem = _value(fields, kind)
        if problem:
            column = max(text.rfind(value), 0) + 1
            bad_rows.reject(Where(str(path), number, column), problem)
            continue
        query_id, doc_id = fields[0], fields[2 if columns == _TREC else 1]
        if not query_id or not doc_id:
            bad_rows.reject(where, f"the {'document' if query_id else 'query'} id is empty")
            continue
        amount = -float(value) if kind == "rank" else float(value)
        if columns == _SHORT:
            if query_id == last[0] and amount > last[1]:
                raise _wrong_way(where, query_id, last[1], amount, kind)
            last = (query_id, amount)
        batch.query_ids.append(query_id)
        batch.doc_ids.append(doc_id)
        batch.values.append(amount)
        batch.lines.append(number)
        if len(batch.lines) >= _BATCH:
            yield batch
            batch = RunBatch()
    if batch.lines:
        yield batch


def _fields(text: str, columns: int) -> list[str]:
    fields = text.split()
    if "\t" in text and len(fields) not in ((columns,) if columns else (_SHORT, _TREC)):
        return [field.strip() for field in text.split("\t")]
    return fields


def _value(fields: list[str], kind: str) -> tuple[str, str]:
    """The field that orders the documents, and what is wrong with it ('' for nothing)."""
    by_rank = kind == "rank"
    value = fields[-1] if len(fields) == _SHORT else fields[3 if by_rank else 4]
    if by_rank:
        wrong = "" if value.isdecimal() and value.isascii() else "is not a whole number"
        return value, wrong and f"the rank '{value[:_SHOWN]}' {wrong}"
    try:
        number = float(value) if "_" not in value else math.nan
    except ValueError:
        number = math.nan
    return value, "" if math.isfinite(number) else f"the score '{value[:_SHOWN]}' is not a number"


def _wrong_way(where: Where, query_id: str, before: float, now: float, kind: str) -> InputError:
    """The error for three columns in which the better document of a query comes later."""
    sign, other = (-1, "score") if kind == "rank" else (1, "rank")
    verb = "falls" if kind == "rank" else "rises"
    step = f"{verb} from {sign * before:g} to {sign * now:g}"
    return InputError(
        f"the {kind} of query '{query_id}' {step}, and a run lists the best first",
        where=where,
        hint=f"If the column is a {other}, set kind: {other}; else sort the lines of each query.",
    )
