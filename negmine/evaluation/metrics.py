"""What a ranking is worth, by the measures of ir-measures (extra ``evaluate``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from negmine.arrays import find_pairs, positions, spans
from negmine.errors import MissingDependencyError
from negmine.retrieval.exact import Neighbours, search_exact
from negmine.retrieval.proposing import Propose, propose_on_cpu
from negmine.retrieval.similarity import Blocks

METRICS = ("ndcg@10", "mrr@10", "recall@100")
MAIN = 0
"""The metric that everything is decided by."""
DEPTH = 100


@dataclass(frozen=True)
class Truth:
    """What is relevant to some queries, in rows sorted by query and passage.

    ``query`` (from 0), ``passage`` and ``gain`` (whole numbers above 0) are (r,). ``answer`` (r,) is the same for
    passages that are one answer (the chunks of a document): the best ranked stands for all. ``left_out_query`` and
    ``left_out_passage`` (l,), sorted, are copies of a query or of its positive: no ranking has them.
    """

    queries: int
    passages: int
    query: np.ndarray
    passage: np.ndarray
    gain: np.ndarray
    answer: np.ndarray
    left_out_query: np.ndarray
    left_out_passage: np.ndarray

    @property
    def spare(self) -> np.ndarray:
        """How many passages beyond the depth have to be found for each query (q,)."""
        own = np.bincount(self.query, minlength=self.queries)
        return own + np.bincount(self.left_out_query, minlength=self.queries)

    def rank(
        self, queries: np.ndarray, blocks: Blocks, depth: int = DEPTH, propose: Propose = propose_on_cpu
    ) -> Neighbours:
        """The first ``depth`` passages of every query in the whole of ``blocks``, by exact cosine."""
        found = search_exact(queries, blocks, depth + self.spare, self.passages, "cosine", propose=propose)
        left_out = find_pairs(found.query, found.passage, self.left_out_query, self.left_out_passage, self.passages)
        found = found.rows(left_out < 0)
        relevant = find_pairs(found.query, found.passage, self.query, self.passage, self.passages)
        again = np.zeros(len(relevant), bool)
        rows = np.flatnonzero(relevant >= 0)
        answers = np.stack([found.query[rows], self.answer[relevant[rows]]])
        again[rows] = True
        again[rows[np.unique(answers, axis=1, return_index=True)[1]]] = False
        found = found.rows(~again)
        return found.rows(positions(found.query) < depth)

    def scores(self, ranking: Neighbours) -> np.ndarray:
        """Each metric for each query, from ``rank``: float64 (q, 3)."""
        relevant = find_pairs(ranking.query, ranking.passage, self.query, self.passage, self.passages)
        # A chunk counts as its answer. Passages are named by number, answers by their own.
        names = np.where(relevant >= 0, self.answer[np.maximum(relevant, 0)] * 2 + 1, ranking.passage * 2)
        offsets = spans(ranking.query, self.queries)
        run = {}
        for query in range(self.queries):
            here = names[offsets[query] : offsets[query + 1]].tolist()
            # Ranks as scores: the library would order equal ones by name.
            run[str(query)] = {str(name): float(-place) for place, name in enumerate(here)}
        evaluator, measures = self._evaluator
        column = {str(measure): number for number, measure in enumerate(measures)}
        values = np.zeros((self.queries, len(METRICS)))
        for found in evaluator.iter_calc(run):
            values[int(found.query_id), column[str(found.measure)]] = found.value
        return values

    @cached_property
    def _evaluator(self) -> tuple[Any, tuple[Any, ...]]:
        library = measures_library()
        measures = (library.nDCG @ 10, library.RR @ 10, library.R @ DEPTH)
        relevant: dict[str, dict[str, int]] = {str(query): {} for query in range(self.queries)}
        for query, answer, gain in zip(self.query.tolist(), self.answer.tolist(), self.gain.tolist(), strict=True):
            of = relevant[str(query)]
            of[str(answer * 2 + 1)] = max(gain, of.get(str(answer * 2 + 1), 0))
        return library.evaluator(measures, relevant), measures


def measures_library() -> Any:
    """ir_measures. Raises MissingDependencyError where it is not installed."""
    try:
        import ir_measures
    except ImportError as error:
        raise MissingDependencyError(
            "the measures of rankings come from the package ir-measures, which is not installed",
            hint="Run: pip install 'negmine[evaluate]'",
        ) from error
    return ir_measures


def means(values: Mapping[str, np.ndarray]) -> dict[str, tuple[float, ...]]:
    """Mean of each metric over seeds and queries, from (s, q, 3) for each arm."""
    return {arm: tuple(float(value) for value in of.mean(axis=(0, 1))) for arm, of in values.items()}
