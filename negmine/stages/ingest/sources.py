"""Which files a config means, and how labels in them point at documents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.config import Config
from negmine.errors import InputError, Where
from negmine.readers import beir_files, read_corpus, read_pairs, read_qrels, read_queries
from negmine.readers.bad_rows import BadRows
from negmine.selection.identity import digest_array
from negmine.stages.ingest.conflicts import no_labels
from negmine.stages.ingest.documents import Corpus, Documents, TextIndex
from negmine.stages.ingest.labels import Labels, Queries, QueryList
from negmine.store.fetching import input_file, input_folder, named_inside
from negmine.text import text_digest, text_key


@dataclass(frozen=True)
class Files:
    """The user's files by config key."""

    corpus: Path | None
    pairs: Path | None = None
    queries: Path | None = None
    qrels: Path | None = None

    @classmethod
    def of(cls, config: Config) -> Files:
        data = config.data
        if data.path is not None:
            with input_folder(config, data.path) as folder:
                found = beir_files(folder, data.split)
            files = (named_inside(path, folder, data.path) for path in (found.corpus, found.queries, found.qrels))
            return cls(**dict(zip(("corpus", "queries", "qrels"), files, strict=True)))
        return cls(*(input_file(config, p) if p else None for p in (data.corpus, data.pairs, data.queries, data.qrels)))

    def by_key(self) -> dict[str, Path]:
        names = ("corpus", "pairs", "queries", "qrels")
        return {f"data.{name}": path for name in names if (path := getattr(self, name)) is not None}


def add_corpus(documents: Documents, path: Path, config: Config, bad_rows: BadRows) -> None:
    """Read the corpus file into ``documents``. Raises InputError when it holds nothing."""
    for batch in read_corpus(path, config.data.columns, config.data.metadata, bad_rows):
        documents.add(batch.doc_ids, batch.titles, batch.texts, batch.metadata, batch.where, batch.lines)
    if documents.count == 0:
        raise InputError("the corpus has no passages", where=str(path), hint="Check data.corpus and data.columns.text.")


