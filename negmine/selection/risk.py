"""The probability that a candidate is in truth relevant, from what mining knows of it.

A logistic model over features without a unit, so that weights fitted on some collections hold for
other encoders and collections. What they are and what they were fitted on is in ``risk_weights.json``
beside this module.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from negmine.arrays import positions
from negmine.selection.candidates import STANDARD_DEPTH, Candidates

FEATURES = ("positive_similarity_z", "positive_similarity_skew", "positive_rank_log")
"""Similarity to the nearest positive in standard deviations from the mean of the query's list; the skewness
of these similarities within the list, at most ``SKEW_CAP`` either way: a few that stand out are answers,
many at the upper end are one topic; and ln(r) of the best rank r of a positive, r at most ``RANK_CAP``:
where the labelled answer is found late, others are found before it. The score is left out: limits keep the
mean score of the negatives, and a rule that shuns high scores gives that away."""

SKEW_CAP = 3
RANK_CAP = 50
FIT_DEPTH = 10
"""Candidates of each query that a model is fitted on: the hardest, among which negatives are chosen."""


@dataclass(frozen=True)
class RiskModel:
    """P(relevant) = 1 / (1 + exp(-(intercept + weights . features)))."""

    weights: tuple[float, ...]
    intercept: float

    def logit(self, features: np.ndarray) -> np.ndarray:
        """Log odds (n,) of rows of features (n, f), each computed alone."""
        total = np.full(len(features), self.intercept)
        for column, weight in enumerate(self.weights):
            total += weight * features[:, column]
        return total

    def probability(self, features: np.ndarray) -> np.ndarray:
        """P(relevant) (n,) of rows of features (n, f)."""
        return _logistic(self.logit(features))


@cache
def shipped_model() -> RiskModel:
    """The model that comes with the tool."""
    data = json.loads(_shipped_weights())
    return RiskModel(tuple(data["weights"][name] for name in FEATURES), data["intercept"])


def shipped_digest() -> str:
    """SHA-256 of that model's file."""
    return hashlib.sha256(_shipped_weights()).hexdigest()


def _shipped_weights() -> bytes:
    return resources.files("negmine.selection").joinpath("risk_weights.json").read_bytes()


def features(candidates: Candidates) -> np.ndarray:
    """``FEATURES`` of every candidate: float64 (n, 3)."""
    rank = np.log(np.clip(candidates.positive_rank, 1, RANK_CAP))
    of_query = np.stack([_skewness(candidates), rank], axis=1)
    return np.hstack([candidates.positive_similarity_z[:, None], of_query[candidates.query]])


def _skewness(candidates: Candidates) -> np.ndarray:
    """Skewness of the similarities to the positives over the list that they are standardised in: (q,)."""
    rows = np.flatnonzero(candidates.eligible)
    rows = rows[positions(candidates.query[rows]) < STANDARD_DEPTH]
    cubes = candidates.positive_similarity_z[rows] ** 3
    group = candidates.query[rows]
    count = np.maximum(np.bincount(group, minlength=candidates.queries), 1)
    skewness = np.bincount(group, weights=cubes, minlength=candidates.queries) / count
    return np.clip(skewness, -SKEW_CAP, SKEW_CAP)


def fit(features: np.ndarray, relevant: np.ndarray, group: np.ndarray) -> RiskModel:
    """Logistic regression (ridge, C = 1) of ``relevant`` (n,) on standardised features (n, f).

    ``group`` (n,) numbers collections from 0. Every collection weighs the same and has an intercept of
    its own while the weights are fitted, as they differ in how many relevant passages a query has; the
    intercept that is kept is then fitted over all of them with the weights held fixed.
    Raises ValueError when there are no relevant or no other rows.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    if relevant.all() or not relevant.any():
        raise ValueError("a risk model needs both relevant and other candidates")
    groups = int(group.max()) + 1
    size = np.bincount(group, minlength=groups)
    weight = (len(group) / np.maximum(size, 1) / np.count_nonzero(size))[group]
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation == 0] = 1
    # Intercepts as columns, large enough that the ridge does not hold them.
    own = np.eye(groups)[group] * 100
    with threadpool_limits(1):  # sums in one order: equal bytes with any number of threads
        model = LogisticRegression(C=1.0, fit_intercept=False, solver="newton-cholesky", tol=1e-8)
        model.fit(np.hstack([(features - mean) / deviation, own]), relevant, sample_weight=weight)
    weights = tuple(map(float, model.coef_[0, : features.shape[1]] / deviation))
    return RiskModel(weights, _intercept(RiskModel(weights, 0.0).logit(features), relevant, weight))


def _logistic(logit: np.ndarray) -> np.ndarray:
    # Beyond 500 either way the result is 0 or 1 in all digits that matter, and exp would overflow.
    return 1 / (1 + np.exp(-np.clip(logit, -500, 500)))


def _intercept(offset: np.ndarray, relevant: np.ndarray, weight: np.ndarray) -> float:
    """The intercept at which the mean probability is the share of relevant rows (Newton's method)."""
    share = np.average(relevant, weights=weight)
    value = float(np.log(share / (1 - share)) - np.average(offset, weights=weight))
    for _ in range(100):
        p = _logistic(offset + value)
        step = (np.average(p, weights=weight) - share) / max(np.average(p * (1 - p), weights=weight), 1e-12)
        value -= float(np.clip(step, -1, 1))
        if abs(step) < 1e-12:
            break
    return value
