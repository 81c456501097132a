"""Randomness that belongs to a query and a passage, not to the order of the work.

Every draw is a hash of (seed, query, passage), so adding a query, cutting the work in other
pieces or running on more threads changes nothing for the others.
"""

from __future__ import annotations

import numpy as np


def mix(*values: np.ndarray | int) -> np.ndarray:
    """Uniform uint64 from integers, by the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    state = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for value in values:
            state = state + np.asarray(value).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def draw_passages(
    seed: int, query_key: np.ndarray, wanted: np.ndarray, taken: list[np.ndarray], passages: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each query ``wanted[q]`` distinct passages, uniform over those not in ``taken[q]``.

    Returns rows of queries and passage numbers; a query gets fewer when there are no more.
    """
    rows, chosen = [], []
    for row in np.flatnonzero(wanted):
        used = set(taken[row].tolist())
        count = min(int(wanted[row]), passages - len(used))
        counter = 0
        while count > 0:
            draws = mix(seed, query_key[row], np.arange(counter, counter + 4 * count)) % np.uint64(passages)
            counter += 4 * count
            for passage in draws.tolist():
                if count and passage not in used:
                    used.add(passage)
                    rows.append(int(row))
                    chosen.append(passage)
                    count -= 1
    return np.array(rows, np.int64), np.array(chosen, np.int64)
