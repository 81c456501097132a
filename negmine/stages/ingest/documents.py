"""The corpus on its way in: texts spooled to disk, identities in arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.config import DataConfig
from negmine.config.texts import ChunkConfig
from negmine.errors import Where
from negmine.readers.bad_rows import BadRows
from negmine.selection.chunking import cut
from negmine.selection.identity import Digests, digest_array, number_by_first_appearance
from negmine.stages.ingest.pieces import Pieces
from negmine.stages.ingest.places import Places, given_elsewhere
from negmine.store.tables import TableWriter, iter_batches
from negmine.text import BLANK, Template, text_digest


class Documents:
    """All documents of a run, in input order, each with its digests.

    Texts go to ``spool`` (a Parquet file) as they come, one row per document or per chunk of one;
    what stays in memory is the ids, and 32 bytes of digests and a line number per document.
    """

    def __init__(self, spool: Path, data: DataConfig) -> None:
        self.given = 0
        self.count = 0
        self.places = Places()
        self.template = Template(data.passage_template)
        self.pieces = Pieces() if data.chunks is not None else None
        """What documents are cut into, if they are."""
        self._chunks = data.chunks
        self._metadata = tuple(data.metadata)
        self._schema = pa.schema(
            [
                pa.field("doc_id", pa.string()),
                pa.field("text", pa.large_string()),
                pa.field("title", pa.large_string()),
                schemas.SOURCE_ROW,
                *([pa.field("document", pa.string())] if data.chunks else []),
                *(pa.field(name, pa.string()) for name in data.metadata),
            ]
        )
        self._spool = spool
        self._writer = TableWriter(spool, self._schema)
        self._ids: list[pa.Array] = []
        self._digests: list[Digests] = []
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
        columns: dict[str, Sequence[str | None]] = {"doc_id": doc_ids, "text": texts, "title": titles}
        columns |= {name: metadata.get(name) or [None] * len(doc_ids) for name in self._metadata}
        passages, bodies = self._digests_of(texts, columns)
        given = np.arange(self.given, self.given + len(doc_ids))
        self.given += len(doc_ids)
        keep = self._has_text(passages, bodies, titles)
        ids = pa.array(doc_ids, pa.string())
        if not keep.all():
            self._blank.append(ids.filter(pa.array(~keep)))
        self._ids.append(ids.filter(pa.array(keep)))
        self._digests.append(Digests(digest_array(passages)[keep], digest_array(bodies)[keep]))
        self.places.add(where, np.asarray(lines, np.int64)[keep])
        if self._chunks is None or self.pieces is None:
            table = self._table({**columns, "source_row": given}).filter(pa.array(keep))
        else:
            table = self._cut(columns, given, np.flatnonzero(keep), self._chunks, self.pieces)
        self._writer.write_table(table)
        self.count += int(keep.sum())

    def _digests_of(
        self, texts: Sequence[str], columns: Mapping[str, Sequence[str | None]]
    ) -> tuple[list[bytes], list[bytes]]:
        """Digests of the passages, and of the texts without their titles."""
        filled = self.template.fill(columns)
        passages = [text_digest(passage) for passage in filled]
        bodies = [
            digest if passage == text else text_digest(text)
            for digest, passage, text in zip(passages, filled, texts, strict=True)
        ]
        return passages, bodies

    def _has_text(self, passages: Sequence[bytes], bodies: Sequence[bytes], titles: Sequence[str]) -> np.ndarray:
        """Which documents have a text, or a title that the template shows: what it adds itself is no text."""
        if self.template.is_default:
            return np.array([passage != BLANK for passage in passages], bool)
        titled = "title" in self.template.names
        shown = [text_digest(title) if titled else BLANK for title in titles]
        return np.array([body != BLANK or title != BLANK for body, title in zip(bodies, shown, strict=True)], bool)

    def _table(self, columns: Mapping[str, object]) -> pa.Table:
        arrays = [pa.array(columns[field.name], field.type) for field in self._schema]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _cut(
        self,
        columns: Mapping[str, Sequence[str | None]],
        given: np.ndarray,
        kept: np.ndarray,
        chunks: ChunkConfig,
        pieces: Pieces,
    ) -> pa.Table:
        """The rows of the documents ``kept`` of a batch: a document that fits stays as it is."""
        source: list[int] = []
        texts: list[str] = []
        ids: list[str] = []
        counts: list[int] = []
        for row in kept.tolist():
            doc_id, text = columns["doc_id"][row] or "", columns["text"][row] or ""
            spans = cut(text, chunks.max_chars, chunks.overlap_chars)
            found = [text[start:stop] for start, stop in spans]
            if len(found) > 1:
                found = [piece for piece in found if text_digest(piece) != BLANK] or found[:1]
            source += [row] * len(found)
            texts += found
            ids += [f"{doc_id}#{number}" for number in range(1, len(found) + 1)] if len(found) > 1 else [doc_id]
            counts.append(len(found))
        own = {name: [values[row] for row in source] for name, values in columns.items()}
        own |= {"document": own["doc_id"], "doc_id": list(ids), "text": list(texts)}
        passages, bodies = self._digests_of(texts, own)
        pieces.add(ids, Digests(digest_array(passages), digest_array(bodies)), counts)
        return self._table({**own, "source_row": given[np.array(source, np.int64)]})

    def close(self) -> None:
        """No more documents; identities can be asked for from here on."""
        self._writer.close()
        self._ids, self._digests = [self.ids()], [self.digests()]

    def blank_ids(self) -> pa.Array:
        """Ids of the documents that were left out, in order."""
        return pa.concat_arrays([pa.array([], pa.string()), *self._blank])

    def ids(self) -> pa.Array:
        return self._ids[0] if len(self._ids) == 1 else pa.concat_arrays([pa.array([], pa.string()), *self._ids])

    def digests(self) -> Digests:
        return Digests.joined(self._digests)

    def spooled(self) -> Iterator[pa.Table]:
        """The rows again, in order, once they are closed."""
        for batch in iter_batches(self._spool, self._schema.names):
            yield pa.Table.from_batches([batch])


def _one_of_each_id(documents: Documents, bad_rows: BadRows) -> np.ndarray:
    """Mask (n,) of the first document of each id.

    A repeated id with the same text is the same document; with another text it is a bad row.
    """
    ids, digests = documents.ids(), documents.digests().passages
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
    """Whole documents after merging: what labels refer to."""

    def __init__(self, documents: Documents, bad_rows: BadRows, *, from_file: bool = True) -> None:
        self.from_file = from_file
        """Whether the user gave a corpus; else the positives are it."""
        self.documents = documents
        rejected = len(bad_rows)
        self.keep = _one_of_each_id(documents, bad_rows)
        """Which of ``documents`` there are: bool (given with a text,)."""
        self.ids_merged = int((~self.keep).sum()) - (len(bad_rows) - rejected)
        self._blank_ids = documents.blank_ids()
        self.ids = documents.ids() if self.keep.all() else documents.ids().filter(pa.array(self.keep))
        self.digests = documents.digests().only(self.keep)

    @cached_property
    def numbered(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers (n,), equal for documents that say the same, and the first document of each."""
        return number_by_first_appearance(self.digests.passages)

    def find_ids(self, ids: pa.Array) -> np.ndarray:
        """Row of the document with each id, -1 where there is none: int64 (m,)."""
        found = pc.index_in(ids, value_set=self.ids)
        return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)

    def is_blank(self, ids: pa.Array) -> np.ndarray:
        """Which ids (m,) belong to documents that were left out because they have no text."""
        return pc.is_in(ids, value_set=self._blank_ids).to_numpy(zero_copy_only=False)

    def kept_from(self, row: int) -> int:
        """How many documents are left of those that were added from ``row`` on."""
        return int(self.keep[row:].sum())
