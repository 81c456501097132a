"""Sheets that people write their judgements into: written without labels, read with them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negmine.errors import InputError, UsageError, Where, nearest
from negmine.labelling.labels import UNSURE, Strict, is_pair
from negmine.readers.rows import RowFile
from negmine.store.files import replacing

COLUMNS = ("pair", "query_id", "doc_id", "query", "positives", "candidate", "relevant")
SUFFIXES = (".jsonl", ".csv")
_NEEDED = ("pair", "query_id", "doc_id", "relevant")
_WORDS: Mapping[str, bool | None] = {"true": True, "1": True, "false": False, "0": False, UNSURE: None}
_BETWEEN = "\n\n"


@dataclass(frozen=True)
class Drawn:
    """A candidate that is to be judged, with what its judge reads; ``pair`` identifies the two texts."""

    pair: str
    query_id: str
    doc_id: str
    query: str
    positives: tuple[str, ...]
    candidate: str


@dataclass(frozen=True)
class Judged:
    """A row of a sheet that was filled in: ``relevant`` is None for unsure."""

    pair: str
    query_id: str
    doc_id: str
    relevant: bool | None
    where: Where


def check_sheet(path: Path) -> None:
    """Refuse a file that a sheet cannot be written to, before any work. Raises UsageError."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"a sheet is a .jsonl or .csv file, and not {path.name}", hint="Rename it.")
    if path.exists():
        raise UsageError(
            f"there is already {path}, which may hold judgements",
            hint="Read it with --import-sheet, or name another file.",
        )
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write {path.name} to", hint="Make it first.")


def write_sheet(path: Path, rows: Sequence[Drawn]) -> None:
    """Write rows to be judged, as JSON Lines or CSV by the file's ending; nothing tells their strata or scores."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if path.suffix.lower() == ".csv":
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows([*_ids(row), row.query, _BETWEEN.join(row.positives), row.candidate, ""] for row in rows)
        else:
            for row in rows:
                values = [*_ids(row), row.query, list(row.positives), row.candidate, ""]
                file.write(json.dumps(dict(zip(COLUMNS, values, strict=True)), ensure_ascii=False) + "\n")


def _ids(row: Drawn) -> list[str]:
    return [row.pair, row.query_id, row.doc_id]


def read_sheet(path: Path) -> tuple[list[Judged], int]:
    """The rows of a sheet that were filled in, and how many were left empty.

    Any table that readers take. Raises InputError, with its place, for a row that cannot be used: a word that
    is no judgement, a damaged ``pair``, two judgements of one pair that differ.
    """
    file = RowFile(path, _NEEDED, Strict("Mend the row and import the sheet again."))
    for name in _NEEDED:
        if name not in file.names:
            near = nearest(name, file.names) or f"A sheet has the columns {', '.join(COLUMNS)}."
            raise InputError(f"there is no column '{name}'", where=file.start, hint=near)
    found: dict[str, Judged] = {}
    empty = 0
    for batch in file.batches():
        for number, row in batch:
            where = file.where(number)
            pair, query_id, doc_id = (str(row.get(name, "")).strip() for name in _NEEDED[:3])
            if not is_pair(pair):
                raise InputError(
                    f"'{pair[:80]}' names no pair of texts",
                    where=_at(where, "pair"),
                    hint="Take this column as it was exported.",
                )
            if row.get("relevant") is None or not str(row["relevant"]).strip():
                empty += 1
                continue
            judged = Judged(pair, query_id, doc_id, _judgement(row["relevant"], where), where)
            before = found.setdefault(pair, judged)
            if before.relevant != judged.relevant:
                place = before.where.line or before.where.row
                raise InputError(
                    f"this pair was judged otherwise before (line {place})", where=where, hint="Keep one of them."
                )
    return list(found.values()), empty


def _judgement(value: Any, where: Where) -> bool | None:
    word = str(value).strip().lower().removesuffix(".0")
    if word not in _WORDS:
        hint = nearest(word, list(_WORDS)) or "Write true, false or unsure (or 1, 0), or leave it empty."
        raise InputError(f"'{str(value)[:60]}' is no judgement", where=_at(where, "relevant"), hint=hint)
    return _WORDS[word]


def _at(where: Where, column: str) -> Where:
    return Where(where.file, where.line, column, where.row)
