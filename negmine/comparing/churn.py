"""How much lists of negatives differ, query by query: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS = 10


@dataclass(frozen=True)
class Overlap:
    """Per matched query (m,): how many negatives both runs have, and how many each one has."""

    both: np.ndarray
    in_a: np.ndarray
    in_b: np.ndarray

    @property
    def jaccard(self) -> np.ndarray:
        """|A and B| / |A or B| (Jaccard 1912): float64 (m,); 1 where neither run has any."""
        union = self.in_a + self.in_b - self.both
        return np.divide(self.both, union, out=np.ones(len(union)), where=union > 0)

    @property
    def changed(self) -> np.ndarray:
        """How many negatives only one of the runs has: int64 (m,)."""
        return self.in_a + self.in_b - 2 * self.both


def overlap(query_a: np.ndarray, common_a: np.ndarray, query_b: np.ndarray, queries: int) -> Overlap:
    """Count the negatives of matched queries.

    ``query_a`` (n,) and ``query_b`` (k,) are the places of negatives among the ``queries`` matched ones, -1 for a
    query that only one run has; ``common_a`` (n,) marks those of run A that run B has too.
    """
    own = query_a >= 0
    return Overlap(
        both=np.bincount(query_a[own & common_a], minlength=queries),
        in_a=np.bincount(query_a[own], minlength=queries),
        in_b=np.bincount(query_b[query_b >= 0], minlength=queries),
    )


def most_changed(found: Overlap, count: int) -> np.ndarray:
    """Places of the ``count`` queries that changed most, of those that did.

    By the least Jaccard index, then by the number of negatives that differ, then in the order of the queries.
    """
    order = np.lexsort((-found.changed, found.jaccard))[:count]
    return order[found.changed[order] > 0]


def summary(values: np.ndarray) -> dict[str, Any]:
    """Count, mean and quantiles of some values (n,); those that are not finite are left out."""
    values = values[np.isfinite(values)]
    names = [f"p{round(share * 100):02d}" for share in QUANTILES]
    if not len(values):
        return {"count": 0, "mean": None, **dict.fromkeys(names)}
    quantiles = np.quantile(values, QUANTILES).tolist()
    return {"count": len(values), "mean": float(values.mean()), **dict(zip(names, quantiles, strict=True))}


def histogram(jaccard: np.ndarray) -> Mapping[str, Any]:
    """Queries by their Jaccard index: ten bins of [0, 1), and those with exactly 1."""
    below = jaccard[jaccard < 1]
    counts = np.bincount(np.minimum((below * _BINS).astype(np.int64), _BINS - 1), minlength=_BINS)
    edges = [place / _BINS for place in range(_BINS + 1)]
    return {"edges": edges, "counts": counts.tolist(), "unchanged": len(jaccard) - len(below)}
