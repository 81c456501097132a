"""Queries for training and queries to test on, so that nothing one side has seen is on the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from negmine.selection.random import mix


@dataclass(frozen=True)
class Split:
    """``dev`` (q,) says which queries are held out; ``components`` counts the groups of queries that must
    stay together, and ``largest`` the queries of the largest one, which is always in train."""

    dev: np.ndarray
    components: int
    largest: int

    @property
    def share(self) -> float:
        """Share of the queries that is held out."""
        return float(self.dev.mean()) if len(self.dev) else 0.0


def split_queries(query: np.ndarray, shared: np.ndarray, queries: int, hashes: np.ndarray, share: float) -> Split:
    """Holds out about ``share`` of the queries; a thing that several queries have is on one side.

    Each row says that query number ``query`` (p,) has ``shared`` (p,): the number of a positive passage, or of
    any other thing that must not be on both sides, such as a text. Numbers need not be dense, rows may repeat
    and come in any order. ``hashes`` uint64 (queries,) are one random number per query.

    Queries that share something, directly or through others, are one component. Components come in an
    order that follows from the hashes alone; one is held out when that brings the number of queries
    held out nearer to ``share * queries`` or leaves it as near, else it stays in train and the next is looked
    at. So the number is never above by more than half a component. The largest component (the last one in
    the order where there are several) stays in train, so that train is never empty; dev may be.
    """
    component, count = _components(query, shared, queries)
    sizes = np.bincount(component, minlength=count)
    least = np.full(count, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, component, hashes.astype(np.uint64))
    order = np.argsort(mix(least), kind="stable")  # mixed again: a large component has a small least hash
    if count:
        order = np.delete(order, np.flatnonzero(sizes[order] == sizes.max())[-1])
    held = np.zeros(count, bool)
    held[order[_nearest(sizes[order], share * queries)]] = True
    return Split(held[component], count, int(sizes.max(initial=0)))


def _components(query: np.ndarray, shared: np.ndarray, queries: int) -> tuple[np.ndarray, int]:
    """The component of each query (queries,) and how many there are."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    things, thing = np.unique(shared, return_inverse=True)
    nodes = queries + len(things)
    graph = coo_array((np.ones(len(query), bool), (query, queries + thing)), shape=(nodes, nodes))
    _, labels = connected_components(graph, directed=False)
    found, component = np.unique(labels[:queries], return_inverse=True)
    return component, len(found)


def _nearest(sizes: np.ndarray, target: float) -> np.ndarray:
    """Rows taken one after the other, each when its half still fits below ``target``; the others are passed over."""
    taken: list[np.ndarray] = []
    rows = np.arange(len(sizes))
    while len(rows := rows[sizes[rows] <= 2 * target]):
        # All up to the first that does not fit are taken at once; each round is rid of a size for good.
        total = np.cumsum(sizes[rows])
        fits = total - sizes[rows] / 2 <= target
        until = len(rows) if fits.all() else int(np.argmin(fits))
        taken.append(rows[:until])
        target -= total[until - 1]
        rows = rows[until + 1 :]
    return np.concatenate([*taken, np.empty(0, np.int64)])
