"""Whether a difference between two arms is more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from negmine.selection.bootstrap import DRAWS

LEVEL = 0.05
PERMUTATIONS = 9_999
_TAIL = 0.025
_CELLS = 4_000_000
"""Numbers drawn at once."""

Verdict = Literal["better", "no different", "worse"]


@dataclass(frozen=True)
class Difference:
    """Mean of an arm minus that of another, its 95% interval, and the chance of so large a one by luck alone."""

    effect: float
    low: float
    high: float
    p: float


def difference(values: np.ndarray, others: np.ndarray, groups: np.ndarray, seed: int = 0) -> Difference:
    """How an arm differs from another on the same queries and seeds.

    ``values`` and ``others`` are float64 (s, q), ``groups`` (q,) numbers what is drawn together: queries with the
    same answers are not independent. The interval is a percentile bootstrap over seeds and groups (Efron and
    Tibshirani 1993, chapter 13), the p-value that of a paired permutation test, which swaps the arms of a whole group
    at a time (Smucker, Allan and Carterette 2007).
    """
    delta = values - others
    low, high = interval(delta, groups, seed)
    return Difference(float(delta.mean()), low, high, permutation_p(delta.mean(axis=0), groups, seed))


def interval(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95% interval of the mean of ``values`` (s, q) over ``DRAWS`` draws of seeds and of groups (q,) of queries."""
    low, high = np.quantile(drawn_means(values, groups, seed), [_TAIL, 1 - _TAIL])
    return float(low), float(high)


def share_interval(part: np.ndarray, whole: np.ndarray, groups: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95% interval of the mean of ``part`` divided by that of ``whole`` (s, q), both in the same draws."""
    above, below = (drawn_means(values, groups, seed) for values in (part, whole))
    low, high = np.quantile(above[below != 0] / below[below != 0], [_TAIL, 1 - _TAIL])
    return float(low), float(high)


def drawn_means(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """Means (``DRAWS``,) of ``values`` (s, q) in draws of seeds and groups, which ``seed`` decides alone."""
    sums, sizes = _by_group(values, groups)
    rng = np.random.default_rng(seed)
    count = len(sizes)
    at_once = max(_CELLS // count, 1)
    found = []
    for start in range(0, DRAWS, at_once):
        draws = min(at_once, DRAWS - start)
        seeds = rng.integers(0, len(values), (draws, len(values)))
        weight = np.stack([np.bincount(of, minlength=len(values)) for of in seeds]) / len(values)
        drawn = rng.integers(0, count, (draws, count))
        total = np.zeros(draws)
        for s in range(len(values)):
            total += weight[:, s] * sums[s][drawn].sum(axis=1)
        found.append(total / sizes[drawn].sum(axis=1))
    return np.concatenate(found)


def permutation_p(delta: np.ndarray, groups: np.ndarray, seed: int = 0) -> float:
    """Two-sided p-value of the mean of ``delta`` (q,) when the sign of each group (q,) is chance: exact for few
    groups, else from ``PERMUTATIONS`` draws."""
    from scipy.stats import permutation_test

    sums = _by_group(delta[None], groups)[0][0]
    sums = sums[sums != 0]  # their sign changes nothing
    if len(sums) < 2:
        return 1.0  # either sign is as far from zero
    found = permutation_test(
        (sums,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=max(_CELLS // len(sums), 1),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (m,) adjusted for m comparisons, as Holm (1979) does step by step."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def verdict(effect: float, p: float) -> Verdict:
    """What a difference means at a level of 5%, with its adjusted p."""
    if p >= LEVEL:
        return "no different"
    return "better" if effect > 0 else "worse"


def _by_group(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums (s, g) of ``values`` (s, q) by group, and the sizes (g,) of the groups."""
    _, place = np.unique(groups, return_inverse=True)
    sizes = np.bincount(place)
    return np.stack([np.bincount(place, weights=of, minlength=len(sizes)) for of in values]), sizes
