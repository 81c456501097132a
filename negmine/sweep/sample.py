"""The candidates that a sweep looks at, read once."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from negmine.errors import StaleError
from negmine.selection.candidates import Candidates
from negmine.selection.risk import RiskModel
from negmine.selection.verdicts import NearDuplicates
from negmine.stages.base import Run
from negmine.stages.filter.calibrating import risk_of
from negmine.stages.filter.loading import near_duplicates_among
from negmine.stages.filter.sampling import Samples, candidates_of, mined_depth
from negmine.stages.texts import queries_of
from negmine.store.tables import read_columns, to_numpy

MOST_QUERIES = 20_000
MOST_CANDIDATES = 5_000_000
_TEXTS = 20_000
"""Candidates whose texts are compared at once."""


class Sample:
    """Candidates of all queries of a run, or of those with the least hashes of their ids.

    There are at most ``MOST_QUERIES``, and of lists so long that they have more than ``MOST_CANDIDATES``
    altogether, fewer. ``among``, bool (q,): the queries that may be looked at, also to calibrate; all unless given.
    """

    def __init__(self, run: Run, among: np.ndarray | None = None) -> None:
        self.run = run
        _check_columns(run)
        keys = to_numpy(queries_of(run).column("id_hash"))
        depth = mined_depth(run)
        most = max(min(MOST_QUERIES, MOST_CANDIDATES // depth), 1)
        self.queries_of_run = len(keys)
        order = np.argsort(keys, kind="stable")
        self.numbers = np.sort((order if among is None else order[among[order]])[:most])
        """The looked-at queries, by their number in the run (q,)."""
        self.candidates: Candidates = candidates_of(run, self.numbers)
        self.calibration = Samples(run, keep=True, among=among)
        self._risk: dict[RiskModel, np.ndarray] = {}
        self._near: dict[float, NearDuplicates] = {}

    @property
    def whole(self) -> bool:
        """Whether all queries are looked at."""
        return len(self.numbers) == self.queries_of_run

    @property
    def passages(self) -> int:
        return int(self.run.manifest("ingest").counts["passages"])

    def risk(self, model: RiskModel) -> np.ndarray:
        """P(relevant) of every candidate (n,)."""
        if model not in self._risk:
            self._risk[model] = risk_of(model, self.candidates)
        return self._risk[model]

    def near_duplicates(self, jaccard: float) -> NearDuplicates:
        """The rule on texts, which compares no candidate twice."""
        if jaccard not in self._near:
            path = self.run.file("mine", "positives.parquet")
            query, passage = self._pairs(read_columns(path, ["query", "passage"]))
            rule = near_duplicates_among(self.run, self.candidates, query, passage, jaccard)
            self._near[jaccard] = _remembered(rule, len(self.candidates))
        return self._near[jaccard]

    @cached_property
    def left_to_draw(self) -> np.ndarray:
        """How many passages of the corpus each query may get at random (q,)."""
        query, passage = self._pairs(read_columns(self.run.file("ingest", "excluded.parquet"), ["query", "passage"]))
        own = self.candidates
        taken = np.unique(
            np.concatenate([query * self.passages + passage, own.query.astype(np.int64) * self.passages + own.passage])
        )
        return self.passages - np.bincount(taken // self.passages, minlength=own.queries)

    def _pairs(self, table: object) -> tuple[np.ndarray, np.ndarray]:
        """Rows about looked-at queries, ascending: place of the query among them, and passage (p,)."""
        query, passage = to_numpy(table["query"]), to_numpy(table["passage"])  # type: ignore[index]
        place = np.searchsorted(self.numbers, query)
        here = place < len(self.numbers)
        here[here] = self.numbers[place[here]] == query[here]
        order = np.argsort(place[here], kind="stable")
        return place[here][order].astype(np.int64), passage[here][order].astype(np.int64)


def _remembered(rule: NearDuplicates, candidates: int) -> NearDuplicates:
    known, found = np.zeros(candidates, bool), np.zeros(candidates, bool)

    def ask(rows: np.ndarray) -> np.ndarray:
        new = rows[~known[rows]]
        for first in range(0, len(new), _TEXTS):
            some = new[first : first + _TEXTS]
            found[some] = rule(some)
            known[some] = True
        return found[rows]

    return ask


def _check_columns(run: Run) -> None:
    """The run may be from before a column was carried. Raises StaleError."""
    carried = run.manifest("ingest").made_from["config"]["data.metadata"]
    for column in run.config.filter.exclude_same:
        if column not in carried:
            raise StaleError(
                f"the run carries no column '{column}' (filter.exclude_same)", hint="Run: negmine mine -c CONFIG"
            )
