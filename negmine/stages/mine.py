"""mine: for every query its nearest passages, and the same score for its positives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.arrays import find_pairs, positions
from negmine.config import Config
from negmine.errors import ConfigError
from negmine.retrieval.evidence import positive_similarity
from negmine.retrieval.exact import Neighbours, search_exact
from negmine.retrieval.similarity import score_pairs
from negmine.selection.depth import within_depth
from negmine.stages.base import Job, Stage, Task, ranges
from negmine.stages.texts import StandingTable
from negmine.stages.vectors import block_rows, flat_vectors, query_vectors, similarity
from negmine.store.tables import TableWriter, rows_between, to_numpy
from negmine.store.vectors import FlatVectors

# What a candidate costs in memory while its query is searched, in bytes.
_CANDIDATE_BYTES = 128
_POSITIVE_QUERIES = 16_384


class MineStage(Stage):
    """Parts of ``mine.part_queries`` queries; the positives' scores are a task of their own."""

    name = "mine"
    unit = "queries"
    keys = ("mine",)
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ingest": ("corpus", "queries", "positives", "excluded"),
        "embed": ("queries",),
        "index": ("all",),
    }

    def check(self, config: Config, counts: Mapping[str, Any] | None) -> None:
        asked = "k" in config.mine.model_fields_set
        if counts is not None and asked and config.mine.k > counts["passages"]:
            raise ConfigError(
                f"it is {config.mine.k} but the corpus has {counts['passages']} distinct passages",
                where="mine.k",
                hint=f"Set mine.k to at most {max(counts['passages'] - counts['most_positives'], 1)}.",
            )

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        queries = job.manifest("ingest").counts["distinct_queries"]
        yield [Task("positives", {"queries": queries}, 0), *ranges(queries, job.config.mine.part_queries, "part")]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        search = _Search(job)
        return search.positives(task) if task.name == "positives" else search.candidates(task)


class _Search:
    """What the tasks of one process share."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.similarity = similarity(job)
        self.source: FlatVectors = job.resource("vectors", lambda: flat_vectors(job))
        ingest = job.manifest("ingest").counts
        self.passages: int = ingest["passages"]
        self.k = min(job.config.mine.k, self.passages)
        self.queries: StandingTable = job.resource(
            "queries", lambda: StandingTable(job.file("ingest", "queries.parquet"), "query")
        )
        self.doc_ids: pa.Array = job.resource(
            "doc_ids", lambda: StandingTable(job.file("ingest", "corpus.parquet"), "passage").column("doc_id")
        )

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        return self.source.blocks(block_rows(self.job.config, self.source.dimension))

    def candidates(self, task: Task) -> Mapping[str, int]:
        start, stop = task.args["start"], task.args["stop"]
        vectors = query_vectors(self.job, start, stop)
        excluded = rows_between(self.job.file("ingest", "excluded.parquet"), "query", start, stop, ["query", "passage"])
        of_query, of_passage = to_numpy(excluded["query"]) - start, to_numpy(excluded["passage"])
        positives = self._positives(start, stop)
        depth = self.k + np.bincount(of_query, minlength=stop - start)
        search = self._searcher()
        ids = self.queries.slice(start, stop, ["query_id"])["query_id"].combine_chunks()
        mined = 0
        with self.job.publish(f"{task.name}.parquet") as output, TableWriter(output.path, schemas.CANDIDATES) as writer:
            for low, high in _batches(depth, self.job.config.memory_limit // 4 // _CANDIDATE_BYTES):
                found = search(vectors[low:high], depth[low:high])
                query = found.query + low
                own = find_pairs(query, found.passage, of_query, of_passage, self.passages) >= 0
                keep = within_depth(query, own, self.k)
                query, passage = query[keep], found.passage[keep]
                writer.write(
                    {
                        "query_id": ids.take(pa.array(query)),
                        "doc_id": self.doc_ids.take(pa.array(passage)),
                        "retriever": pa.array(["dense"]).take(pa.array(np.zeros(len(query), np.int64))),
                        "rank": (positions(query) + 1).astype(np.int32),
                        "score": found.score[keep],
                        "positive_similarity": self._evidence(query, passage, positives),
                        "query": query + start,
                        "passage": passage,
                    }
                )
                mined += len(query)
                self.job.progress(high - low)
            output.rows = mined
        return {"candidates": mined}

    def _searcher(self) -> Callable[[np.ndarray, np.ndarray], Neighbours]:
        if self.job.config.index.dense == "exact":
            return lambda vectors, depth: search_exact(vectors, self.blocks, depth, self.passages, self.similarity)
        import faiss

        from negmine.retrieval.approximate import search_approximate, set_search_params

        index = self.job.resource("index", lambda: faiss.read_index(str(self.job.file("index", "dense.faiss"))))
        if self.job.config.index.search_params is not None:
            set_search_params(index, self.job.config.index.search_params)
        return lambda vectors, depth: search_approximate(
            index, vectors, self.blocks, depth, self.passages, self.similarity
        )

    def _evidence(self, query: np.ndarray, passage: np.ndarray, positives: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        unit = self.similarity == "cosine"
        return positive_similarity(self.blocks, query, passage, *positives, normalized=unit)

    def _positives(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Labelled pairs of the queries [start, stop), counted from ``start``: query (p,), passage (p,)."""
        path = self.job.file("ingest", "positives.parquet")
        rows = rows_between(path, "query", start, stop, ["query", "passage"])
        return _distinct(to_numpy(rows["query"]) - start, to_numpy(rows["passage"]))

    def positives(self, task: Task) -> Mapping[str, int]:
        scored = 0
        with (
            self.job.publish("positives.parquet") as output,
            TableWriter(output.path, schemas.POSITIVE_SCORES) as writer,
        ):
            for low in range(0, task.args["queries"], _POSITIVE_QUERIES):
                high = min(low + _POSITIVE_QUERIES, task.args["queries"])
                query, passage = self._positives(low, high)
                vectors = query_vectors(self.job, low, high)
                ids = self.queries.slice(low, high, ["query_id"])["query_id"].combine_chunks()
                writer.write(
                    {
                        "query_id": ids.take(pa.array(query)),
                        "doc_id": self.doc_ids.take(pa.array(passage)),
                        "retriever": ["dense"] * len(query),
                        "score": score_pairs(vectors, self.blocks, query, passage, self.similarity),
                        "query": query + low,
                        "passage": passage,
                    }
                )
                scored += len(query)
            output.rows = scored
        return {"positives": scored}


def _distinct(query: np.ndarray, passage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs without repetitions, the first row of each in its place."""
    order = np.lexsort((np.arange(len(query)), passage, query))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(query[order]) != 0) | (np.diff(passage[order]) != 0)
    rows = np.sort(order[new])
    return query[rows], passage[rows]


def _batches(depth: np.ndarray, candidates: int) -> Iterator[tuple[int, int]]:
    """Ranges of queries whose depths sum to at most ``candidates`` (one query at least)."""
    low = 0
    total = np.concatenate([[0], np.cumsum(depth)])
    while low < len(depth):
        high = max(int(np.searchsorted(total, total[low] + candidates, side="right")) - 1, low + 1)
        yield low, min(high, len(depth))
        low = high
