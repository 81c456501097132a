"""Judgements that a user gives, in numbers of the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.arrays import expand
from negmine.errors import InputError
from negmine.readers import BadRows, read_qrels
from negmine.stages.base import Run
from negmine.store.tables import iter_batches, to_numpy


@dataclass(frozen=True)
class JudgedPairs:
    """Relevant pairs (p,): ``query``, ``passage``, ``grade``, and ``answer``, the least passage of its document."""

    query: np.ndarray
    passage: np.ndarray
    grade: np.ndarray
    answer: np.ndarray


def judged_pairs(run: Run, path: Path) -> JudgedPairs:
    """The pairs with a grade of ``data.min_grade`` or more; a document stands for all its chunks.

    Queries and documents that the run does not have are passed over. Raises InputError when the file cannot be
    read or has nothing about queries of this run.
    """
    query_ids, doc_ids, grades = _read(path, run.config.data.min_grade)
    names = pc.unique(query_ids)
    name, number = _rows_of(run, "queries", "query_id", "query", names)
    query_of = np.full(len(names), -1)
    query_of[name] = number
    documents = pc.unique(doc_ids)
    chunked = run.manifest("ingest").made_from["config"].get("data.long_documents") == "chunk"
    document, passage = _rows_of(run, "corpus", "document" if chunked else "doc_id", "passage", documents)
    order = np.argsort(document, kind="stable")
    offsets = np.searchsorted(document[order], np.arange(len(documents) + 1))
    query = query_of[to_numpy(pc.index_in(query_ids, value_set=names))]
    which = to_numpy(pc.index_in(doc_ids, value_set=documents))
    counts = np.diff(offsets)[which]
    of_passage = passage[order][expand(offsets, which)]
    first = np.full(len(documents), np.iinfo(np.int64).max)
    np.minimum.at(first, document, passage)
    of_query = np.repeat(query, counts)
    here = of_query >= 0
    if not here.any():
        raise InputError(
            "none of its relevant pairs is about a query of this run, and a document of it",
            where=str(path),
            hint="Are these the qrels of this data? data.min_grade says what is relevant.",
        )
    return JudgedPairs(
        of_query[here], of_passage[here], np.repeat(grades, counts)[here], np.repeat(first[which], counts)[here]
    )


def _read(path: Path, min_grade: float) -> tuple[pa.Array, pa.Array, np.ndarray]:
    """Ids of queries and documents of all relevant pairs, and their grades."""
    queries, documents, grades = [], [], [np.zeros(0)]
    for batch in read_qrels(path, BadRows()):
        grade = np.array(batch.grades)
        relevant = pa.array(grade >= min_grade)
        queries.append(pa.array(batch.query_ids, pa.string()).filter(relevant))
        documents.append(pa.array(batch.doc_ids, pa.string()).filter(relevant))
        grades.append(grade[grade >= min_grade])
    joined = [pa.concat_arrays([*arrays, pa.array([], pa.string())]) for arrays in (queries, documents)]
    return joined[0], joined[1], np.concatenate(grades)


def _rows_of(run: Run, table: str, column: str, number: str, ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a table of ingest whose id is one of ``ids``: its place among them, and the row's number."""
    places, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for batch in iter_batches(run.file("ingest", f"{table}.parquet"), [column, number], rows=1 << 18):
        place = to_numpy(pc.fill_null(pc.index_in(batch[column], value_set=ids), -1))
        places.append(place[place >= 0].astype(np.int64))
        numbers.append(to_numpy(batch[number])[place >= 0])
    return np.concatenate(places), np.concatenate(numbers)
