"""What an evaluation reads of a run: sides of the queries, what is relevant to them, rows to train on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.arrays import find_pairs
from negmine.errors import InputError
from negmine.evaluation.judged import judged_pairs
from negmine.evaluation.metrics import Truth
from negmine.evaluation.split import DEV, SIDES, TEST, TRAIN, split_sides
from negmine.selection.identity import EXCLUSION_REASONS
from negmine.selection.random import mix
from negmine.stages.base import Run
from negmine.stages.filter.labels import staying_positives
from negmine.stages.texts import queries_of
from negmine.store.tables import read_columns, to_numpy
from negmine.training.base import Rows

LEAST_TRAIN, LEAST_TESTED = 8, 8
"""Queries of the sides without which nothing can be said."""
MOST_DEV, MOST_TEST = 500, 5_000
"""Queries of dev and test that are looked at; of more, those with the least hashes."""
_WHOLE = 4096


@dataclass(frozen=True)
class Pairs:
    """Pairs of query and passage with a value each, (p,), sorted by query, then passage, and distinct."""

    query: np.ndarray
    passage: np.ndarray
    value: np.ndarray

    def of(self, place: np.ndarray) -> Pairs:
        """Those of some queries: ``place`` (q,) is the new number of a query, -1 where it is not wanted."""
        here = place[self.query] >= 0
        order = np.lexsort((self.passage[here], place[self.query[here]]))
        return Pairs(place[self.query[here]][order], self.passage[here][order], self.value[here][order])


class Material:
    """A run as an evaluation sees it. Raises InputError where it cannot be evaluated."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.passages = int(run.manifest("ingest").counts["passages"])
        self.hashes = to_numpy(queries_of(run).column("id_hash"))
        section = run.config.evaluate
        self.excluded = _excluded(run)
        linked = self.excluded.query, self.excluded.passage
        self.sides = split_sides(*linked, self.hashes, section.dev, section.test, run.config.seed)
        self.judged = judged_pairs(run, Path(section.judged)) if section.judged is not None else None
        self._check_sides()

    @property
    def queries(self) -> int:
        return len(self.hashes)

    @cached_property
    def train(self) -> tuple[np.ndarray, np.ndarray]:
        """Every labelled pair of a query for training: query and passage (n,), by query.

        Of a document that was cut into chunks it is the one closest to the query.
        """
        found = staying_positives(self.run)
        query, passage, score = (to_numpy(found[name]) for name in ("query", "passage", "score"))
        of = find_pairs(query, passage, self._labelled.query, self._labelled.passage, self.passages)
        answer = self._labelled.value[of]
        order = np.lexsort((passage, -score, answer, query))
        first = np.ones(len(order), bool)
        same = (query[order][1:] == query[order][:-1]) & (answer[order][1:] == answer[order][:-1])
        first[1:] = ~same
        rows = np.sort(order[first])
        rows = rows[self.sides[query[rows]] == TRAIN]
        rows = rows[np.lexsort((passage[rows], query[rows]))]
        return query[rows], passage[rows]

    def chosen(self, side: int) -> np.ndarray:
        """The queries of a side that are looked at, ascending numbers (q,)."""
        most = {TRAIN: self.queries, DEV: MOST_DEV, TEST: MOST_TEST}[side]
        here = np.flatnonzero((self.sides == side) & self._answered)
        return np.sort(here[np.argsort(mix(2, self.hashes[here]), kind="stable")[:most]])

    def truth(self, chosen: np.ndarray, pool: np.ndarray | None = None) -> Truth:
        """What is relevant to ``chosen`` queries (ascending), among all passages or those of a ``pool`` (ascending),
        which are numbered anew."""
        place = np.full(self.queries, -1)
        place[chosen] = np.arange(len(chosen))
        gains, answers = self._relevant[0].of(place), self._relevant[1].of(place)
        copies = self._copies.of(place)
        copies = _without(copies, gains, self.passages)
        passages = self.passages
        if pool is not None:
            gains, answers, copies = (_inside(pairs, pool) for pairs in (gains, answers, copies))
            passages = len(pool)
        return Truth(
            queries=len(chosen),
            passages=passages,
            query=gains.query,
            passage=gains.passage,
            gain=gains.value,
            answer=answers.value,
            left_out_query=copies.query,
            left_out_passage=copies.passage,
        )

    def groups(self, chosen: np.ndarray) -> np.ndarray:
        """Numbers (q,) that are equal for queries with the same relevant passages, which are not independent."""
        truth = self.truth(chosen)
        offsets = np.searchsorted(truth.query, np.arange(truth.queries + 1))
        sets = [truth.passage[offsets[q] : offsets[q + 1]].tobytes() for q in range(truth.queries)]
        known: dict[bytes, int] = {}
        return np.array([known.setdefault(of, len(known)) for of in sets], np.int64)

    def pool(self, chosen: np.ndarray, most: int) -> np.ndarray | None:
        """Passages to rank dev queries among, ascending: what is relevant to them and their first candidates, about
        ``most``; None for all passages."""
        if self.passages <= most:
            return None
        relevant = np.unique(self.truth(chosen).passage)
        return np.unique(np.concatenate([relevant, first_candidates(self.run, chosen, max(most - len(relevant), 0))]))

    def rows(self, negatives: np.ndarray) -> Rows:
        """Training rows with negatives (n, m) for each of the pairs in ``train``."""
        shared = self.run.config.evaluate.shared_negatives
        return Rows(*self.train, negatives, self.excluded.query, self.excluded.passage, self.passages, shared)

    @cached_property
    def _answered(self) -> np.ndarray:
        """Which queries have something relevant: bool (q,)."""
        answered = np.zeros(self.queries, bool)
        answered[self._relevant[0].query] = True
        return answered

    @cached_property
    def _labelled(self) -> Pairs:
        """All labelled pairs, each with a number that chunks of one document share: the least of their passages."""
        table = read_columns(self.run.file("ingest", "positives.parquet"), ["query", "passage", "document"])
        query, passage, document = (to_numpy(table[name]) for name in ("query", "passage", "document"))
        order = np.lexsort((passage, document, query))
        query, passage, document = query[order], passage[order], document[order]
        new = np.ones(len(order), bool)
        new[1:] = (query[1:] != query[:-1]) | (document[1:] != document[:-1])
        return _distinct(query, passage, passage[new][np.cumsum(new) - 1])

    @cached_property
    def _relevant(self) -> tuple[Pairs, Pairs]:
        """What is relevant, judged or labelled, with its gain and the number of its answer."""
        table = read_columns(self.run.file("ingest", "positives.parquet"), ["query", "passage", "grade"])
        query, passage, grade = (to_numpy(table[name]) for name in ("query", "passage", "grade"))
        answer_of = self._labelled
        answer = answer_of.value[find_pairs(query, passage, answer_of.query, answer_of.passage, self.passages)]
        if self.judged is not None:
            judged = self.judged
            query, passage = np.concatenate([query, judged.query]), np.concatenate([passage, judged.passage])
            grade = np.concatenate([grade, judged.grade])
            answer = np.concatenate([answer, judged.answer])
        whole = (grade == np.round(grade)).all() and grade.max(initial=1) <= _WHOLE
        gain = np.maximum(grade, 1).astype(np.int64) if whole else np.ones(len(grade), np.int64)
        # A pair that is there several times counts by its best grade, under its label.
        order = np.lexsort((answer, -gain, passage, query))
        query, passage, gain, answer = query[order], passage[order], gain[order], answer[order]
        return _distinct(query, passage, gain), _distinct(query, passage, answer)

    @cached_property
    def _copies(self) -> Pairs:
        """Copies of a query or of its positives."""
        of = self.excluded
        rows = of.value != EXCLUSION_REASONS.index("positive")
        return Pairs(of.query[rows], of.passage[rows], of.value[rows])

    def _check_sides(self) -> None:
        """Raises InputError where a side has too few queries to say anything."""
        counts = [int(((self.sides == side) & self._answered).sum()) for side in (TRAIN, DEV, TEST)]
        least = (LEAST_TRAIN, LEAST_TESTED, LEAST_TESTED)
        if all(count >= enough for count, enough in zip(counts, least, strict=True)):
            return
        shown = ", ".join(f"{count:,} for {name}" for count, name in zip(counts, SIDES, strict=True))
        raise InputError(
            f"there are too few queries to evaluate with: {self.queries:,} are split into {shown}, and each side needs"
            f" {LEAST_TRAIN}",
            where=self.run.work.name,
            hint="Queries that share a positive or a text stay on one side. Label more queries, or set evaluate.dev"
            " and evaluate.test.",
        )


