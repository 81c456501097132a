"""Estimates of a share from a stratified sample, with intervals that hold for small shares too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import gammaincinv, ndtri

_LEVEL, _POISSON, _FEW = 0.975, 0.05, 3.0
_SMOOTHING = 0.5
"""Judgements (half a one) at the overall rate that each stratum gets besides where its variance is estimated:
one in which none of a few is relevant is not known to have none."""


@dataclass(frozen=True)
class Rate:
    """The share of relevant ones among ``population`` negatives, of which ``judged`` were looked at.

    ``low`` and ``high`` are a 95% interval. ``rate`` and the interval are None when none was judged.
    """

    population: int
    judged: int
    relevant: int
    rate: float | None
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, Any]:
        """The same with the interval as a pair."""
        found = asdict(self)
        low, high = found.pop("low"), found.pop("high")
        return {**found, "interval": None if low is None else [low, high]}


def stratified_rate(sizes: np.ndarray, judged: np.ndarray, relevant: np.ndarray) -> Rate:
    """The share of relevant ones in a population in strata, of each of which some were drawn at random.

    ``sizes``, ``judged`` and ``relevant`` (h,) count the negatives of each stratum, those that were judged
    and those found relevant. A stratum without a judgement is taken to be like the nearest one that has some.

    The rate is that of these negatives, which are all there are, so what was judged does not vary: the
    variance has the finite population correction (Cochran 1977, chapter 5), and answers of one query being
    alike adds nothing to it, as negatives and not queries are drawn. From it comes the effective number of
    judgements (Korn and Graubard 1998), and from that the interval of a proportion.
    """
    population, n, x = int(sizes.sum()), int(judged.sum()), int(relevant.sum())
    if n == 0:
        return Rate(population, 0, 0, None, None, None)
    sizes, judged, relevant = _with_judgements(sizes, judged, relevant)
    weight = sizes / sizes.sum()
    rate = float(np.clip(weight @ (relevant / judged), 0, 1))
    effective = _effective(weight, judged, relevant, 1 - judged / sizes, rate)
    return Rate(population, n, x, rate, *wilson(rate, effective))


def new_queries_interval(
    sizes: np.ndarray, stratum: np.ndarray, query: np.ndarray, relevant: np.ndarray
) -> tuple[float, float]:
    """95% interval of the rate among further queries of the same kind, of which these are a sample.

    ``stratum``, ``query`` (its number) and ``relevant`` (m,) are those of each judgement, ``sizes`` (h,) as
    above. The variance is the greater of that without finite population correction and the linearised one
    of queries as clusters (Cochran 1977, chapter 9A): answers of one query are alike. (nan, nan) when none
    was judged.
    """
    if not len(stratum):
        return float("nan"), float("nan")
    judged = np.bincount(stratum, minlength=len(sizes))
    found = np.bincount(stratum, weights=relevant, minlength=len(sizes))
    merged = _merged(judged)
    sizes, judged, found = _with_judgements(sizes, judged, found)
    weight = sizes / sizes.sum()
    rate = float(np.clip(weight @ (found / judged), 0, 1))
    alone = _effective(weight, judged, found, np.ones(len(judged)), rate)
    place = np.searchsorted(np.unique(merged), merged)[stratum]
    residual = (weight / judged)[place] * (relevant - (found / judged)[place])
    _, cluster = np.unique(query, return_inverse=True)
    total = np.bincount(cluster, weights=residual)
    variance = float((total**2).sum()) * len(total) / max(len(total) - 1, 1)
    clustered = rate * (1 - rate) / variance if variance > 0 else np.inf
    return wilson(rate, min(alone, clustered))


def wilson(rate: float, count: float) -> tuple[float, float]:
    """95% interval of a proportion ``rate`` of ``count`` trials; the rate itself when ``count`` is infinite.

    The score interval (Wilson 1927). With up to three hits its lower bound is that of a Poisson count, as the
    score interval does not reach down to small rates then (Brown, Cai and DasGupta 2001); with none the upper
    bound is at least the exact one (Clopper and Pearson 1934). Likewise where nearly all are hits.
    """
    if np.isinf(count):
        return rate, rate
    return _lower(rate, count), 1 - _lower(1 - rate, count)


def _lower(rate: float, count: float) -> float:
    if rate <= 0:
        return 0.0
    z = float(ndtri(_LEVEL))
    middle = rate + z**2 / (2 * count)
    half = z * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    low = float((middle - half) / (1 + z**2 / count))
    if rate >= 1:
        return min(low, (1 - _LEVEL) ** (1 / count))
    hits = rate * count
    return min(low, float(gammaincinv(hits, _POISSON)) / count) if hits <= _FEW else low


def _effective(
    weight: np.ndarray, judged: np.ndarray, relevant: np.ndarray, remaining: np.ndarray, rate: float
) -> float:
    """As many judgements of a simple random sample as would tell as much; infinite when all were judged.

    ``remaining`` (h,) is the share of each stratum that counts as not seen.
    """
    n = judged.sum()
    if 0 < rate < 1:
        expected = (rate * n + 0.5) / (n + 1)
        p = (relevant + _SMOOTHING * expected) / (judged + _SMOOTHING)
        variance = (weight**2 * remaining * p * (1 - p) / np.maximum(judged - 1, 1)).sum()
        count = rate * (1 - rate) / variance if variance > 0 else np.inf
    else:  # no variance to be seen: that of equal rates in all strata
        spread = (weight**2 * remaining / judged).sum()
        count = 1 / spread if spread > 0 else np.inf
    return float(count)


def _merged(judged: np.ndarray) -> np.ndarray:
    """For each stratum the nearest one with a judgement, itself if it has one: (h,)."""
    having = np.flatnonzero(judged)
    return having[np.abs(np.arange(len(judged))[:, None] - having).argmin(axis=1)]


def _with_judgements(sizes: np.ndarray, *counts: np.ndarray) -> Sequence[np.ndarray]:
    """``sizes`` and ``counts`` (the judged first) over strata with judgements; others are added to the nearest."""
    judged = counts[0]
    there = (sizes > 0) & (judged > 0)
    merged = _merged(there)
    added = np.bincount(merged, weights=sizes, minlength=len(sizes))
    return [added[there], *(column[there].astype(np.float64) for column in counts)]
