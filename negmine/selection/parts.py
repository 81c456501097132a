"""Documents in parts: which part of a positive document stands for it."""

from __future__ import annotations

import numpy as np


def best_parts(query: np.ndarray, document: np.ndarray, passage: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Rows of the best scored part of each (query, document), ascending; of equal ones the first: int64.

    Arrays (p,) over the parts. A passage that is the best of two documents of a query is there once.
    Called MaxP by Dai & Callan (2019), doi:10.1145/3331184.3331303.
    """
    if not len(query):
        return np.empty(0, np.int64)
    order = np.lexsort((np.arange(len(query)), -score, document, query))
    best = np.sort(order[_is_new(query[order], document[order])])
    order = best[np.lexsort((best, passage[best], query[best]))]
    rows: np.ndarray = np.sort(order[_is_new(query[order], passage[order])])
    return rows


def _is_new(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which rows (n,) differ from the one before: bool."""
    new = np.ones(len(first), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return new
