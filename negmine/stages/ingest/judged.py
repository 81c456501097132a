"""Labels from judgements (qrels), whose queries and documents are in files of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.arrays import positions
from negmine.config import Config
from negmine.errors import InputError, Where
from negmine.readers import read_qrels
from negmine.readers.bad_rows import BadRows
from negmine.readers.formats.beir import read_hard_negatives
from negmine.readers.shards import read_each
from negmine.stages.ingest.documents import Corpus
from negmine.stages.ingest.files import named
from negmine.stages.ingest.labels import Labels, Queries
from negmine.stages.ingest.negatives import Given, no_negatives
from negmine.stages.ingest.places import Places
from negmine.stages.ingest.resolved import Resolved, listed_queries
from negmine.stages.ingest.sources import Source


@dataclass(frozen=True)
class _Judged:
    """Judgements: ids of queries and documents, grades, and where they are."""

    query_ids: pa.Array
    doc_ids: pa.Array
    grades: np.ndarray
    places: Places


def judged_labels(source: Source, config: Config, corpus: Corpus, bad_rows: BadRows) -> Resolved:
    """Queries and labels of a collection. A judgement below ``data.min_grade`` is no label, and may be a negative.

    Raises InputError when no judgement reaches the grade, and for ids that are nowhere.
    """
    files = source.files
    queries = listed_queries(files.queries, source.layout, config, bad_rows)
    judged = _read(files.qrels, bad_rows)
    reached = judged.grades >= config.data.min_grade
    if not reached.any():
        hint = "Check data.qrels, data.split and data.min_grade."
        cause = f"no judgement reaches grade {config.data.min_grade:g}"
        raise InputError(cause, where=named(files.qrels), hint=hint)
    query, document = _rows(judged, queries, corpus)
    blank = (query >= 0) & (document < 0) & corpus.is_blank(judged.doc_ids)
    _refuse(judged, query, document, reached & ~blank, source, bad_rows)
    known = (query >= 0) & (document >= 0)
    use, below = known & reached, known & ~reached  # those of what is not there say nothing
    refused = Labels(query[below], document[below], judged.grades[below])
    negatives = no_negatives()
    if config.data.negatives == "keep":
        order = np.argsort(refused.query, kind="stable")
        rank = positions(refused.query[order]) + 1
        negatives = Given(refused.query[order], refused.document[order], rank)
        negatives = _with_others(negatives, queries, corpus, source, bad_rows)
    labels = Labels(query[use], document[use], judged.grades[use])
    return Resolved(queries, labels, refused, negatives, int((blank & reached).sum()))


def _with_others(negatives: Given, queries: Queries, corpus: Corpus, source: Source, bad_rows: BadRows) -> Given:
    """With those of files that hold negatives alone."""
    if not source.files.negatives:
        return negatives
    listed = _Collected()
    for batch in read_hard_negatives(source.files.negatives, bad_rows):
        query_ids, lines = [batch.query_ids[row] for row in batch.row], [batch.lines[row] for row in batch.row]
        listed.add(query_ids, batch.doc_ids, batch.ranks, batch.where, lines)
    found = listed.judged()
    query, document = _rows(found, queries, corpus)
    _refuse(found, query, document, ~corpus.is_blank(found.doc_ids), source, bad_rows)
    known = (query >= 0) & (document >= 0)
    return Given(
        np.concatenate([negatives.query, query[known]]),
        np.concatenate([negatives.document, document[known]]),
        np.concatenate([negatives.rank, found.grades[known].astype(np.int64)]),
    )


def _refuse(
    judged: _Judged, query: np.ndarray, document: np.ndarray, asked: np.ndarray, source: Source, bad_rows: BadRows
) -> None:
    """Refuse those of the judgements that are ``asked`` about (bool) whose query or document is nowhere."""
    unknown = np.flatnonzero(asked & ((query < 0) | (document < 0)))
    for row, place in zip(unknown.tolist(), judged.places.where(unknown), strict=True):
        cause = f"the document id '{judged.doc_ids[row].as_py()}' is not in {named(source.files.corpus)}"
        if query[row] < 0:
            cause = f"the query id '{judged.query_ids[row].as_py()}' is not in {named(source.files.queries)}"
        bad_rows.reject(place, cause)


def _rows(judged: _Judged, queries: Queries, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the queries and of the documents of judgements, -1 where there is none: two int64 (m,)."""
    query = pc.fill_null(pc.index_in(judged.query_ids, value_set=queries.ids), -1).to_numpy(zero_copy_only=False)
    return query.astype(np.int64), corpus.find_ids(judged.doc_ids)


def _read(paths: Sequence[Path], bad_rows: BadRows) -> _Judged:
    collected = _Collected()
    for batch in read_each(paths, lambda path: read_qrels(path, bad_rows)):
        collected.add(batch.query_ids, batch.doc_ids, batch.grades, batch.where, batch.lines)
    return collected.judged()


class _Collected:
    """Judgements as they come, in Arrow memory."""

    def __init__(self) -> None:
        self._query_ids, self._doc_ids = [pa.array([], pa.string())], [pa.array([], pa.string())]
        self._grades = [np.empty(0)]
        self._places = Places()

    def add(
        self,
        query_ids: Sequence[str | None],
        doc_ids: Sequence[str | None],
        grades: Sequence[float],
        where: Callable[[int], Where],
        lines: Sequence[int],
    ) -> None:
        self._query_ids.append(pa.array(query_ids, pa.string()))
        self._doc_ids.append(pa.array(doc_ids, pa.string()))
        self._grades.append(np.asarray(grades, np.float64))
        self._places.add(where, lines)

    def judged(self) -> _Judged:
        ids = (pa.concat_arrays(self._query_ids), pa.concat_arrays(self._doc_ids))
        return _Judged(*ids, np.concatenate(self._grades), self._places)
