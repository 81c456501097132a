"""Ways to choose negatives from the candidates of a trial, and what their negatives are like."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers.util import SimilarityFunction, mine_hard_negatives

from benchmarks.judged import Trial
from negmine.arrays import find_pairs, positions
from negmine.config import Config, config_from_dict
from negmine.selection.risk import RiskModel, features
from negmine.selection.verdicts import KEPT, Rules, verdicts
from negmine.stages.filter.calibrating import Calibration, risk_limit, rules_of
from negmine.stages.filter.sampling import SAMPLE_QUERIES

NEGATIVES = 5
TEMPERATURE = 0.05
"""Of the hardness g."""

LEAST_YIELD = 0.5

Pairs = tuple[np.ndarray, np.ndarray]
"""Negatives: numbers of queries, ascending, and of passages (m,)."""


@dataclass(frozen=True)
class Measured:
    """Per query (q,): hidden positives among its negatives, negatives, sum of their cosines, and g."""

    false: np.ndarray
    taken: np.ndarray
    cosine: np.ndarray
    g: np.ndarray

    @property
    def fnr(self) -> float:
        return float(self.false.sum() / max(self.taken.sum(), 1e-9))

    @property
    def hardness(self) -> float:
        return float(self.cosine.sum() / max(self.taken.sum(), 1e-9))

    def columns(self) -> tuple[np.ndarray, ...]:
        return self.false, self.taken, self.cosine, self.g


def measured(trial: Trial, negatives: Pairs) -> Measured:
    """g of a query: the sum over its negatives of e^(s/t), divided by the same with the positive added."""
    query, passage = negatives
    data, count = trial.collection, len(trial.shown)
    score = np.einsum("ij,ij->i", data.queries[query], data.passages[passage], dtype=np.float64)
    false = find_pairs(query, passage, data.of_query, data.of_passage, len(data.passages)) >= 0
    false &= passage != trial.shown[query]
    of_positive = np.exp(trial.candidates.reference / TEMPERATURE)
    of_negatives = np.bincount(query, weights=np.exp(score / TEMPERATURE), minlength=count)
    wrong, cosine = (np.bincount(query, weights=column, minlength=count) for column in (false, score))
    return Measured(wrong, np.bincount(query, minlength=count), cosine, of_negatives / (of_positive + of_negatives))


def pooled(parts: Sequence[Measured], share: Sequence[float] | None = None) -> Measured:
    """Sums over trials of the same queries, g averaged."""
    weight = np.ones(len(parts)) if share is None else np.asarray(share)
    columns = (np.tensordot(weight, np.stack(c), 1) for c in zip(*(part.columns() for part in parts), strict=True))
    false, taken, cosine, g = columns
    return Measured(false, taken, cosine, g / weight.sum())


def by_rules(rules: Rules, trial: Trial, risk: np.ndarray | None = None, jaccard: float | None = None) -> Pairs:
    """What negmine's rules take."""
    near = None if jaccard is None else partial(trial.near_duplicates, jaccard=jaccard)
    rows = np.flatnonzero(verdicts(rules, trial.candidates, risk, near) == KEPT)
    return trial.candidates.query[rows], trial.candidates.passage[rows]


def config_of(**filtering: Any) -> Config:
    """A config whose filter section has these keys."""
    vectors = {"corpus": "corpus.parquet", "queries": "queries.parquet"}
    sections = {"data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"}, "embed": {"vectors": vectors}}
    return config_from_dict({"work_dir": "run", **sections, "filter": filtering}, base_dir=Path())


def by_config(config: Config, trial: Trial, model: RiskModel) -> tuple[Pairs, float]:
    """What a run with this filter section takes when its risk model is ``model``, and the limit on the risk."""
    candidates = trial.candidates
    risk = model.probability(features(candidates))
    chosen = np.sort(np.argsort(candidates.query_key, kind="stable")[:SAMPLE_QUERIES])
    samples: Any = SimpleNamespace(candidates=candidates.of_queries(chosen), once=lambda _, make: make())
    limit = risk_limit(config, samples, rules_of(config, Calibration(model)), model)
    near = config.filter.near_duplicates
    rules = rules_of(config, Calibration(model, risk_limit=limit))
    return by_rules(rules, trial, risk, None if near is None else near.jaccard), limit


