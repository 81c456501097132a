"""Queries for training, for choosing (dev) and for the test, none of which knows anything of the others."""

from __future__ import annotations

import numpy as np

from negmine.selection.random import mix
from negmine.selection.split import split_queries

TRAIN, DEV, TEST = 0, 1, 2
SIDES = ("train", "dev", "test")


def split_sides(
    query: np.ndarray, shared: np.ndarray, hashes: np.ndarray, dev: float, test: float, seed: int
) -> np.ndarray:
    """The side of each query, int8 (q,): ``TRAIN``, ``DEV`` or ``TEST``.

    Each row says that query number ``query`` (p,) has ``shared`` (p,), which no query of another side may have;
    ``hashes`` uint64 (q,) are one random number per query. ``dev`` and ``test`` are about the shares of all queries,
    as near as the groups allow that belong together (see ``split_queries``); a side may be empty.
    """
    queries = len(hashes)
    keys = mix(seed, hashes)
    side = np.full(queries, TRAIN, np.int8)
    side[split_queries(query, shared, queries, keys, test).dev] = TEST
    left = np.flatnonzero(side == TRAIN)
    number = np.full(queries, -1)
    number[left] = np.arange(len(left))
    here = number[query] >= 0
    share = dev * queries / max(len(left), 1)
    found = split_queries(number[query[here]], shared[here], len(left), mix(1, keys[left]), min(share, 1.0))
    side[left[found.dev]] = DEV
    return side
