"""mine: for every query its nearest passages, and score and rank of its positives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.arrays import find_pairs, positions
from negmine.config import Config
from negmine.errors import ConfigError
from negmine.retrieval.evidence import Closeness
from negmine.retrieval.similarity import pair_scores
from negmine.selection.depth import within_depth
from negmine.stages import searching
from negmine.stages.base import Job, Stage, Task, ranges
from negmine.stages.texts import StandingTable
from negmine.stages.vectors import flat_vectors, query_vectors, similarity
from negmine.store.manifest import Manifest
from negmine.store.tables import TableWriter, iter_batches, rows_between, to_numpy
from negmine.store.vectors import FlatVectors

CANDIDATE_BYTES = 160
"""What a candidate costs in memory while its query is searched."""


class MineStage(Stage):
    """Parts of ``mine.part_queries`` queries; then what they say of the positives becomes one file."""

    name = "mine"
    unit = "queries"
    keys = ("mine",)
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ingest": ("corpus", "queries", "positives", "excluded"),
        "embed": ("queries",),
        "index": ("all",),
    }

    def keys_used(self, config: Config) -> tuple[str, ...]:
        return (*self.keys, "index.search_params") if config.index.dense not in ("exact", "auto") else self.keys

    def decided(self, config: Config, upstream: Mapping[str, Manifest]) -> Mapping[str, Mapping[str, Any]]:
        if upstream["index"].facts["search"]["method"] == "exact":
            return {}
        target = config.index.recall_target
        return {"search": {"index.recall_target": target, "seed": None if target is None else config.seed}}

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
        parts = ranges(queries, job.config.mine.part_queries, "part")
        if searching.is_measured(job):
            yield [Task("recall", {}, 0)]
        yield parts
        yield [Task("positives", {"parts": [_positives_of(task) for task in parts]}, 0)]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        if task.name == "recall":
            searching.certify(job)
            return {}
        return _join_positives(task, job) if task.name == "positives" else _Search(job).part(task)


def _positives_of(part: Task) -> str:
    """The file in which a part says what it knows of its queries' positives."""
    return f"positives-{part.name.removeprefix('part-')}.parquet"


def _join_positives(task: Task, job: Job) -> Mapping[str, int]:
    with job.publish("positives.parquet") as output, TableWriter(output.path, schemas.POSITIVE_SCORES) as writer:
        for path in task.args["parts"]:
            for batch in iter_batches(job.own(path), schemas.POSITIVE_SCORES.names):
                writer.write({name: batch[name] for name in schemas.POSITIVE_SCORES.names})
        output.rows = writer.rows
    return {"positives": writer.rows}


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

    def part(self, task: Task) -> Mapping[str, int]:
        start, stop = task.args["start"], task.args["stop"]
        vectors = query_vectors(self.job, start, stop)
        excluded = self._pairs("excluded.parquet", start, stop)
        positives = self._pairs("positives.parquet", start, stop)
        depth = self.k + np.bincount(excluded[0], minlength=stop - start)
        held = depth * CANDIDATE_BYTES + np.bincount(positives[0], minlength=stop - start) * vectors.shape[1] * 4
        search = searching.search_of(self.job)
        ids = self.queries.slice(start, stop, ["query_id"])["query_id"].combine_chunks()
        with (
            self.job.publish(f"{task.name}.parquet") as candidate_file,
            TableWriter(candidate_file.path, schemas.CANDIDATES) as candidates,
            self.job.publish(_positives_of(task)) as positive_file,
            TableWriter(positive_file.path, schemas.POSITIVE_SCORES) as scores,
        ):
            for low, high in _batches(held, self.job.config.memory_limit // 4):
                of_query, of_passage = _between(positives, low, high)
                labelled = self.source.take(of_passage)
                closeness = Closeness(labelled, of_query - low, high - low, normalized=self.similarity == "cosine")
                found = search(vectors[low:high], depth[low:high], closeness)
                place = find_pairs(found.query + low, found.passage, *_between(excluded, low, high), self.passages)
                chosen = found.rows(within_depth(found.query, place >= 0, self.k))
                candidates.write(
                    {
                        **self._named(ids, chosen.query + low, start, chosen.passage),
                        "rank": (positions(chosen.query) + 1).astype(np.int32),
                        "score": chosen.score,
                        "positive_similarity": chosen.cosines[:, 1],
                        "mean_positive_similarity": chosen.cosines[:, 0],
                    }
                )
                rank = self._ranks(found.query, place, _between(excluded, low, high), (of_query, of_passage))
                scores.write(
                    {
                        **self._named(ids, of_query, start, of_passage),
                        "rank": pa.array(rank, mask=rank == 0),
                        "score": pair_scores(vectors[of_query], labelled, self.similarity),
                    }
                )
                self.job.progress(high - low)
            candidate_file.rows, positive_file.rows = candidates.rows, scores.rows
        return {"candidates": candidate_file.rows}

    def _named(self, ids: pa.Array, query: np.ndarray, start: int, passage: np.ndarray) -> dict[str, Any]:
        """The columns that say which query, counted from ``start``, and which passage a row is about."""
        return {
            "query_id": ids.take(pa.array(query)),
            "doc_id": self.doc_ids.take(pa.array(passage)),
            "retriever": pa.array(["dense"]).take(pa.array(np.zeros(len(query), np.int64))),
            "query": query + start,
            "passage": passage,
        }

    def _ranks(
        self,
        query: np.ndarray,
        place: np.ndarray,
        excluded: tuple[np.ndarray, np.ndarray],
        positives: tuple[np.ndarray, np.ndarray],
    ) -> np.ndarray:
        """Rank (1-based) of each positive (p,) among what was found, 0 where it was not: int32.

        ``query`` (n,) and ``place`` (n,) are those of the found passages; ``place`` is the row in
        ``excluded``, which holds every positive, or -1.
        """
        rank = np.zeros(len(excluded[0]), np.int32)
        own = np.flatnonzero(place >= 0)
        rank[place[own]] = positions(query)[own] + 1
        ranks: np.ndarray = rank[find_pairs(*positives, *excluded, self.passages)]
        return ranks

    def _pairs(self, file: str, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs that ingest names for the queries [start, stop), counted from ``start``: query (p,), passage (p,)."""
        rows = rows_between(self.job.file("ingest", file), "query", start, stop, ["query", "passage"])
        return _distinct(to_numpy(rows["query"]) - start, to_numpy(rows["passage"]))


def _distinct(query: np.ndarray, passage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs without repetitions, the first row of each in its place."""
    order = np.lexsort((np.arange(len(query)), passage, query))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(query[order]) != 0) | (np.diff(passage[order]) != 0)
    rows = np.sort(order[new])
    return query[rows], passage[rows]


def _between(pairs: tuple[np.ndarray, np.ndarray], low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of the queries [low, high)."""
    first, last = np.searchsorted(pairs[0], [low, high])
    return pairs[0][first:last], pairs[1][first:last]


def _batches(held: np.ndarray, limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of queries that together hold at most ``limit`` bytes (one query at least)."""
    low = 0
    total = np.concatenate([[0], np.cumsum(held)])
    while low < len(held):
        high = max(int(np.searchsorted(total, total[low] + limit, side="right")) - 1, low + 1)
        yield low, min(high, len(held))
        low = high
