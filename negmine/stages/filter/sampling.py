"""Samples of a run's queries that limits are chosen on and leaks are measured on.

They are drawn by the hash of the query's id: adding queries to a run changes few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from negmine.arrays import expand, find_pairs, positions, spans
from negmine.retrieval.evidence import Closeness, gather
from negmine.retrieval.exact import scored
from negmine.selection.calibration import calibration_half
from negmine.selection.candidates import Candidates, joined
from negmine.selection.hidden import Labelled
from negmine.selection.random import mix
from negmine.selection.verdicts import reference_scores
from negmine.stages.base import Run
from negmine.stages.filter.labels import deciding_columns, ranks_among, staying_positives
from negmine.stages.filter.loading import load_part, mined_parts, passage_keys, same_value
from negmine.stages.texts import queries_of
from negmine.stages.vectors import block_rows, flat_vectors, similarity
from negmine.store.tables import to_numpy

T = TypeVar("T")

OfScorers = list[tuple[np.ndarray, np.ndarray]]
"""Reference scores and scores (m,) of the same things, by scorer."""

SAMPLE_QUERIES = 2_000
_PAIRS = 1_500_000
"""Pairs of candidate and positive that the labelled queries may have altogether."""


class Samples:
    """What calibration looks at, read from a run when it is first asked for.

    With ``keep`` it also remembers what was worked out of it, for further calibrations of configs that
    differ in none but the rules' numbers. ``among``, bool (q,): the queries that may be looked at; all unless given.
    """

    def __init__(self, run: Run, *, keep: bool = False, among: np.ndarray | None = None) -> None:
        self._run = run
        self._among = among
        self._kept: dict[Hashable, Any] | None = {} if keep else None

    @cached_property
    def labelled(self) -> Labelled | None:
        """Queries with several positives."""
        return labelled_queries(self._run, self._among)

    @property
    def candidates(self) -> Candidates:
        """Candidates that limits are chosen on."""
        return self.once("candidates", lambda: sampled_candidates(self._run, self._among))

    @property
    def hidden_scores(self) -> tuple[np.ndarray, OfScorers]:
        """``hidden_scores`` of the run, with the queries' keys."""
        how = self._run.config.filter.reference
        query, of_scorers = self.once("hidden", lambda: hidden_scores(self._run, how, self._among))
        return to_numpy(queries_of(self._run).column("id_hash"))[query], of_scorers

    def once(self, name: Hashable, build: Callable[[], T]) -> T:
        """What ``build`` makes, remembered under ``name`` with ``keep``."""
        if self._kept is None:
            return build()
        if name not in self._kept:
            self._kept[name] = build()
        value: T = self._kept[name]
        return value


def sampled_candidates(run: Run, among: np.ndarray | None = None) -> Candidates:
    """Candidates of at most ``SAMPLE_QUERIES`` queries."""
    keys = to_numpy(queries_of(run).column("id_hash"))
    order = np.argsort(keys, kind="stable")
    return candidates_of(run, np.sort((order if among is None else order[among[order]])[:SAMPLE_QUERIES]))


def labelled_queries(run: Run, among: np.ndarray | None = None) -> Labelled | None:
    """Queries with two positive passages or more, at most ``SAMPLE_QUERIES``; None when there are none."""
    positives = staying_positives(run)
    query, passage = to_numpy(positives["query"]), to_numpy(positives["passage"])
    keys = to_numpy(queries_of(run).column("id_hash"))
    count = np.bincount(query, minlength=len(keys))
    several = np.flatnonzero(count >= 2 if among is None else (count >= 2) & among)
    if not len(several):
        return None
    half = np.zeros(len(keys), bool)
    half[several] = calibration_half(keys[several])
    depth = mined_depth(run)
    chosen = np.sort(_affordable(several[np.argsort(keys[several], kind="stable")], count, depth))
    rows = np.flatnonzero(np.isin(query, chosen))
    rows = rows[np.lexsort((passage[rows], query[rows]))]
    return _labelled(run, chosen, half[chosen], positives.take(pa.array(rows)))