class _Vectors:
    """As much of a SentenceTransformer as ``mine_hard_negatives`` uses: a text is the number of a row."""

    device = torch.device("cpu")
    model_card_data = SimpleNamespace(base_model=None)
    similarity = staticmethod(SimilarityFunction.to_similarity_fn("cosine"))
    similarity_pairwise = staticmethod(SimilarityFunction.to_similarity_pairwise_fn("cosine"))

    def __init__(self, queries: np.ndarray, passages: np.ndarray) -> None:
        self._queries, self._passages = queries, passages

    def encode_query(self, texts: Sequence[str], **_: Any) -> np.ndarray:
        return self._queries[np.array(texts, np.int64)]

    def encode_document(self, texts: Sequence[str], **_: Any) -> np.ndarray:
        return self._passages[np.array(texts, np.int64)]


def by_peer(trial: Trial, k: int, margin: float) -> Pairs:
    """What ``sentence_transformers.util.mine_hard_negatives`` takes from as many candidates."""
    data = trial.collection
    numbers = {"anchor": map(str, range(len(data.queries))), "positive": map(str, trial.shown)}
    with contextlib.redirect_stderr(io.StringIO()):  # it has progress bars that cannot be switched off
        mined = mine_hard_negatives(
            Dataset.from_dict({name: list(texts) for name, texts in numbers.items()}),
            _Vectors(data.queries, data.passages),
            corpus=[str(number) for number in range(len(data.passages))],
            range_max=k,
            relative_margin=margin,
            num_negatives=NEGATIVES,
            sampling_strategy="top",
            output_format="triplet",
            verbose=False,
        )
    query, passage = (np.array(mined[name], dtype=np.int64) for name in ("anchor", "negative"))
    order = np.argsort(query, kind="stable")
    return query[order], passage[order]


def oracle(trials: Sequence[Trial], hardness: float) -> tuple[Measured, float]:
    """The fewest false negatives that so high a mean cosine allows with all slots filled, and the greatest
    mean cosine without any where there are enough others.

    Each query takes those with the greatest score - penalty * relevant; the penalty is the greatest that
    keeps the mean (Lagrangian relaxation, exact but for the last pair).
    """
    best = [_best_of_each(trial) for trial in trials]

    def taken(penalty: float) -> Measured:
        return pooled([measured(one, _greatest(one, rows, penalty)) for one, rows in zip(trials, best, strict=True)])

    low, high = 0.0, 4.0
    safest = taken(high)
    if safest.hardness >= hardness:
        return safest, safest.hardness
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if taken(middle).hardness >= hardness else (low, middle)
    return taken(low), safest.hardness


def _best_of_each(trial: Trial) -> np.ndarray:
    """Rows of each query's first candidates of either kind."""
    found = []
    for kind in (trial.relevant, ~trial.relevant):
        rows = np.flatnonzero(kind & trial.candidates.eligible)
        found.append(rows[positions(trial.candidates.query[rows]) < NEGATIVES])
    return np.sort(np.concatenate(found))


def _greatest(trial: Trial, rows: np.ndarray, penalty: float) -> Pairs:
    candidates = trial.candidates
    value = candidates.score[rows] - penalty * trial.relevant[rows]
    order = rows[np.lexsort((-value, candidates.query[rows]))]
    chosen = order[positions(candidates.query[order]) < NEGATIVES]
    return candidates.query[chosen], candidates.passage[chosen]


def at_hardness(
    levels: int, take: Callable[[int, int], Pairs], trials: Sequence[Trial], goal: float
) -> Measured | None:
    """Negatives of ``take(level, trial)`` with a mean cosine of ``goal``: a mixture of two neighbouring levels.

    Levels go from the strictest to the loosest; those with a yield below ``LEAST_YIELD`` do not count. None
    when no two of the others have the goal between them.
    """

    def found(level: int) -> Measured:
        return pooled([measured(trial, take(level, number)) for number, trial in enumerate(trials)])

    least = sum(NEGATIVES * len(trial.shown) for trial in trials) * LEAST_YIELD
    low, high = -1, levels - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle).taken.sum() >= least else (middle, high)
    low, high = high, levels - 1
    below, above = found(low), found(high)
    if not below.hardness < goal <= above.hardness:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        between = found(middle)
        if between.hardness >= goal:
            high, above = middle, between
        else:
            low, below = middle, between
    excess = [float(part.cosine.sum() - goal * part.taken.sum()) for part in (below, above)]
    share = excess[1] / (excess[1] - excess[0])
    return pooled([below, above], [share, 1 - share])
