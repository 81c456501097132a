"""Bootstrap intervals over queries: candidates of one query are not independent of each other."""

from __future__ import annotations

import numpy as np

DRAWS = 2_000
ENOUGH_QUERIES = 30
"""Queries from which on a share means much without its interval."""
_TAIL = 0.025
_CHUNK = 1_000_000
"""Queries drawn at once."""


def bootstrap_ratio(numerator: np.ndarray, denominator: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """95% interval of sum(numerator) / sum(denominator) over counts of queries (q,), numerator <= denominator.

    The percentile interval of ``DRAWS`` draws (Efron and Tibshirani 1993, chapter 13). Where no query has a
    hit, or all have nothing else, every draw is the same and would look certain; then it is the exact interval
    of a proportion (Clopper and Pearson 1934) whose trials are the queries with a denominator.
    (nan, nan) when the denominators are 0.
    """
    counted = denominator > 0
    trials = int(counted.sum())
    if trials == 0:
        return float("nan"), float("nan")
    if not numerator[counted].any():
        return 0.0, 1 - _TAIL ** (1 / trials)
    if np.array_equal(numerator[counted], denominator[counted]):
        return _TAIL ** (1 / trials), 1.0
    rng = np.random.default_rng(seed)
    queries = len(numerator)
    at_once = max(_CHUNK // queries, 1)
    rates = []
    for start in range(0, DRAWS, at_once):
        drawn = rng.integers(0, queries, (min(at_once, DRAWS - start), queries))
        above, below = numerator[drawn].sum(axis=1), denominator[drawn].sum(axis=1)
        rates.append(above[below > 0] / below[below > 0])
    low, high = np.quantile(np.concatenate(rates), [_TAIL, 1 - _TAIL])
    return float(low), float(high)
