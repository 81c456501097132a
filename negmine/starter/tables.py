"""What a table holds: labels, a corpus, queries or judgements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from negmine.config.formats import ColumnsConfig
from negmine.errors import InputError, NegmineError
from negmine.readers import LABEL_FORMATS, LabelSettings, read_qrels
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import data_suffix
from negmine.readers.peeking import Look, look
from negmine.readers.recognise import Recognised, is_headerless, recognise_file, usual_column
from negmine.readers.rows import SUFFIXES, RowFile
from negmine.starter.sources import Source

Kind = Literal["labels", "corpus", "queries", "qrels"]
TEXT_ROLES = ("doc_id", "text", "title")
_QUERY_TEXTS = ("query", "question", "query_text")
_TRIPLE_IDS = 3
_ROWS = 50


@dataclass(frozen=True)
class Table:
    """A table that can be read.

    ``columns`` are those of a table of texts by role; ``options`` the layouts that one of labels may have, and
    ``unlabelled`` says that none of its labels makes a positive; ``others`` could be carried along as metadata.
    ``lengths`` are those of the first texts, in characters.
    """

    source: Source
    kind: Kind
    seen: Look
    columns: Mapping[str, str] = field(default_factory=dict)
    options: tuple[Recognised, ...] = ()
    unlabelled: bool = False
    others: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()

    @property
    def value(self) -> str:
        return self.source.value

    @property
    def why(self) -> str:
        """By what it was told, for people."""
        several = f"{len(self.source.paths)} files, " if len(self.source.paths) > 1 else ""
        if self.options:
            told = [(each.format, _reason(each, self.seen)) for each in self.options]
            if len(told) == 1:
                return f"{several}{told[0][0]}, {told[0][1]}"
            return several + " or ".join(f"{name} ({reason})" for name, reason in told)
        names = {"corpus": "passages", "queries": "queries", "qrels": "judgements"}[self.kind]
        listed = ", ".join(self.columns.values()) or ("" if self.kind == "qrels" else "no header")
        return f"{several}{names}, it has {listed}" if listed else f"{several}{names}"


def _reason(option: Recognised, seen: Look) -> str:
    return f"it {option.why.removeprefix(f'{seen.name} ')}"


def table_of(source: Source) -> Table:
    """What a table holds. Raises NegmineError when it cannot be read, or is none of these."""
    if _is_called(source, "qrel") and _are_judgements(source):
        return Table(source, "qrels", Look(source.paths[0].name))
    if _is_called(source, "qrel") and data_suffix(source.paths[0]) not in SUFFIXES:
        raise InputError("these are no judgements: lines of a query, a document and a grade")
    path, seen = _first_look(source)
    if _are_triple_ids(source, seen):
        why = f"{seen.name} has lines of three ids"
        return Table(source, "labels", seen, options=(Recognised("msmarco", why, {"format": "msmarco"}),))
    labels, cause = _labels(source, seen, recognise_file(path))
    if labels is not None:
        return labels
    texts = _texts(source, seen)
    if texts is not None:
        return texts
    if _are_judgements(source):
        return Table(source, "qrels", seen)
    if cause:
        raise InputError(cause)
    raise InputError(f"neither pairs nor a corpus (columns: {', '.join(seen.names[:8])})")


def _first_look(source: Source) -> tuple[Path, Look]:
    """The first file with rows, and its beginning. Raises InputError when none has."""
    for path in source.paths[:-1]:
        try:
            return path, look(path)
        except InputError:
            continue
    return source.paths[-1], look(source.paths[-1])


def _is_called(source: Source, word: str) -> bool:
    """Whether a word is in the name, the only folder included."""
    return word in source.value.lower() or word in source.paths[0].name.lower()


def _are_judgements(source: Source) -> bool:
    bad = BadRows("skip")
    try:
        batch = next(read_qrels(source.paths[0], bad), None)
    except NegmineError:
        return False
    return batch is not None and bool(batch.lines) and not len(bad)


def _are_triple_ids(source: Source, seen: Look) -> bool:
    if not _is_called(source, "triple") or not seen.lines:
        return False
    return all(len(line) == _TRIPLE_IDS and all(part.strip().isdecimal() for part in line) for line in seen.lines)


def _labels(source: Source, seen: Look, found: Sequence[Recognised]) -> tuple[Table | None, str]:
    """The layouts whose reader makes something of the first rows; if none does, why the first cannot."""
    options: list[Recognised] = []
    lengths: list[int] = []
    unlabelled, cause = False, ""
    for option in found:
        columns = {
            key.removeprefix("columns."): name for key, name in option.keys.items() if key.startswith("columns.")
        }
        settings = LabelSettings(ColumnsConfig.model_validate(columns), queries=option.format == "ids", negatives=True)
        bad = BadRows("skip")
        batch = next(LABEL_FORMATS[option.format].read(source.paths[:1], settings, bad), None)
        if batch is None or not batch.lines:
            cause = cause or (str(bad.rejected[0]["reason"]) if len(bad) else "")
            continue
        options.append(option)
        lengths = lengths or [len(text) for text in batch.texts[:_ROWS] if text]
        unlabelled = unlabelled or (option.format == "labeled" and all(rank > 0 for rank in batch.ranks))
    if not options:
        return None, cause
    return Table(source, "labels", seen, {}, tuple(options), unlabelled, lengths=tuple(lengths)), ""


def _texts(source: Source, seen: Look) -> Table | None:
    """A table of an id and a text; its name or its columns tell whether these are queries."""
    called = _is_called(source, "quer") or _is_called(source, "topics")
    if is_headerless(seen, ()):
        rows = [line[-1] for line in seen.lines]
        kind: Kind = "queries" if called and len(seen.lines[0]) == 2 else "corpus"
        return Table(source, kind, seen, lengths=tuple(map(len, rows)))
    columns = {role: name for role in TEXT_ROLES if (name := usual_column(seen.names, role)) is not None}
    query_id = usual_column(seen.names, "query_id")
    is_queries = called or ("doc_id" not in columns and query_id is not None)
    if is_queries:
        query = next((name for name in seen.names if name.lower() in _QUERY_TEXTS), None)
        columns = {"doc_id": columns.get("doc_id") or query_id or "", "text": columns.get("text") or query or ""}
    if not columns.get("doc_id") or not columns.get("text"):
        return None
    own = list(columns.values())
    first = _first_rows(source, (*own, *seen.names))
    others = tuple(n for n in seen.names if n not in own and _is_plain(first, n))
    lengths = tuple(len(text) for row in first if isinstance(text := row.get(columns["text"]), str))
    return Table(source, "queries" if is_queries else "corpus", seen, columns, others=others, lengths=lengths)


def _first_rows(source: Source, names: Sequence[str]) -> list[dict[str, Any]]:
    bad = BadRows("skip")
    first = next(RowFile(source.paths[0], names, bad, may_be_empty=True).batches(), [])
    rows = [row for _, row in first[:_ROWS]]
    if not rows and len(bad):
        raise InputError(str(bad.rejected[0]["reason"]))
    return rows


def _is_plain(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(isinstance(row.get(name), str | int | float | None) for row in rows)


def held_out(source: Source) -> bool:
    """Whether the name says that the table is for testing."""
    words = re.split(r"[^a-z]+", source.value.lower())
    return bool({"test", "dev", "val", "valid", "validation", "eval", "evaluation"} & set(words))