class PairLabels:
    """Labels from a pairs file: positives as texts, or as ids of the corpus.

    With a corpus an id alone says which document is meant; without one the texts are the
    corpus, and ids name them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queries = QueryList()
        self._digests: list[np.ndarray] = []
        self._ids: list[pa.Array] = []

    def read(self, config: Config, documents: Documents, known: TextIndex | None, bad_rows: BadRows) -> None:
        """Read all pairs; positives whose text is in no document become documents."""
        for batch in read_pairs(self._path, config.data.columns, bad_rows):
            self._queries.add(batch.query_ids, batch.queries, batch.where, batch.lines)
            texts = [text or "" for text in batch.positive_texts]
            if known is not None:
                texts = ["" if doc_id else text for doc_id, text in zip(batch.positive_ids, texts, strict=True)]
            digests = digest_array([text_digest(text) for text in texts])
            self._digests.append(digests)
            self._ids.append(pa.array(batch.positive_ids, pa.string()))
            new = digests.any(axis=1)
            if known is not None:
                new &= known.find(digests) < 0
            rows = np.flatnonzero(new)
            documents.add(
                [batch.positive_ids[row] or text_key(digests[row].tobytes())[:16] for row in rows],
                [""] * len(rows),
                [texts[row] for row in rows],
                {},
                batch.where,
                [batch.lines[row] for row in rows],
            )

    def resolve(self, corpus: Corpus, bad_rows: BadRows) -> tuple[Queries, Labels, int]:
        """The distinct queries, the labelled pairs as rows of queries and documents, and how
        many pairs were left out because their document has no text.
        """
        queries, query = self._queries.finish(bad_rows)
        if not len(query):
            raise InputError("the file has no pairs", where=str(self._path), hint="Check data.pairs.")
        digests, ids = np.concatenate(self._digests), pa.concat_arrays(self._ids)
        by_id = ids.is_valid().to_numpy(zero_copy_only=False)
        document = np.where(by_id, corpus.find_ids(ids), corpus.texts.find(digests))
        blank = by_id & (document < 0) & corpus.is_blank(ids)
        unknown = np.flatnonzero((query >= 0) & (document < 0) & ~blank)
        for row, place in zip(unknown.tolist(), self._queries.places.where(unknown), strict=True):
            bad_rows.reject(place, f"the positive id '{ids[row].as_py()}' {self._not_found(corpus)}")
        # An id that was given to another text has been refused as a document: it labels nothing.
        use = np.flatnonzero((document >= 0) & (query >= 0))
        same = (corpus.passage_digests[document[use]] == digests[use]).all(axis=1)
        use = use[same | ~(by_id & digests.any(axis=1))[use]]
        return queries, Labels(query[use], document[use], np.ones(len(use))), int((blank & (query >= 0)).sum())

    @staticmethod
    def _not_found(corpus: Corpus) -> str:
        return "is not in the corpus" if corpus.from_file else "has no text, and data.corpus is not set"


def qrels_labels(
    files: Files, config: Config, corpus: Corpus, bad_rows: BadRows
) -> tuple[Queries, Labels, int, Labels]:
    """Queries and labels of a collection with qrels, how many labels were left out because their
    document has no text, and the judgements with a grade below ``data.min_grade``, which are no labels.
    """
    assert files.queries is not None
    assert files.qrels is not None
    listed = QueryList()
    for batch in read_queries(files.queries, config.data.columns, bad_rows):
        listed.add(batch.query_ids, batch.texts, batch.where, batch.lines)
    queries, _ = listed.finish(bad_rows)
    judged, below = _judged(files.qrels, config.data.min_grade, bad_rows)
    query_ids, doc_ids, grades, lines = judged
    query, document = _rows(query_ids, doc_ids, queries, corpus)
    blank = (query >= 0) & (document < 0) & corpus.is_blank(doc_ids)
    for row in np.flatnonzero(((query < 0) | (document < 0)) & ~blank).tolist():
        cause = f"the document id '{doc_ids[row].as_py()}' is not in {files.corpus}"
        if query[row] < 0:
            cause = f"the query id '{query_ids[row].as_py()}' is not in {files.queries}"
        bad_rows.reject(Where(str(files.qrels), int(lines[row])), cause)
    use = (query >= 0) & (document >= 0)
    return queries, Labels(query[use], document[use], grades[use]), int(blank.sum()), _refused(below, queries, corpus)


Judged = tuple[pa.Array, pa.Array, np.ndarray, np.ndarray]
"""Query ids, document ids, grades and lines of judgements."""


def _refused(below: Judged, queries: Queries, corpus: Corpus) -> Labels:
    """Judgements that are no labels, as rows; those of what is not there say nothing."""
    if not len(below[0]):
        return no_labels()
    query, document = _rows(below[0], below[1], queries, corpus)
    known = (query >= 0) & (document >= 0)
    return Labels(query[known], document[known], below[2][known])


def _rows(query_ids: pa.Array, doc_ids: pa.Array, queries: Queries, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the queries and of the documents with these ids, -1 where there is none: two int64 (m,)."""
    query = pc.fill_null(pc.index_in(query_ids, value_set=queries.ids), -1).to_numpy(zero_copy_only=False)
    return query.astype(np.int64), corpus.find_ids(doc_ids)


def _judged(path: Path, min_grade: float, bad_rows: BadRows) -> tuple[Judged, Judged]:
    """The judgements that reach ``min_grade``, and those that do not.

    Raises InputError when none does.
    """
    found = tuple(
        ([pa.array([], pa.string())], [pa.array([], pa.string())], [np.empty(0)], [np.empty(0, np.int64)])
        for _ in range(2)
    )
    for batch in read_qrels(path, bad_rows):
        reached = np.asarray(batch.grades, np.float64) >= min_grade
        for (query_ids, doc_ids, grades, lines), mask in zip(found, (reached, ~reached), strict=True):
            query_ids.append(pa.array(batch.query_ids, pa.string()).filter(pa.array(mask)))
            doc_ids.append(pa.array(batch.doc_ids, pa.string()).filter(pa.array(mask)))
            grades.append(np.asarray(batch.grades, np.float64)[mask])
            lines.append(np.asarray(batch.lines, np.int64)[mask])
    judged, below = (
        (pa.concat_arrays(queries), pa.concat_arrays(documents), np.concatenate(grades), np.concatenate(lines))
        for queries, documents, grades, lines in found
    )
    if not len(judged[0]):
        raise InputError(
            f"no judgement reaches grade {min_grade:g}",
            where=str(path),
            hint="Check data.qrels, data.split and data.min_grade.",
        )
    return judged, below
