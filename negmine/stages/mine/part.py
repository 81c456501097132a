"""A part of mine: the candidates of a range of queries, scored, and their positives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.config.mining import DENSE, GIVEN
from negmine.retrieval.evidence import Closeness
from negmine.retrieval.exact import Neighbours, scored
from negmine.retrieval.fusion import Hits, Pool, pooled, reciprocal_ranks
from negmine.retrieval.similarity import pair_scores
from negmine.selection.depth import within_depth
from negmine.selection.parts import best_parts
from negmine.stages import searching
from negmine.stages.base import Job, Task
from negmine.stages.mine.further import Pairs, Scorers, further_of
from negmine.stages.mine.named import Named
from negmine.stages.mine.own import Own, ranked_by
from negmine.stages.texts import doc_ids_of, queries_of
from negmine.stages.vectors import block_rows, flat_vectors, query_vectors, similarity
from negmine.store.tables import TableWriter, rows_between, to_numpy
from negmine.store.vectors import FlatVectors

CANDIDATE_BYTES = 160
"""What a candidate costs in memory while its query is searched."""
_POSITIVE_BYTES = 8
"""What a number of a positive's vector costs while its query is searched: it is read, and put in order."""


def positives_file(part: Task) -> str:
    """The file in which a part says what it knows of its queries' positives."""
    return f"positives-{part.name.removeprefix('part-')}.parquet"


_AT_ONCE = 2048
"""Queries that are searched at once where the passages stay in memory: what is found of them fits into a processor's
cache, or nearly so."""