def first_candidates(run: Run, chosen: np.ndarray, most: int) -> np.ndarray:
    """The best-ranked candidates of ``chosen`` queries (ascending), about ``most`` of them: passages (m,)."""
    depth = most // max(len(chosen), 1) + 1
    parts = [np.empty(0, np.int64)]
    for path in run.files("mine", "part-"):
        table = read_columns(path, ["query", "passage", "rank"])
        query, passage, rank = (to_numpy(table[name]) for name in ("query", "passage", "rank"))
        parts.append(passage[np.isin(query, chosen) & (rank <= depth)])
    return np.unique(np.concatenate(parts))


def _excluded(run: Run) -> Pairs:
    table = read_columns(run.file("ingest", "excluded.parquet"), ["query", "passage", "reason"])
    query, passage = to_numpy(table["query"]), to_numpy(table["passage"])
    reason = to_numpy(pc.index_in(table["reason"], value_set=pa.array(EXCLUSION_REASONS))).astype(np.int64)
    return _distinct(query, passage, reason)


def _distinct(query: np.ndarray, passage: np.ndarray, value: np.ndarray) -> Pairs:
    """The first of each pair, sorted."""
    order = np.lexsort((passage, query))  # stable: the first stays the first
    query, passage, value = query[order], passage[order], value[order]
    new = np.ones(len(order), bool)
    new[1:] = (query[1:] != query[:-1]) | (passage[1:] != passage[:-1])
    return Pairs(query[new], passage[new], value[new])


def _without(pairs: Pairs, others: Pairs, passages: int) -> Pairs:
    rows = find_pairs(pairs.query, pairs.passage, others.query, others.passage, passages) < 0
    return Pairs(pairs.query[rows], pairs.passage[rows], pairs.value[rows])


def _inside(pairs: Pairs, pool: np.ndarray) -> Pairs:
    place = np.searchsorted(pool, pairs.passage)
    here = place < len(pool)
    here[here] = pool[place[here]] == pairs.passage[here]
    return Pairs(pairs.query[here], place[here], pairs.value[here])
