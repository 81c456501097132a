"""What is written of the corpus: the documents that stay, whole or cut, numbered by what they say."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.errors import InputError
from negmine.selection.identity import number_by_first_appearance
from negmine.stages.ingest.documents import Corpus
from negmine.stages.ingest.quality import Survey
from negmine.store.tables import TableWriter
from negmine.text import id_hash, text_key


class Passages:
    """The rows of ``corpus.parquet``: arrays (r,) over them, in the order of the documents.

    ``passage`` is the number of what a row says, ``is_first`` whether it stands for that number.
    """

    def __init__(self, corpus: Corpus, stays: np.ndarray) -> None:
        """``stays``: which documents of ``corpus`` are written, bool (n,).

        Raises InputError when a chunk's id is also that of a document.
        """
        self._documents = corpus.documents
        keep = corpus.keep.copy()
        keep[np.flatnonzero(keep)[~stays]] = False
        pieces = self._documents.pieces
        if pieces is None:
            self._keep = keep
            self.ids = corpus.ids if stays.all() else corpus.ids.filter(pa.array(stays))
            self.digests = corpus.digests.only(stays)
            self._counts = stays.astype(np.int64)
        else:
            counts = pieces.counts()
            self._keep = np.repeat(keep, counts)
            self.ids = pieces.ids().filter(pa.array(self._keep))
            self.digests = pieces.digests().only(self._keep)
            self._counts = np.where(stays, counts[corpus.keep], 0)
            self._refuse_taken_ids(corpus)
        self.documents = int(stays.sum())
        self.cut = int((self._counts > 1).sum())
        """How many documents are more than one row."""
        same = self.digests is corpus.digests
        self.passage, first_rows = corpus.numbered if same else number_by_first_appearance(self.digests.passages)
        self.is_first = np.zeros(len(self.passage), bool)
        self.is_first[first_rows] = True
        self.count = len(first_rows)
        """How many distinct passages there are."""

    def _refuse_taken_ids(self, corpus: Corpus) -> None:
        document, row = self.rows_of(np.flatnonzero(self._counts > 1))
        known = pc.index_in(self.ids.take(pa.array(row)), value_set=corpus.ids)
        taken = np.flatnonzero(known.is_valid().to_numpy(zero_copy_only=False))
        if not len(taken):
            return
        other = known[int(taken[0])].as_py()
        cut = np.flatnonzero(self._counts > 1)[document[taken[0]]]
        rows = np.flatnonzero(corpus.keep)[[cut, other]]
        here, there = self._documents.places.where(rows)
        raise InputError(
            f"this document is to be cut, and the id of its part '{corpus.ids[other].as_py()}' is that of the"
            f" document in {there}",
            where=here,
            hint="Rename that document, or set data.long_documents: keep.",
        )

    def rows_of(self, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of each of ``documents`` (m,) of the corpus: place in ``documents`` and row, two int64 arrays."""
        first = np.cumsum(self._counts) - self._counts
        counts = self._counts[documents]
        which = np.repeat(np.arange(len(documents)), counts)
        within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        return which, first[documents][which] + within

    def write(self, path: Path, metadata: Sequence[str], survey: Survey) -> tuple[int, str]:
        """Write ``corpus.parquet``; the number of rows and a digest of what models read of it.

        ``survey`` is shown what the distinct passages say.
        """
        content = hashlib.sha256()
        template = self._documents.template
        schema = schemas.corpus(tuple(metadata), chunked=self._documents.pieces is not None)
        with TableWriter(path, schema) as writer:
            row, position = 0, 0
            for whole in self._documents.spooled():
                table = whole.filter(pa.array(self._keep[position : position + whole.num_rows]))
                position += whole.num_rows
                stop = row + table.num_rows
                ids = table["doc_id"].to_pylist()
                hashes = np.array([id_hash(identifier) for identifier in ids], np.uint64)
                first = self.is_first[row:stop]
                standing = table.filter(pa.array(first))
                texts = template.fill({name: standing[name].to_pylist() for name in ("title", "text", *metadata)})
                for identifier, text in zip(standing["doc_id"].to_pylist(), texts, strict=True):
                    content.update(f"{len(identifier)} {identifier}{text}\n".encode())
                survey.add(texts, hashes[first])
                writer.write(
                    {
                        **{name: table[name] for name in table.column_names},
                        "text_key": [text_key(digest.tobytes()) for digest in self.digests.texts[row:stop]],
                        "passage": self.passage[row:stop],
                        "id_hash": hashes,
                    }
                )
                row = stop
        return row, content.hexdigest()