class Miner:
    """What the tasks of one process share."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.similarity = similarity(job)
        self.source: FlatVectors = job.resource("vectors", lambda: flat_vectors(job))
        ingest = job.manifest("ingest").counts
        self.passages: int = ingest["passages"]
        self.k = min(job.config.mine.k, self.passages)
        self.queries, self.doc_ids = queries_of(job), doc_ids_of(job)

    def part(self, task: Task) -> Mapping[str, int]:
        start, stop = task.args["start"], task.args["stop"]
        vectors = query_vectors(self.job, start, stop)
        excluded = self._pairs("excluded.parquet", start, stop)
        positives = self._labelled(start, stop)
        named, mine = Named.of(self.job, start, stop), self.job.config.mine
        search = searching.search_of(self.job) if mine.dense else _nothing_found
        further = Scorers(further_of(self.job, self.queries, start, stop), self.passages)
        wanted = self.k + np.bincount(excluded[0], minlength=stop - start)
        held = (wanted * len(mine.searched) + named.counts) * CANDIDATE_BYTES
        held += np.bincount(positives[0], minlength=stop - start) * vectors.shape[1] * _POSITIVE_BYTES
        ids = self.queries.slice(start, stop, ["query_id"])["query_id"].combine_chunks()
        with (
            self.job.publish(f"{task.name}.parquet") as candidate_file,
            TableWriter(candidate_file.path, schemas.candidates(mine.further)) as candidates,
            self.job.publish(positives_file(task)) as positive_file,
            TableWriter(positive_file.path, schemas.POSITIVE_SCORES) as scores,
        ):
            for low, high in _batches(held, self.job.config.memory_limit // 4, self._at_once()):
                of_query, of_passage, labelled, score = self._positives(vectors, positives, low, high)
                own = Own(*_between(excluded, low, high), low, self.passages)
                closeness = Closeness(labelled, of_query - low, high - low, normalized=self.similarity == "cosine")
                near = search(vectors[low:high], wanted[low:high] * mine.dense, closeness)
                found = {name: named.of_queries(name, low, high - low) for name in named.hits}
                if mine.dense:
                    found[DENSE] = Hits.in_order(near.query, near.passage)
                labels = (of_query - low, of_passage)
                more, own_scores = further.search(low, high, wanted[low:high], labels, list(found.values()))
                found |= more
                place = {name: own.places(hits.query, hits.passage) for name, hits in found.items()}
                ranks = {n: own.ranks(found[n].rank, place[n], of_query, of_passage) for n in mine.names[:-1]}
                rows = {n: np.flatnonzero(self._named_by(n, found[n], place[n] >= 0)) for n in named.retrievers}
                lists = [found[name].rows(rows[name]) for name in named.retrievers]
                known = near.rows(rows[DENSE]) if mine.dense else near
                pool, known = self._candidates(vectors[low:high], known, lists, named.retrievers, own, closeness)
                candidates.write(
                    {
                        **self._named(ids, known.query + low, start, known.passage),
                        **_found_by(pool, named.retrievers),
                        "score": known.score,
                        "positive_similarity": known.cosines[:, 1],
                        "mean_positive_similarity": known.cosines[:, 0],
                        **{schemas.score_column(name): of for name, of in further.scores(low, high, pool).items()},
                    }
                )
                rank = ranks.get(DENSE, np.zeros(len(of_query), np.int32))
                scores.write(
                    {
                        **self._named(ids, of_query, start, of_passage),
                        "retriever": _marks((DENSE,), np.zeros(len(of_query), np.int64)),
                        "rank": pa.array(rank, mask=rank == 0),
                        "score": score,
                        **ranked_by(ranks, {DENSE: score, **own_scores}, len(score)),
                    }
                )
                self.job.progress(high - low)
            candidate_file.rows, positive_file.rows = candidates.rows, scores.rows
        return {"candidates": candidate_file.rows}

    def _at_once(self) -> int | None:
        """How many queries to search at once at most; None: as many as memory allows for, because every search is a
        pass over files or over an index."""
        exact = not self.job.config.mine.dense or searching.method(self.job)["method"] == "exact"
        return _AT_ONCE if exact and self.source.kept else None

    def _named_by(self, name: str, hits: Hits, own: np.ndarray) -> np.ndarray:
        """Which of the hits of a retriever are candidates: bool (n,), given which are the query's ``own`` (n,). Runs
        and given negatives are cut already."""
        if name not in self.job.config.mine.searched:
            return np.ones(len(hits.query), bool)
        depth = min(self.job.config.mine.quotas.get(name, self.k), self.k)
        return within_depth(hits.query, own, depth)

    def _candidates(
        self,
        vectors: np.ndarray,
        dense: Neighbours,
        lists: Sequence[Hits],
        names: tuple[str, ...],
        own: Own,
        closeness: Closeness,
    ) -> tuple[Pool, Neighbours]:
        """What the retrievers ``names`` found: who found each candidate, and its score. By query, best score first
        (or best ranks together, and then cut to ``mine.k``), ties by passage. ``dense`` has scores already."""
        pool, rows = pooled(lists, self.passages)
        if names == (DENSE,):
            return pool, dense
        known = Neighbours(pool.query, pool.passage, np.empty(len(pool.query)), np.empty((len(pool.query), 2)))
        unknown = np.ones(len(pool.query), bool)
        if DENSE in names:
            searched = rows[names.index(DENSE)]
            known.score[searched], known.cosines[searched], unknown[searched] = dense.score, dense.cosines, False
        fused = self.job.config.mine.fusion == "rrf"
        keep = self._best(pool, names, own) if fused else np.arange(len(pool.query))
        pool, known, unknown = pool.in_order(keep), known.rows(keep), unknown[keep]
        new = known.rows(np.flatnonzero(unknown))
        new = scored(vectors, self._blocks, new.query, new.passage, self.similarity, closeness)
        known.score[unknown], known.cosines[unknown] = new.score, new.cosines
        if fused:
            return pool, known
        order = np.lexsort((known.passage, -known.score, known.query))
        return pool.in_order(order), known.rows(order)

    def _best(self, pool: Pool, names: tuple[str, ...], own: Own) -> np.ndarray:
        """Rows of the candidates that fusion takes, by query, best first. Given negatives are taken all: they take no
        place of ``mine.k``."""
        order = np.lexsort((pool.passage, -reciprocal_ranks(pool), pool.query))
        given = pool.found_by(names.index(GIVEN))[order] if GIVEN in names else np.zeros(len(order), bool)
        aside = (own.places(pool.query, pool.passage) >= 0)[order] | given
        return order[within_depth(pool.query[order], aside, self.k) | given]

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        return self.source.blocks(block_rows(self.job.config, self.source.dimension))

    def _named(self, ids: pa.Array, query: np.ndarray, start: int, passage: np.ndarray) -> dict[str, Any]:
        """The columns that say which query, counted from ``start``, and which passage a row is about."""
        return {
            "query_id": ids.take(pa.array(query)),
            "doc_id": self.doc_ids.take(passage),
            "query": query + start,
            "passage": passage,
        }

    def _labelled(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labelled passages of the queries [start, stop), counted from ``start``: query, passage, and the document
        that a passage is a part of where documents are cut, else the passage itself, three arrays (p,)."""
        part_of = "passage" if self.job.config.data.chunks is None else "document"
        columns = list(dict.fromkeys(["query", "passage", part_of]))
        rows = rows_between(self.job.file("ingest", "positives.parquet"), "query", start, stop, columns)
        query, passage, document = (to_numpy(rows[name]) for name in ("query", "passage", part_of))
        return query - start, passage, document

    def _positives(
        self, vectors: np.ndarray, labelled: tuple[np.ndarray, np.ndarray, np.ndarray], low: int, high: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The positives of the queries [low, high): query, passage, vector and score; of a document in parts the
        one part that is nearest to the query."""
        first, last = np.searchsorted(labelled[0], [low, high])
        query, passage, document = (column[first:last] for column in labelled)
        found = self.source.take(passage)
        score = np.empty(len(query))
        for start in range(0, len(query), _AT_ONCE):  # a query of many positives is not copied for all of them
            some = slice(start, start + _AT_ONCE)
            score[some] = pair_scores(vectors[query[some]], found[some], self.similarity)
        rows = best_parts(query, document, passage, score)
        if len(rows) < len(query):
            query, passage, found, score = query[rows], passage[rows], found[rows], score[rows]
        return query, passage, found, score

    def _pairs(self, file: str, start: int, stop: int) -> Pairs:
        """Pairs that ingest names for the queries [start, stop), counted from ``start``: query (p,), passage (p,)."""
        rows = rows_between(self.job.file("ingest", file), "query", start, stop, ["query", "passage"])
        return _distinct(to_numpy(rows["query"]) - start, to_numpy(rows["passage"]))


def _nothing_found(vectors: np.ndarray, depth: np.ndarray, closeness: Closeness | None) -> Neighbours:
    """What a search finds where none is wanted."""
    none = np.empty(0, np.int64)
    return Neighbours(none, none, np.empty(0), np.empty((0, 2)))


def _found_by(pool: Pool, names: tuple[str, ...]) -> dict[str, Any]:
    """The columns that say who found each candidate at which rank; the first of them stands for all."""
    marks, first, offsets = _marks(names, pool.retriever), pool.offsets[:-1], pa.array(pool.offsets, pa.int32())
    return {
        "retriever": _marks(names, pool.retriever[first]),
        "rank": pool.rank[first],
        "retrievers": pa.ListArray.from_arrays(offsets, marks),
        "ranks": pa.ListArray.from_arrays(offsets, pa.array(pool.rank, pa.int32())),
    }


def _marks(names: tuple[str, ...], retriever: np.ndarray) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(retriever))


def _distinct(query: np.ndarray, passage: np.ndarray) -> Pairs:
    """Pairs without repetitions, the first row of each in its place."""
    order = np.lexsort((np.arange(len(query)), passage, query))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(query[order]) != 0) | (np.diff(passage[order]) != 0)
    rows = np.sort(order[new])
    return query[rows], passage[rows]


def _between(pairs: Pairs, low: int, high: int) -> Pairs:
    """The pairs of the queries [low, high)."""
    first, last = np.searchsorted(pairs[0], [low, high])
    return pairs[0][first:last], pairs[1][first:last]


def _batches(held: np.ndarray, limit: int, most: int | None) -> Iterator[tuple[int, int]]:
    """Ranges of at most ``most`` queries that together hold at most ``limit`` bytes (one query at least)."""
    low = 0
    total = np.concatenate([[0], np.cumsum(held)])
    while low < len(held):
        high = max(int(np.searchsorted(total, total[low] + limit, side="right")) - 1, low + 1)
        high = min(high, low + (most or len(held)), len(held))
        yield low, high
        low = high
