"""The corpus on its way in: texts spooled to disk, identities in arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.errors import Where
from negmine.readers.bad_rows import BadRows
from negmine.selection.identity import DigestIndex, digest_array, number_by_first_appearance
from negmine.stages.ingest.places import Places, given_elsewhere
from negmine.store.tables import TableWriter, iter_batches
from negmine.text import BLANK, id_hash, passage_text, text_digest, text_key


class Documents:
    """All documents of a run, in input order, each with its digests.

    Texts go to ``spool`` (a Parquet file) as they come; what stays in memory is the ids, 32
    bytes of digests and a line number per document.
    """

    def __init__(self, spool: Path, metadata: Sequence[str]) -> None:
        self.given = 0
        self.count = 0
        self.places = Places()
        self._metadata = tuple(metadata)
        self._schema = pa.schema(
            [
                pa.field("doc_id", pa.string()),
                pa.field("text", pa.large_string()),
                pa.field("title", pa.large_string()),
                schemas.SOURCE_ROW,
                *(pa.field(name, pa.string()) for name in metadata),
            ]
        )
        self._spool = spool
        self._writer = TableWriter(spool, self._schema)
        self._ids: list[pa.Array] = []
        self._passages: list[np.ndarray] = []
        self._texts: list[np.ndarray] = []
        self._blank: list[pa.Array] = []

    def add(
        self,
        doc_ids: Sequence[str],
        titles: Sequence[str],
        texts: Sequence[str],
        metadata: Mapping[str, Sequence[str | None]],
        where: Callable[[int], Where],
        lines: Sequence[int],
    ) -> None:
        """Append documents; of those without any text only the ids are kept, apart."""
        passages = [text_digest(passage_text(title, text)) for title, text in zip(titles, texts, strict=True)]
        bodies = [
            passage if not title else text_digest(text)
            for passage, title, text in zip(passages, titles, texts, strict=True)
        ]
        given = np.arange(self.given, self.given + len(doc_ids))
        self.given += len(doc_ids)
        columns = {"doc_id": doc_ids, "text": texts, "title": titles, "source_row": given}
        columns |= {name: metadata.get(name) or [None] * len(doc_ids) for name in self._metadata}
        table = pa.Table.from_arrays(
            [pa.array(columns[field.name], field.type) for field in self._schema], schema=self._schema
        )
        keep = np.array([passage != BLANK for passage in passages], bool)
        if not keep.all():
            self._blank.append(table.filter(pa.array(~keep))["doc_id"].combine_chunks())
            table = table.filter(pa.array(keep))
        self._writer.write_table(table)
        self._ids.append(table["doc_id"].combine_chunks())
        self._passages.append(digest_array(passages)[keep])
        self._texts.append(digest_array(bodies)[keep])
        self.places.add(where, np.asarray(lines, np.int64)[keep])
        self.count += table.num_rows

    def close(self) -> None:
        """No more documents; identities can be asked for from here on."""
        self._writer.close()

    def blank_ids(self) -> pa.Array:
        """Ids of the documents that were left out, in order."""
        return pa.concat_arrays([pa.array([], pa.string()), *self._blank])

    def ids(self) -> pa.Array:
        return pa.concat_arrays([pa.array([], pa.string()), *self._ids])

    def passage_digests(self) -> np.ndarray:
        return np.concatenate([np.empty((0, 2), np.uint64), *self._passages])

    def text_digests(self) -> np.ndarray:
        return np.concatenate([np.empty((0, 2), np.uint64), *self._texts])

    def text_index(self) -> TextIndex:
        """Finds the documents that are there so far by their text."""
        return TextIndex(self.passage_digests(), self.text_digests())

    def spooled(self) -> Iterator[pa.Table]:
        """The documents again, in order, once they are closed."""
        for batch in iter_batches(self._spool, self._schema.names):
            yield pa.Table.from_batches([batch])


class TextIndex:
    """Finds a document by what it says: its passage text, or else its text without title."""

    def __init__(self, passage_digests: np.ndarray, text_digests: np.ndarray) -> None:
        self._by_passage = DigestIndex(passage_digests)
        self._by_text = DigestIndex(text_digests)

    def find(self, digests: np.ndarray) -> np.ndarray:
        """Row of the first document with each digest, -1 where none has it: int64 (m,)."""
        rows = self._by_passage.find(digests)
        missing = rows < 0
        if missing.any():
            rows[missing] = self._by_text.find(digests[missing])
        return rows


def _one_of_each_id(documents: Documents, bad_rows: BadRows) -> np.ndarray:
    """Mask (n,) of the first document of each id.

    A repeated id with the same text is the same document; with another text it is a bad row.
    """
    ids, digests = documents.ids(), documents.passage_digests()
    codes = pc.dictionary_encode(ids).indices.to_numpy(zero_copy_only=False)
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    original = first[inverse]
    keep = original == np.arange(len(codes))
    clash = np.flatnonzero(~keep & (digests != digests[original]).any(axis=1))
    here, there = documents.places.where(clash), documents.places.where(original[clash])
    for row, place, earlier in zip(clash.tolist(), here, there, strict=True):
        bad_rows.reject(place, given_elsewhere(f"document id '{ids[row].as_py()}'", place, earlier))
    return keep


class Corpus:
    """Documents after merging: which are kept, and the passage each one is."""

    def __init__(self, documents: Documents, bad_rows: BadRows, *, from_file: bool = True) -> None:
        self.from_file = from_file
        """Whether the user gave a corpus; else the positives are it."""
        self._documents = documents
        self._keep = _one_of_each_id(documents, bad_rows)
        self._blank_ids = documents.blank_ids()
        self.ids = documents.ids().filter(pa.array(self._keep))
        self.passage_digests = documents.passage_digests()[self._keep]
        self.text_digests = documents.text_digests()[self._keep]
        self.texts = TextIndex(self.passage_digests, self.text_digests)
        self.passage, first_rows = number_by_first_appearance(self.passage_digests)
        self.is_first = np.zeros(len(self.passage), bool)
        self.is_first[first_rows] = True
        self.passages = len(first_rows)

    def find_ids(self, ids: pa.Array) -> np.ndarray:
        """Row of the document with each id, -1 where there is none: int64 (m,)."""
        found = pc.index_in(ids, value_set=self.ids)
        return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)

    def is_blank(self, ids: pa.Array) -> np.ndarray:
        """Which ids (m,) belong to documents that were left out because they have no text."""
        return pc.is_in(ids, value_set=self._blank_ids).to_numpy(zero_copy_only=False)

    def kept_from(self, row: int) -> int:
        """How many documents are left of those that were added from ``row`` on."""
        return int(self._keep[row:].sum())

    def write(self, path: Path, metadata: Sequence[str]) -> tuple[int, str]:
        """Write ``corpus.parquet``; the number of rows and a digest of what models read of it."""
        content = hashlib.sha256()
        with TableWriter(path, schemas.corpus(tuple(metadata))) as writer:
            row, position = 0, 0
            for whole in self._documents.spooled():
                table = whole.filter(pa.array(self._keep[position : position + whole.num_rows]))
                position += whole.num_rows
                stop = row + table.num_rows
                titles, texts = table["title"].to_pylist(), table["text"].to_pylist()
                ids = table["doc_id"].to_pylist()
                first = self.is_first[row:stop]
                for identifier, title, text, is_first in zip(ids, titles, texts, first, strict=True):
                    if is_first:
                        content.update(f"{len(identifier)} {identifier}{passage_text(title, text)}\n".encode())
                writer.write(
                    {
                        **{name: table[name] for name in table.column_names},
                        "text_key": [text_key(digest.tobytes()) for digest in self.text_digests[row:stop]],
                        "passage": self.passage[row:stop],
                        "id_hash": np.array([id_hash(identifier) for identifier in ids], np.uint64),
                    }
                )
                row = stop
        return row, content.hexdigest()