def mined_depth(run: Run) -> int:
    """About how many candidates a query has at most."""
    mine = run.manifest("mine")
    depth: int = mine.made_from["config"]["mine.k"]
    return depth + -(-mine.counts.get("named", 0) // len(queries_of(run)))


def _affordable(several: np.ndarray, count: np.ndarray, depth: int) -> np.ndarray:
    """The first ``SAMPLE_QUERIES`` of these queries that have at most ``_PAIRS`` pairs together, and one at least.

    Those with very many positives (``count``) are left out: one alone could be more than all others.
    """
    pairs = count[several] * (count[several] + depth)
    light = pairs <= max(_PAIRS // 20, np.median(pairs))
    several, pairs = several[light][:SAMPLE_QUERIES], pairs[light][:SAMPLE_QUERIES]
    return several[: max(int(np.count_nonzero(np.cumsum(pairs) <= _PAIRS)), 1)]


def hidden_scores(run: Run, how: str, among: np.ndarray | None = None) -> tuple[np.ndarray, OfScorers]:
    """Of every query with several positives one is hidden: query number (m,), and by each of ``config.scorers`` the
    reference score of the remaining positives and the score of the hidden one, two arrays (m,)."""
    positives = staying_positives(run)
    query, passage = (to_numpy(positives[name]) for name in ("query", "passage"))
    keys = to_numpy(queries_of(run).column("id_hash"))
    several = np.bincount(query, minlength=len(keys)) >= 2
    rows = np.flatnonzero((several if among is None else several & among)[query])
    rows = rows[np.lexsort((mix(0, keys[query[rows]], passage_keys(run)[passage[rows]]), query[rows]))]
    first = positions(query[rows]) == 0
    hidden, shown = rows[first], rows[~first]
    number = np.cumsum(first) - 1
    scores = [to_numpy(positives[name]) for name in deciding_columns(run)]
    references = [reference_scores(number[~first], score[shown], how, len(hidden)) for score in scores]
    return query[hidden], [(of, score[hidden]) for of, score in zip(references, scores, strict=True)]


def _labelled(run: Run, chosen: np.ndarray, half: np.ndarray, positives: pa.Table) -> Labelled:
    """``positives`` are those of the ``chosen`` queries, by query and passage."""
    candidates = candidates_of(run, chosen)
    of_query, of_passage = np.searchsorted(chosen, to_numpy(positives["query"])), to_numpy(positives["passage"])
    passages = run.manifest("ingest").counts["passages"]
    own = find_pairs(candidates.query, candidates.passage, of_query, of_passage, passages)
    offsets = spans(of_query, candidates.queries)
    pair_positive = expand(offsets, candidates.query)
    pair_row = np.repeat(np.arange(len(candidates)), np.diff(offsets)[candidates.query])
    pair_passage, every = candidates.passage[pair_row], np.arange(len(pair_row))
    columns = run.config.filter.exclude_same
    rival = candidates.excluded == 0
    return Labelled(
        candidates=candidates,
        calibrating=half,
        is_positive=own,
        of_query=of_query,
        score=to_numpy(positives["score"]),
        rank=ranks_among(run, positives, of_query, candidates.query[rival], candidates.score[rival]),
        key=passage_keys(run)[of_passage],
        pair_row=pair_row,
        pair_positive=pair_positive,
        pair_similarity=_cosines(run, of_passage, pair_positive, pair_passage),
        more_scores=tuple(to_numpy(positives[name]) for name in deciding_columns(run)[1:]),
        pair_same=tuple(same_value(run, c, every, pair_passage, every, of_passage[pair_positive]) for c in columns),
    )


def _cosines(run: Run, of_passage: np.ndarray, positive: np.ndarray, passage: np.ndarray) -> np.ndarray:
    """Cosine of each pair: a place among the positives ``of_passage``, and a passage: float64 (m,)."""
    source = run.resource("vectors", lambda: flat_vectors(run))

    def blocks() -> Iterator[tuple[int, np.ndarray]]:
        return source.blocks(block_rows(run.config, source.dimension))

    vectors = gather(blocks, of_passage)
    every = np.arange(len(of_passage))  # every positive as a query of its own
    closeness = Closeness(vectors, every, len(every), normalized=similarity(run) == "cosine")
    return scored(vectors, blocks, positive, passage, "dot", closeness).cosines[:, 0]


def candidates_of(run: Run, chosen: np.ndarray) -> Candidates:
    """Candidates of the ``chosen`` queries (ascending)."""
    found = []
    for name, start, stop in mined_parts(run):
        here = chosen[(chosen >= start) & (chosen < stop)]
        if len(here):
            part = load_part(run, name, start, stop, run.config.filter.exclude_same, numbers_only=True)
            found.append(part.candidates.of_queries(here - start))
    return joined(found)
