"""How many of a query's true nearest passages a search finds, measured on a sample of queries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from negmine.retrieval.exact import Neighbours
from negmine.retrieval.list_costs import SAMPLE_QUERIES

_Z = 1.6448536269514722
"""The standard normal distribution stays below this with a probability of 95%."""


@dataclass(frozen=True)
class Measured:
    """Recall of a search with these parameters: mean over the sampled queries, and the value that
    the mean over all queries exceeds with a confidence of 95%."""

    parameters: dict[str, int]
    mean: float
    lower_bound: float


def draw_queries(keys: np.ndarray) -> np.ndarray:
    """Rows (s,), ascending, of the queries to measure on: the least random ``keys`` uint64 (q,)."""
    return np.sort(np.argsort(keys, kind="stable")[:SAMPLE_QUERIES])


def recalls(found: Neighbours, exact: Neighbours, queries: int) -> np.ndarray:
    """Share of each query's ``exact`` passages that are among those found: float64 (queries,)."""
    width = int(max(found.passage.max(initial=0), exact.passage.max(initial=0))) + 1
    there = np.isin(exact.query * width + exact.passage, found.query * width + found.passage)
    wanted = np.bincount(exact.query, minlength=queries)
    return np.bincount(exact.query, weights=there, minlength=queries) / np.maximum(wanted, 1)


def measured(parameters: dict[str, int], each: np.ndarray, population: int, k: int) -> Measured:
    """From the recalls (s,) of queries drawn without replacement from ``population``.

    The bound is the one-sided normal one with the correction for finite populations (Cochran 1977,
    section 2.8): a sample of all queries leaves nothing to doubt. It is at least as far below the mean
    as the rule of three puts it for s * k passages without a miss (Hanley and Lippman-Hand 1983).
    """
    count = len(each)
    mean = float(each.mean())
    deviation = float(each.std(ddof=1)) if count > 1 else 0.5
    left = (population - count) / max(population - 1, 1)
    below = max(_Z * deviation * math.sqrt(left / count), 3 * left / (count * k))
    return Measured(parameters, mean, max(mean - below, 0.0))


def first_that_meets(
    ladder: Iterable[dict[str, int]],
    search: Callable[[dict[str, int]], Neighbours],
    exact: Neighbours,
    *,
    target: float,
    population: int,
    k: int,
) -> list[Measured]:
    """Measure parameters, cheapest first, until the lower bound reaches ``target``.

    As recall grows along the ladder, the bound of the parameters it ends at holds like that of
    parameters fixed before: one that falls short passes only if the last one that does, does.
    """
    tried: list[Measured] = []
    queries = int(exact.query[-1]) + 1
    for parameters in ladder:
        tried.append(measured(parameters, recalls(search(parameters), exact, queries), population, k))
        if tried[-1].lower_bound >= target:
            break
    return tried


def fewest_lists(
    exact: Neighbours, in_list: np.ndarray, place: np.ndarray, most: int, *, target: float, population: int, k: int
) -> list[Measured]:
    """The least ``nprobe`` whose lower bound reaches ``target``, else ``most``; and half of it before.

    ``in_list`` (n,) is the list of each passage in ``exact``, ``place`` (q, l) the order in which a
    query looks into lists. A passage is found when its list is: no search is needed.
    """
    needed = place[exact.query, in_list]
    wanted = np.bincount(exact.query, minlength=len(place))

    def at(nprobe: int) -> Measured:
        found = np.bincount(exact.query, weights=needed < nprobe, minlength=len(place))
        return measured({"nprobe": nprobe}, found / np.maximum(wanted, 1), population, k)

    tried = []
    low, high = 0, 1
    while high < most:
        tried.append(at(high))
        if tried[-1].lower_bound >= target:
            break
        low, high = high, min(2 * high, most)
    else:
        tried.append(at(most))
        if tried[-1].lower_bound < target:
            return tried
        high = most
    while high - low > 1:
        middle = (low + high) // 2
        tried.append(at(middle))
        low, high = (low, middle) if tried[-1].lower_bound >= target else (middle, high)
    if tried[-1].parameters["nprobe"] != high:
        tried.append(at(high))
    return tried
