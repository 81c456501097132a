"""Candidates that are not searched for: those of run files, and negatives that came with the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.config.mining import GIVEN
from negmine.retrieval.fusion import Hits
from negmine.stages.base import Job
from negmine.stages.mine.runs import RUNS_FILE
from negmine.store.tables import rows_between, to_numpy


@dataclass(frozen=True)
class Named:
    """What is named for ``queries`` queries of a part, which count from its first.

    ``retrievers`` are all that a run has, in order, also the search; ``hits`` are those of the others, by query.
    """

    retrievers: tuple[str, ...]
    hits: dict[str, Hits]
    queries: int

    @classmethod
    def of(cls, job: Job, start: int, stop: int) -> Named:
        """What is named for the queries [start, stop)."""
        config, columns = job.config, ["query", "passage", "rank"]
        hits = {}
        if config.mine.runs:
            rows = rows_between(job.own(RUNS_FILE), "query", start, stop, [*columns, "retriever"])
            for run in config.mine.runs:
                hits[run.name] = _hits(rows.filter(pc.equal(rows["retriever"], run.name)), start)
        if config.data.negatives == "keep":
            path = job.file("ingest", "negatives.parquet")
            hits[GIVEN] = _hits(rows_between(path, "query", start, stop, columns), start)
        names = config.mine.names if GIVEN in hits else config.mine.names[:-1]
        return cls(names, hits, stop - start)

    @property
    def counts(self) -> np.ndarray:
        """How many there are of each query, one that several name as often: (q,)."""
        total = np.zeros(self.queries, np.int64)
        for hits in self.hits.values():
            total += np.bincount(hits.query, minlength=self.queries)
        return total

    def of_queries(self, name: str, low: int, count: int) -> Hits:
        """What one retriever names for ``count`` queries from ``low`` on, which then count from 0."""
        hits = self.hits[name]
        first, last = np.searchsorted(hits.query, [low, low + count])
        return Hits(hits.query[first:last] - low, hits.passage[first:last], hits.rank[first:last])


def _hits(rows: pa.Table, start: int) -> Hits:
    return Hits(to_numpy(rows["query"]) - start, to_numpy(rows["passage"]), to_numpy(rows["rank"]))
