"""Queries and their positives on the way in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.errors import Where
from negmine.readers.bad_rows import BadRows
from negmine.selection.identity import digest_array, number_by_first_appearance
from negmine.stages.ingest.places import Places, given_elsewhere
from negmine.text import id_hash, text_digest, text_key


class QueryList:
    """Queries as they come, possibly many rows per query, one per row of a file; texts and ids stay in Arrow memory."""

    def __init__(self) -> None:
        self.places = Places()
        self._ids: list[pa.Array] = []
        self._texts: list[pa.Array] = []
        self._digests: list[np.ndarray] = []

    def add(
        self,
        query_ids: Sequence[str | None],
        texts: Sequence[str],
        where: Callable[[int], Where],
        lines: Sequence[int],
    ) -> None:
        """Append rows; a query without an id is named by its text."""
        digests = [text_digest(text) for text in texts]
        named = [
            text_key(digest)[:16] if query_id is None else query_id
            for query_id, digest in zip(query_ids, digests, strict=True)
        ]
        self._ids.append(pa.array(named, pa.string()))
        self._texts.append(pa.array(texts, pa.large_string()))
        self._digests.append(digest_array(digests))
        self.places.add(where, lines)

    def finish(self, bad_rows: BadRows) -> tuple[Queries, np.ndarray]:
        """The distinct queries, and for every row which of them it belongs to: int64 (rows,).

        An id that comes with two different texts is a bad row (-1 in the second result).
        """
        ids = pa.concat_arrays([pa.array([], pa.string()), *self._ids])
        texts = pa.concat_arrays([pa.array([], pa.large_string()), *self._texts])
        digests = np.concatenate([np.empty((0, 2), np.uint64), *self._digests])
        codes = pc.dictionary_encode(ids).indices.to_numpy(zero_copy_only=False).astype(np.int64)
        _, first = np.unique(codes, return_index=True)
        clash = (digests != digests[first[codes]]).any(axis=1)
        self._reject(ids, np.flatnonzero(clash), first[codes], bad_rows)
        rows = pa.array(first)
        queries = Queries(ids.take(rows), texts.take(rows), digests[first], first, len(ids), self.places)
        return queries, np.where(clash, -1, codes)

    def _reject(self, ids: pa.Array, clash: np.ndarray, original: np.ndarray, bad_rows: BadRows) -> None:
        here, there = self.places.where(clash), self.places.where(original[clash])
        for row, place, earlier in zip(clash.tolist(), here, there, strict=True):
            bad_rows.reject(place, given_elsewhere(f"query id '{ids[row].as_py()}'", place, earlier))


@dataclass(frozen=True)
class Queries:
    """Distinct query ids with their texts, in order of first appearance.

    ``source_row`` (n,) is the row each was first in, of ``given`` rows, whose ``places`` are known.
    """

    ids: pa.Array
    texts: pa.Array
    digests: np.ndarray
    source_row: np.ndarray
    given: int
    places: Places

    def numbered(self) -> tuple[np.ndarray, np.ndarray]:
        """Query numbers (n,), equal for equal texts, and the row that stands for each number."""
        return number_by_first_appearance(self.digests)

    def only(self, keep: np.ndarray) -> Queries:
        mask = pa.array(keep)
        return Queries(
            self.ids.filter(mask),
            self.texts.filter(mask),
            self.digests[keep],
            self.source_row[keep],
            self.given,
            self.places,
        )

    def columns(self, number: np.ndarray) -> dict[str, object]:
        """Columns of ``queries.parquet``."""
        return {
            "query_id": self.ids,
            "text": self.texts,
            "text_key": [text_key(digest.tobytes()) for digest in self.digests],
            "query": number,
            "id_hash": np.array([id_hash(identifier) for identifier in self.ids.to_pylist()], np.uint64),
            "source_row": self.source_row,
        }

    def content_digest(self, standing: np.ndarray) -> str:
        """SHA-256 over the ids and texts of the rows that stand for a number."""
        content = hashlib.sha256()
        rows = pa.array(standing)
        for identifier, text in zip(self.ids.take(rows).to_pylist(), self.texts.take(rows).to_pylist(), strict=True):
            content.update(f"{len(identifier)} {identifier}{text}\n".encode())
        return content.hexdigest()


@dataclass(frozen=True)
class Labels:
    """Labelled pairs: row of the query, row of the document, grade; three arrays (l,)."""

    query: np.ndarray
    document: np.ndarray
    grade: np.ndarray

    def by_query(self, number: np.ndarray) -> Labels:
        """Without repetitions (the first row of each pair stays), ordered by query number."""
        if not len(self.query):
            return self
        order = np.lexsort((np.arange(len(self.query)), self.document, self.query))
        query, document = self.query[order], self.document[order]
        new = np.ones(len(order), bool)
        new[1:] = (query[1:] != query[:-1]) | (document[1:] != document[:-1])
        rows = np.sort(order[new])
        rows = rows[np.argsort(number[self.query[rows]], kind="stable")]
        return Labels(self.query[rows], self.document[rows], self.grade[rows])
