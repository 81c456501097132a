"""Whether the best of many settings is better by more than luck."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERMUTATIONS = 9_999
_CELLS = 4_000_000


def best_of_many(gains: np.ndarray, groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """p-values (m,) of gains over a reference, each adjusted for having looked at all m.

    ``gains`` (m, q) are differences of each query; queries of one group (q,) are not independent. One-sided: the
    chance that, were the signs of groups luck, any of the m had so large a t-statistic (single-step maxT of Westfall
    and Young 1993). It accounts for the settings being alike, and for the choice of the best on these queries.
    """
    _, place = np.unique(groups, return_inverse=True)
    sums = np.stack([np.bincount(place, weights=of) for of in gains])
    spread = np.sqrt((sums**2).sum(axis=1))
    scaled = np.divide(sums, spread[:, None], out=np.zeros_like(sums), where=spread[:, None] > 0)
    found, above = scaled.sum(axis=1), np.zeros(len(gains), np.int64)
    random = np.random.default_rng(seed)
    at_once = max(_CELLS // max(sums.shape[1], 1), 1)
    for start in range(0, PERMUTATIONS, at_once):
        signs = random.integers(0, 2, (min(at_once, PERMUTATIONS - start), sums.shape[1])) * 2.0 - 1
        most = (signs @ scaled.T).max(axis=1)
        above += (most[:, None] >= found[None, :] - 1e-12).sum(axis=0)
    adjusted: np.ndarray = (1 + above) / (PERMUTATIONS + 1)
    return adjusted


def first_best(values: Sequence[float]) -> int:
    """The place of the greatest value, of equal ones the first."""
    return int(np.argmax(np.array(values)))
