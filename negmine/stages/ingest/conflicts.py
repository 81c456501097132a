"""Judgements that contradict each other: the same texts once relevant and once not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from negmine.stages.ingest.documents import Corpus
from negmine.stages.ingest.labels import Labels, Queries
from negmine.stages.ingest.passages import Passages


@dataclass(frozen=True)
class Conflicts:
    """Judgements below ``data.min_grade`` whose texts are labelled as a pair as well: four arrays (c,).

    The query's id as it was judged, the row of a labelled query with its text, the row of the document,
    the grade.
    """

    query_ids: pa.Array
    query: np.ndarray
    document: np.ndarray
    grade: np.ndarray

    def columns(self, number: np.ndarray, corpus: Corpus, passages: Passages) -> tuple[dict[str, object], int]:
        """Columns of ``conflicts.parquet``, and how many labelled pairs are concerned.

        ``number`` gives the number of each row of the queries. A document that was cut has a row per chunk.
        """
        which, row = passages.rows_of(self.document)
        query, passage = number[self.query[which]], passages.passage[row]
        order = np.lexsort((np.arange(len(query)), passage, query))
        columns = {
            "query_id": self.query_ids.take(pa.array(which[order])),
            "doc_id": passages.ids.take(pa.array(row[order])),
            "grade": self.grade[which[order]],
            "query": query[order],
            "passage": passage[order],
        }
        if not len(self.document):
            return columns, 0
        return columns, len(np.unique(np.stack([number[self.query], corpus.numbered[0][self.document]]), axis=1).T)


def find_conflicts(queries: Queries, corpus: Corpus, labels: Labels, refused: Labels) -> Conflicts:
    """Those of the ``refused`` judgements that contradict ``labels``; rows are those of all ``queries``."""
    if not len(refused.query) or not len(labels.query):
        empty = np.empty(0, np.int64)
        return Conflicts(pa.array([], pa.string()), empty, empty, np.empty(0))
    number, _ = queries.numbered()
    documents = len(corpus.ids)
    labelled, judged = (number[of.query] * documents + corpus.numbered[0][of.document] for of in (labels, refused))
    pairs, first = np.unique(labelled, return_index=True)
    place = np.minimum(np.searchsorted(pairs, judged), len(pairs) - 1)
    rows = np.flatnonzero(pairs[place] == judged)
    return Conflicts(
        queries.ids.take(pa.array(refused.query[rows])),
        labels.query[first[place[rows]]],
        refused.document[rows],
        refused.grade[rows],
    )


def no_labels() -> Labels:
    """No judgements at all."""
    return Labels(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
