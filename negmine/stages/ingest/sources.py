"""Which files a config means, and how labels in them point at documents."""

from __future__ import annotations

from collections.abc import Iterator
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
from negmine.stages.ingest.documents import Corpus, Documents, TextIndex
from negmine.stages.ingest.labels import Labels, Queries, QueryList
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
            folder = beir_files(Path(data.path), data.split)
            return cls(corpus=folder.corpus, queries=folder.queries, qrels=folder.qrels)
        return cls(*(Path(p) if p else None for p in (data.corpus, data.pairs, data.queries, data.qrels)))

    def by_key(self) -> dict[str, Path]:
        names = ("corpus", "pairs", "queries", "qrels")
        return {f"data.{name}": path for name in names if (path := getattr(self, name)) is not None}


def add_corpus(documents: Documents, path: Path, config: Config, bad_rows: BadRows) -> None:
    """Read the corpus file into ``documents``. Raises InputError when it holds nothing."""
    for batch in read_corpus(path, config.data.columns, config.data.metadata, bad_rows):
        documents.add(batch.doc_ids, batch.titles, batch.texts, batch.metadata, batch.lines)
    if documents.count == 0:
        raise InputError("the corpus has no passages", where=str(path), hint="Check data.corpus.")


class PairLabels:
    """Labels from a pairs file: positives as texts, or as ids of the corpus."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queries = QueryList(str(path))
        self._grades: list[np.ndarray] = []
        self._lines: list[np.ndarray] = []
        self._digests: list[np.ndarray] = []
        self._ids: list[pa.Array] = []

    def read(self, config: Config, documents: Documents, known: TextIndex | None, bad_rows: BadRows) -> None:
        """Read all pairs; positives whose text is in no document become documents."""
        for batch in read_pairs(self._path, config.data.columns, bad_rows):
            self._queries.add(batch.query_ids, batch.queries, batch.lines)
            digests = digest_array([text_digest(text or "") for text in batch.positive_texts])
            self._digests.append(digests)
            self._ids.append(pa.array(batch.positive_ids, pa.string()))
            self._grades.append(np.asarray(batch.grades, np.float64))
            self._lines.append(np.asarray(batch.lines, np.int64))
            new = digests.any(axis=1)
            if known is not None:
                new &= known.find(digests) < 0
            rows = np.flatnonzero(new)
            documents.add(
                [text_key(digests[row].tobytes())[:16] for row in rows],
                [""] * len(rows),
                [batch.positive_texts[row] or "" for row in rows],
                {},
                [batch.lines[row] for row in rows],
            )

    def resolve(self, corpus: Corpus, bad_rows: BadRows) -> tuple[Queries, Labels]:
        """The distinct queries and the labelled pairs as rows of queries and documents."""
        queries, query = self._queries.finish(bad_rows)
        if not len(query):
            raise InputError("the file has no pairs", where=str(self._path), hint="Check data.pairs.")
        digests = np.concatenate(self._digests)
        ids = pa.concat_arrays(self._ids)
        document = np.where(digests.any(axis=1), corpus.texts.find(digests), corpus.find_ids(ids))
        lines = np.concatenate(self._lines)
        for row in np.flatnonzero(document < 0):
            bad_rows.reject(
                Where(str(self._path), int(lines[row])),
                f"the positive id '{ids[int(row)].as_py()}' is not in the corpus",
            )
        use = (document >= 0) & (query >= 0)
        return queries, Labels(query[use], document[use], np.concatenate(self._grades)[use])


def qrels_labels(
    files: Files, config: Config, corpus: Corpus, blank_documents: int, bad_rows: BadRows
) -> tuple[Queries, Labels]:
    """Queries and labels of a collection with qrels; grades below ``data.min_grade`` are no labels."""
    assert files.queries is not None and files.qrels is not None
    listed = QueryList(str(files.queries))
    for batch in read_queries(files.queries, config.data.columns, bad_rows):
        listed.add(batch.query_ids, batch.texts, batch.lines)
    queries, _ = listed.finish(bad_rows)
    parts: list[Labels] = []
    for query_ids, doc_ids, grades, lines in _judged(files.qrels, config.data.min_grade, bad_rows):
        query = pc.fill_null(pc.index_in(query_ids, value_set=queries.ids), -1).to_numpy(zero_copy_only=False)
        document = corpus.find_ids(doc_ids)
        for row in np.flatnonzero((query < 0) | (document < 0)):
            if query[row] >= 0 and blank_documents:
                continue  # It may name a document that was left out because it has no text.
            what = ("query", query_ids) if query[row] < 0 else ("document", doc_ids)
            place = files.queries if query[row] < 0 else files.corpus
            bad_rows.reject(
                Where(str(files.qrels), int(lines[row])),
                f"the {what[0]} id '{what[1][int(row)].as_py()}' is not in {place}",
            )
        use = (query >= 0) & (document >= 0)
        parts.append(Labels(query[use].astype(np.int64), document[use], grades[use]))
    if not parts:
        raise InputError(
            f"no judgement reaches grade {config.data.min_grade:g}",
            where=str(files.qrels),
            hint="Check data.qrels, data.split and data.min_grade.",
        )
    return queries, Labels(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("query", "document", "grade"))
    )


def _judged(
    path: Path, min_grade: float, bad_rows: BadRows
) -> Iterator[tuple[pa.Array, pa.Array, np.ndarray, np.ndarray]]:
    for batch in read_qrels(path, bad_rows):
        grades = np.asarray(batch.grades, np.float64)
        rows = np.flatnonzero(grades >= min_grade)
        if len(rows):
            take = pa.array(rows)
            yield (
                pa.array(batch.query_ids, pa.string()).take(take),
                pa.array(batch.doc_ids, pa.string()).take(take),
                grades[rows],
                np.asarray(batch.lines, np.int64)[rows],
            )
