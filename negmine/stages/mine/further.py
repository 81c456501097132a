"""Retrievers beside the search over the vectors that give scores of their own: words, and further encoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from negmine.arrays import find_pairs
from negmine.config.mining import BM25
from negmine.retrieval.exact import search_exact
from negmine.retrieval.fusion import Hits, Pool
from negmine.retrieval.proposing import Propose
from negmine.retrieval.similarity import score_pairs
from negmine.retrieval.sparse import Matches
from negmine.stages.base import Job
from negmine.stages.device import proposer
from negmine.stages.lexical import LexicalSearch
from negmine.stages.texts import StandingTable
from negmine.stages.vectors import block_rows, flat_vectors, query_vectors, similarity
from negmine.stages.weighted import WeightedSearch, query_weights
from negmine.store.vectors import FlatVectors

Pairs = tuple[np.ndarray, np.ndarray]
"""Query and passage (p,) of pairs, by query."""


class Further(Protocol):
    """A retriever over the queries of one part; a score of it does not depend on what else is asked."""

    def search(self, low: int, high: int, depth: np.ndarray, pairs: Pairs) -> tuple[Hits, np.ndarray, np.ndarray]:
        """What it finds for the queries [low, high), which then count from 0, down to ``depth`` (high - low,), its
        scores float64 (n,), and those of ``pairs`` float64 (p,)."""


class _Words:
    """BM25."""

    def __init__(self, job: Job, queries: StandingTable, start: int, stop: int) -> None:
        self._search: LexicalSearch = job.resource(BM25, lambda: LexicalSearch(job))
        self._terms = self._search.numbers(queries.slice(start, stop, ["text"])["text"].to_pylist())

    def search(self, low: int, high: int, depth: np.ndarray, pairs: Pairs) -> tuple[Hits, np.ndarray, np.ndarray]:
        return _as_hits(self._search.search(self._terms[low:high], depth, pairs))


class _Weights:
    """A sparse encoder."""

    def __init__(self, job: Job, name: str, start: int, stop: int) -> None:
        self._search: WeightedSearch = job.resource(f"weights {name}", lambda: WeightedSearch(job, name))
        self._offsets, self._terms, self._weights = query_weights(job, start, stop, name)

    def search(self, low: int, high: int, depth: np.ndarray, pairs: Pairs) -> tuple[Hits, np.ndarray, np.ndarray]:
        queries = (self._offsets[low : high + 1], self._terms, self._weights)
        return _as_hits(self._search.search(queries, depth, pairs))


class _Vectors:
    """A dense encoder, which is searched exactly."""

    def __init__(self, job: Job, name: str, start: int, stop: int) -> None:
        self._config, self._similarity = job.config, similarity(job, name)
        self._source: FlatVectors = job.resource(f"vectors {name}", lambda: flat_vectors(job, encoder=name))
        self._propose: Propose = job.resource("proposer", lambda: proposer(job.config))
        self._queries = query_vectors(job, start, stop, name)

    def search(self, low: int, high: int, depth: np.ndarray, pairs: Pairs) -> tuple[Hits, np.ndarray, np.ndarray]:
        queries, passages, compared = self._queries[low:high], self._source.rows, self._similarity
        none = np.empty(0, np.int64)
        hits, score = Hits.in_order(none, none), np.empty(0)
        if depth.any():
            near = search_exact(queries, self._blocks, depth, passages, compared, propose=self._propose)
            hits, score = Hits.in_order(near.query, near.passage), near.score
        return hits, score, score_pairs(queries, self._blocks, *pairs, compared)

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        return self._source.blocks(block_rows(self._config, self._source.dimension))


def _as_hits(found: Matches) -> tuple[Hits, np.ndarray, np.ndarray]:
    return Hits.in_order(found.query, found.passage), found.score, found.of_pairs


def further_of(job: Job, queries: StandingTable, start: int, stop: int) -> dict[str, Further]:
    """Those of a run by name, for the queries [start, stop): first those that compare vectors, as the others can score
    what these find on the way."""

    def made(name: str) -> Further:
        if name == BM25:
            return _Words(job, queries, start, stop)
        kind = _Weights if job.config.others[name].kind == "sparse" else _Vectors
        return kind(job, name, start, stop)

    found = {name: made(name) for name in job.config.mine.further}
    return dict(sorted(found.items(), key=lambda item: not isinstance(item[1], _Vectors)))


class Scorers:
    """All of them over a batch of queries after the other; of each batch it is remembered who gave which scores."""

    def __init__(self, further: Mapping[str, Further], passages: int) -> None:
        """``passages`` is how many there are in all."""
        self._further, self._passages = further, passages
        self._known: dict[str, list[tuple[np.ndarray, ...]]] = {}

    def search(
        self, low: int, high: int, depth: np.ndarray, positives: Pairs, found: Sequence[Hits]
    ) -> tuple[dict[str, Hits], dict[str, np.ndarray]]:
        """What each finds for the queries [low, high), and its scores of the ``positives``.

        At once each scores what the others found so far (``found``, and who stands before it): a search over terms
        has the scores of all passages of a query in hand, once.
        """
        hits: dict[str, Hits] = {}
        own: dict[str, np.ndarray] = {}
        for name, retriever in self._further.items():
            others = [*found, *hits.values()]
            query = np.concatenate([positives[0], *(each.query for each in others)])
            passage = np.concatenate([positives[1], *(each.passage for each in others)])
            order = np.argsort(query, kind="stable")
            hits[name], of_hits, of_pairs = retriever.search(low, high, depth, (query[order], passage[order]))
            score = np.empty(len(query))
            score[order] = of_pairs
            own[name] = score[: len(positives[0])]
            self._known[name] = [(query, passage, score), (hits[name].query, hits[name].passage, of_hits)]
        return hits, own

    def scores(self, low: int, high: int, pool: Pool) -> dict[str, np.ndarray]:
        """Every retriever's scores of the candidates of that batch: float64 (m,) by name."""
        order, found = np.argsort(pool.query, kind="stable"), {}
        for name, retriever in self._further.items():
            found[name] = self._of(name, pool.query, pool.passage)
            missing = order[np.isnan(found[name][order])]
            if len(missing):
                pairs = (pool.query[missing], pool.passage[missing])
                found[name][missing] = retriever.search(low, high, np.zeros(high - low, np.int64), pairs)[2]
        return found

    def _of(self, name: str, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
        """What is known of pairs (n,), NaN where nothing is."""
        of_query, of_passage, score = (np.concatenate(column) for column in zip(*self._known[name], strict=True))
        keys, first = np.unique(of_query.astype(np.int64) * self._passages + of_passage, return_index=True)
        place = find_pairs(query, passage, keys // self._passages, keys % self._passages, self._passages)
        found = np.full(len(query), np.nan)
        found[place >= 0] = score[first[place[place >= 0]]]
        return found
