"""Choosing among survivors: the order in which a query would take them.

All arrays are parallel over candidates (n,), grouped by query and best first within a query.
Every draw is a hash of (seed, query, passage) and every statistic is summed within one query in
row order, so what a query takes does not depend on the others.
"""

from __future__ import annotations

import numpy as np

from negmine.arrays import positions
from negmine.selection.random import mix

STRATEGIES = ("top", "random", "softmax", "simans", "spread")


def places(
    strategy: str,
    query: np.ndarray,
    rows_among: np.ndarray,
    score: np.ndarray,
    reference: np.ndarray,
    query_key: np.ndarray,
    passage_key: np.ndarray,
    *,
    seed: int,
    num_negatives: int,
    temperature: float = 1.0,
    offset: float = 0.0,
) -> np.ndarray:
    """Place (0-based) of each marked row in its query's order of preference: int64 (n,), 0 elsewhere.

    ``rows_among`` (n,) marks the survivors; ``score`` and ``reference`` (n,) are finite, ``reference`` the
    same for all rows of a query. The first ``num_negatives`` places are those to take:

    - top: the best first;
    - random: uniform without replacement;
    - softmax: without replacement, p ~ exp(s / (temperature * sigma));
    - simans: without replacement, p ~ exp(-((s - reference) / sigma - offset)^2 / (2 * temperature)),
      SimANS (Zhou et al., EMNLP 2022) with a = 1 / (2 * sigma^2) and b = offset * sigma;
    - spread: one from each of ``num_negatives`` equal bands of rank, the hardest band first, then the
      rest at random. Band i of m survivors holds the ranks floor(i * m / N) <= r < floor((i + 1) * m / N).

    sigma is the population standard deviation of the query's survivors' scores, so that ``temperature`` (> 0)
    and ``offset`` have no unit; where it is 0 the draw is uniform. Raises ValueError for an unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}: one of {', '.join(STRATEGIES)}")
    place = np.zeros(len(query), np.int64)
    rows = np.flatnonzero(rows_among)
    if strategy == "top":
        place[rows] = positions(query[rows])
        return place
    among = query[rows]
    draw = mix(seed, query_key[rows], passage_key[rows])
    if strategy == "random":
        keys: tuple[np.ndarray, ...] = (draw, among)
    elif strategy == "spread":
        taken, band = _one_per_band(among, draw, num_negatives)
        keys = (np.where(taken, band.astype(np.uint64), draw), ~taken, among)
    else:
        aim = reference[rows] if strategy == "simans" else None
        weight = _log_weights(among, score[rows].astype(np.float64), aim, temperature, offset)
        keys = (-(weight + _gumbel(draw)), among)
    order = np.lexsort(keys)
    place[rows[order]] = positions(among[order])
    return place


def deviations(query: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score relative to the query's first row, and the standard deviation of its scores: float64 (n,) each.

    ``query`` (n,) is grouped. Equal scores give exactly 0. The sums run in row order within a query, hence
    are bit-equal whichever queries stand beside it.
    """
    first = np.arange(len(query)) - positions(query)
    relative = score - score[first]
    group = np.cumsum(first == np.arange(len(query))) - 1
    count = np.bincount(group)
    mean = np.bincount(group, weights=relative) / count
    variance = np.bincount(group, weights=np.square(relative - mean[group])) / count
    return relative, np.sqrt(variance)[group]


def _log_weights(
    query: np.ndarray, score: np.ndarray, reference: np.ndarray | None, temperature: float, offset: float
) -> np.ndarray:
    """Logarithm (n,) of each row's weight, up to a constant per query: simans with a reference, else softmax.

    Relative to the first row, so that a level common to all scores costs no digits of the difference:
    (z - offset)^2 - (z0 - offset)^2 = (z - z0) (z - z0 + 2 (z0 - offset)).
    """
    relative, sigma = deviations(query, score)
    unit = np.where(sigma > 0, sigma, 1.0)
    steps = relative / unit
    with np.errstate(over="ignore"):  # a temperature next to 0 may leave one choice only
        if reference is None:
            return steps / temperature
        beyond = (score - relative - reference) / unit - offset
        return -steps * (steps + 2 * beyond) / (2 * temperature)


def _gumbel(draw: np.ndarray) -> np.ndarray:
    """Gumbel noise from uint64: ordering by log weight + noise draws without replacement (Vieira 2014).

    52 bits and a half are exact in float64, hence the uniform number is never 0 or 1.
    """
    uniform = ((draw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return -np.log(-np.log(uniform))


def _one_per_band(query: np.ndarray, draw: np.ndarray, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row is the one drawn from its band, and the band: bool and int64 (n,)."""
    rank = positions(query)
    group = np.cumsum(rank == 0) - 1
    band = ((rank + 1) * bands - 1) // np.bincount(group)[group]
    order = np.lexsort((draw, band, group))
    taken = np.zeros(len(query), bool)
    ranked_group, ranked_band = group[order], band[order]
    opens = np.ones(len(query), bool)
    opens[1:] = (ranked_group[1:] != ranked_group[:-1]) | (ranked_band[1:] != ranked_band[:-1])
    taken[order[opens]] = True
    return taken, band
