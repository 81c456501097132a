"""Texts of an evaluation set, which must not be trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from negmine.config import Config
from negmine.errors import InputError, Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import missing_column
from negmine.readers.files import table_files
from negmine.readers.rows import RowFile
from negmine.remote.fetching import input_files
from negmine.remote.stores import is_url
from negmine.selection.identity import DigestIndex, Digests, digest_array
from negmine.stages.ingest.documents import Corpus
from negmine.stages.ingest.labels import Labels, Queries
from negmine.stages.ingest.places import Places
from negmine.text import BLANK, text_digest

_KEY = "data.eval_guard.files"
_COLUMNS_KEY = "data.eval_guard.columns"
COLUMNS = (
    *("anchor", "query", "queries", "question", "query_text", "text", "sentence", "sentence1", "sentence2"),
    *("positive", "positives", "pos", "positive_passages", "positive_ctxs", "passage", "passages"),
    *("document", "documents", "context", "contents", "content", "body", "answer"),
)
"""Names of columns that hold texts, unless the config names others."""
_QUERIES = ("queries.jsonl", "queries.jsonl.gz", "queries.jsonl.zst", "queries.parquet")
_SHOWN = 80
_NAMED = 3


@dataclass(frozen=True)
class Found:
    """Queries and documents that an evaluation set has too: rows, and the places of their texts there."""

    queries: np.ndarray
    documents: np.ndarray
    query_places: list[Where]
    document_places: list[Where]


def guard_files(config: Config) -> dict[str, Path]:
    """The files of the evaluation set by the key that names them; of a folder, its queries.

    Raises InputError for a folder without queries.
    """
    guard = config.data.eval_guard
    paths = [path for name in (guard.files if guard is not None else ()) for path in _paths(config, name)]
    return {f"{_KEY}.{number}": path for number, path in enumerate(paths)}


def _paths(config: Config, name: str) -> tuple[Path, ...]:
    if is_url(name):
        return input_files(config, name)
    if not Path(name).is_dir():
        return table_files(name, _KEY, config.data.split).paths
    inside = next((Path(name, file) for file in _QUERIES if Path(name, file).is_file()), None)
    if inside is None:
        raise InputError(
            "this folder has no queries.jsonl", where=name, hint=f"Name the files of the evaluation set in {_KEY}."
        )
    return (inside,)


class EvalGuard:
    """Finds what is in an evaluation set by what it says, in the sense of ``negmine.text.normalise``."""

    def __init__(self, config: Config, bad_rows: BadRows) -> None:
        """Read the files. Raises InputError for files without a column of texts, and for bad rows."""
        guard = config.data.eval_guard
        assert guard is not None
        self._stops = guard.action == "error"
        self._places = Places()
        digests = [np.empty((0, 2), np.uint64)]
        for path in guard_files(config).values():
            file = RowFile(path, guard.columns or COLUMNS, bad_rows)
            columns = _columns(file, guard.columns)
            for rows in file.batches():
                texts = [(number, text) for number, row in rows for name in columns for text in _texts(row.get(name))]
                found = [(number, digest) for number, text in texts if (digest := text_digest(text)) != BLANK]
                digests.append(digest_array([digest for _, digest in found]))
                self._places.add(file.where, [number for number, _ in found])
        self._index = DigestIndex(np.concatenate(digests))

    def find(self, queries: Queries, labelled: np.ndarray, corpus: Corpus) -> Found:
        """Which queries (those that are ``labelled``, bool (q,)) and documents of ``corpus`` it has.

        A document is found by what it says with its title, without, and by any of its chunks. Raises
        InputError when there are any and ``data.eval_guard.action`` is error.
        """
        of_query = np.where(labelled, self._index.find(queries.digests), -1)
        of_document = self._last(corpus.digests)
        if (pieces := corpus.documents.pieces) is not None:
            counts = pieces.counts()
            greatest = np.maximum.reduceat(self._last(pieces.digests()), np.cumsum(counts) - counts)[corpus.keep]
            of_document = np.maximum(of_document, greatest)
        rows, documents = np.flatnonzero(of_query >= 0), np.flatnonzero(of_document >= 0)
        found = Found(rows, documents, self._places.where(of_query[rows]), self._places.where(of_document[documents]))
        if self._stops:
            _refuse(found, queries, corpus)
        return found

    def _last(self, digests: Digests) -> np.ndarray:
        """The last row of the evaluation set that each of n passages says, with its title or without; -1: none."""
        return np.maximum.reduce([self._index.find(form) for form in digests.forms])


def without(labels: Labels, found: Found) -> Labels:
    """The labels of the queries and documents that stay."""
    stays = ~(np.isin(labels.query, found.queries) | np.isin(labels.document, found.documents))
    return Labels(labels.query[stays], labels.document[stays], labels.grade[stays])


def guarded_lines(found: Found, queries: Queries, corpus: Corpus) -> Iterator[str]:
    """What left the data, as lines of ``guarded.jsonl``."""
    ids, texts = (column.take(pa.array(found.queries)).to_pylist() for column in (queries.ids, queries.texts))
    for query_id, text, place in zip(ids, texts, found.query_places, strict=True):
        yield _line("query", query_id, text, place)
    # Texts are read again from the spool, a document by its first row there.
    counts = corpus.documents.pieces.counts() if corpus.documents.pieces is not None else None
    given = np.flatnonzero(corpus.keep)[found.documents]
    first = given if counts is None else (np.cumsum(counts) - counts)[given]
    ids = corpus.ids.take(pa.array(found.documents)).to_pylist()
    start = number = 0
    for table in corpus.documents.spooled():
        stop = int(np.searchsorted(first, start + table.num_rows))
        rows = table.take(pa.array(first[number:stop] - start))
        for text in rows["text"].to_pylist():
            yield _line("passage", ids[number], text, found.document_places[number])
            number += 1
        start += table.num_rows


def _line(what: str, identifier: str, text: str, place: Where) -> str:
    row = {"what": what, "id": identifier, "text": text[:_SHOWN], "file": place.file, "line": place.line or place.row}
    return json.dumps(row, ensure_ascii=False) + "\n"


def _columns(file: RowFile, asked: Sequence[str]) -> list[str]:
    if not asked:
        known = [name for name in file.names if name in COLUMNS]
        if not known:
            raise missing_column(file, "no column has a name that tells of texts", "text", _COLUMNS_KEY)
        return known
    for name in asked:
        if name not in file.names:
            raise missing_column(file, f"there is no column '{name}'", name, _COLUMNS_KEY)
    return list(asked)


def _texts(value: Any) -> Iterator[str]:
    """The texts in a field: a text, an object with one, a list of such."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(value.get("text"))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _refuse(found: Found, queries: Queries, corpus: Corpus) -> None:
    total = len(found.queries) + len(found.documents)
    if not total:
        return
    places = [queries.places.where(queries.source_row[found.queries[:_NAMED]]), found.query_places]
    named = list(zip(*places, strict=False))
    given = np.flatnonzero(corpus.keep)[found.documents[:_NAMED]]
    named += list(zip(corpus.documents.places.where(given), found.document_places, strict=False))
    first, *more = [f"{here} has a text of the evaluation set ({there})" for here, there in named[:_NAMED]]
    rest = f"; {'; '.join(more)}" if more else ""
    beyond = f"; and {total - len(more) - 1} more" if total > len(more) + 1 else ""
    raise InputError(
        f"{first}{rest}{beyond}",
        hint="Remove them from the training data, or set data.eval_guard.action: drop.",
    )
