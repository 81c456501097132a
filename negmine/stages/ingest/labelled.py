"""Labels from files whose rows have a query and its passages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.config import Config
from negmine.errors import InputError
from negmine.readers import LABEL_FORMATS
from negmine.readers.bad_rows import BadRows
from negmine.readers.base import LabelBatch
from negmine.selection.identity import Digests, digest_array
from negmine.stages.ingest.conflicts import no_labels
from negmine.stages.ingest.documents import Corpus, Documents
from negmine.stages.ingest.files import named
from negmine.stages.ingest.labels import Labels, Queries, QueryList
from negmine.stages.ingest.negatives import Given
from negmine.stages.ingest.places import Places
from negmine.stages.ingest.resolved import Resolved, listed_queries
from negmine.stages.ingest.sources import Source
from negmine.text import Template, text_digest, text_key


class LabelFiles:
    """Labels with passages as texts, or as ids of the corpus; queries as texts, or as ids of ``data.queries``.

    With a corpus an id alone says which document is meant; without one the texts are the
    corpus, and ids name them.
    """

    def __init__(self, source: Source, config: Config) -> None:
        self._source = source
        self._config = config
        self._queries = QueryList()
        self._query_ids: list[pa.Array] = []
        self._places = Places()
        self._rows = 0
        self._row: list[np.ndarray] = []
        self._digests: list[np.ndarray] = []
        self._ids: list[pa.Array] = []
        self._grades: list[np.ndarray] = []
        self._ranks: list[np.ndarray] = []

    def read(self, documents: Documents, known: Digests | None, bad_rows: BadRows) -> None:
        """Read all rows; passages whose text is in no document become documents."""
        template = documents.template
        settings = self._source.settings(self._config)
        for batch in LABEL_FORMATS[self._source.format].read(self._source.files.pairs, settings, bad_rows):
            self._add_queries(batch)
            texts = [text or "" for text in batch.texts]
            if known is not None:
                texts = ["" if doc_id else text for doc_id, text in zip(batch.doc_ids, texts, strict=True)]
            titles = [title if text or known is None else "" for title, text in zip(batch.titles, texts, strict=True)]
            digests = digest_array(_digests(template, titles, texts))
            self._row.append(np.asarray(batch.row, np.int64) + self._rows)
            self._rows += len(batch.lines)
            self._digests.append(digests)
            self._ids.append(pa.array(batch.doc_ids, pa.string()))
            self._grades.append(np.asarray(batch.grades, np.float64))
            self._ranks.append(np.asarray(batch.ranks, np.int32))
            new = digests.any(axis=1)
            if known is not None:
                new &= known.find(digests) < 0
            rows = np.flatnonzero(new).tolist()
            documents.add(
                [batch.doc_ids[row] or text_key(digests[row].tobytes())[:16] for row in rows],
                [titles[row] for row in rows],
                [texts[row] for row in rows],
                {},
                batch.where,
                [batch.lines[batch.row[row]] for row in rows],
            )

    def _add_queries(self, batch: LabelBatch) -> None:
        if self._source.files.queries:
            self._query_ids.append(pa.array(batch.query_ids, pa.string()))
            self._places.add(batch.where, batch.lines)
        else:
            texts = [text or "" for text in batch.queries]
            self._queries.add(batch.query_ids, texts, batch.where, batch.lines)

    def resolve(self, corpus: Corpus, bad_rows: BadRows) -> Resolved:
        """The queries and labels. Raises InputError when there are none, and for ids that are nowhere."""
        queries, query_of_row, places = self._queries_of_rows(bad_rows)
        if not len(query_of_row):
            raise InputError("the file has no pairs", where=named(self._source.files.pairs), hint="Check data.pairs.")
        row, ranks = (np.concatenate(arrays) for arrays in (self._row, self._ranks))
        query, grades = query_of_row[row], np.concatenate(self._grades)
        if self._source.format == "labeled" and (ranks > 0).all():
            raise InputError(
                f"no label reaches {self._config.data.min_grade:g}",
                where=named(self._source.files.pairs),
                hint="Set data.min_grade to the least label (or score) of a positive, and data.format: labeled.",
            )
        digests, ids = np.concatenate(self._digests), pa.concat_arrays(self._ids)
        by_id = ids.is_valid().to_numpy(zero_copy_only=False)
        document = np.where(by_id, corpus.find_ids(ids), corpus.digests.find(digests))
        blank = by_id & (document < 0) & corpus.is_blank(ids)
        unknown = np.flatnonzero((query >= 0) & (document < 0) & ~blank)
        for each, place in zip(unknown.tolist(), places.where(row[unknown]), strict=True):
            kind = "negative" if ranks[each] else "positive"
            bad_rows.reject(place, f"the {kind} id '{ids[each].as_py()}' {self._not_found(corpus)}")
        # An id that was given to another text has been refused as a document: it labels nothing.
        use = np.flatnonzero((document >= 0) & (query >= 0))
        same = corpus.digests.say(document[use], digests[use])
        use = use[same | ~(by_id & digests.any(axis=1))[use]]
        positive, negative = use[ranks[use] == 0], use[ranks[use] > 0]
        return Resolved(
            queries,
            Labels(query[positive], document[positive], grades[positive]),
            no_labels(),
            Given(query[negative], document[negative], ranks[negative]),
            int((blank & (query >= 0) & (ranks == 0)).sum()),
        )

    def _queries_of_rows(self, bad_rows: BadRows) -> tuple[Queries, np.ndarray, Places]:
        """The distinct queries, which of them each row has (-1: none), and the places of the rows."""
        if not self._source.files.queries:
            queries, rows = self._queries.finish(bad_rows)
            return queries, rows, self._queries.places
        queries = listed_queries(self._source.files.queries, self._source.layout, self._config, bad_rows)
        ids = pa.concat_arrays([pa.array([], pa.string()), *self._query_ids])
        rows = pc.fill_null(pc.index_in(ids, value_set=queries.ids), -1).to_numpy(zero_copy_only=False)
        unknown = np.flatnonzero(rows < 0)
        for each, place in zip(unknown.tolist(), self._places.where(unknown), strict=True):
            cause = f"the query id '{ids[each].as_py()}' is not in {named(self._source.files.queries)}"
            bad_rows.reject(place, cause)
        return queries, rows.astype(np.int64), self._places

    @staticmethod
    def _not_found(corpus: Corpus) -> str:
        return "is not in the corpus" if corpus.from_file else "has no text, and data.corpus is not set"


def _digests(template: Template, titles: Sequence[str], texts: Sequence[str]) -> list[bytes]:
    """Digests of passages: a text alone, or with its title as documents have them."""
    if not any(titles):
        return [text_digest(text) for text in texts]
    nothing = {name: [""] * len(texts) for name in template.names}
    filled = template.fill({**nothing, "title": titles, "text": texts})
    return [text_digest(whole if title else text) for title, text, whole in zip(titles, texts, filled, strict=True)]
