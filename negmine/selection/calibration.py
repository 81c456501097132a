"""Limits that are chosen from the run's own scores instead of by guessing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def calibration_needed(rate: float) -> int:
    """How many queries with a hidden positive a leak rate needs."""
    return math.ceil(1 / rate - 1 - 1e-9)


def calibration_half(query_key: np.ndarray) -> np.ndarray:
    """Which queries to calibrate on, so that the others can be measured on: bool (q,), the half by hash."""
    half = np.zeros(len(query_key), bool)
    half[np.argsort(query_key, kind="stable")[::2]] = True
    return half


def leak_margin(reference: np.ndarray, hidden: np.ndarray, rate: float) -> float:
    """The margin that at most ``rate`` of hidden positives pass: split conformal prediction.

    For N queries of which one positive was hidden: its score ``hidden`` (N,) and the ``reference`` score
    (N,) of the remaining ones. A candidate passes when reference - score is greater than the margin m,
    the ceil((N + 1) (1 - rate))-th smallest reference - hidden; then a further hidden positive passes
    with a probability of at most ``rate`` (Vovk, Gammerman and Shafer 2005; Angelopoulos and Bates
    2021, appendix D). Raises ValueError when N is below ``calibration_needed``.
    """
    gaps = np.sort(reference - hidden)
    place = math.ceil((len(gaps) + 1) * (1 - rate) - 1e-9)
    if not 1 <= place <= len(gaps):
        raise ValueError(f"{len(gaps)} hidden positives are too few for a leak rate of {rate:g}")
    return float(gaps[place - 1])


def least_limit(values: np.ndarray, enough: Callable[[float], bool]) -> float:
    """The least of the sorted ``values`` (n,) for which ``enough`` holds, infinite when none does.

    ``enough`` must hold for everything above a value that it holds for.
    """
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if enough(float(values[middle])):
            high = middle
        else:
            low = middle + 1
    return float(values[low]) if low < len(values) else math.inf


def greatest_limit(values: np.ndarray, allowed: Callable[[float], bool]) -> float:
    """The greatest of the sorted ``values`` (n,) for which ``allowed`` holds, minus infinity when none does.

    ``allowed`` must hold for everything below a value that it holds for.
    """
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if allowed(float(values[middle])):
            low = middle + 1
        else:
            high = middle
    return float(values[low - 1]) if low else -math.inf


def candidate_limits(risk: np.ndarray) -> np.ndarray:
    """At most 4,096 values of ``risk`` (n,) to choose a limit from, ascending: its quantiles."""
    ordered = np.unique(risk)
    if len(ordered) <= 4096:
        return ordered
    return ordered[np.unique(np.linspace(0, len(ordered) - 1, 4096).astype(np.int64))]
