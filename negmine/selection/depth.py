"""How deep a candidate list goes."""

from __future__ import annotations

import numpy as np

from negmine.arrays import positions


def within_depth(query: np.ndarray, excluded: np.ndarray, k: int | np.ndarray) -> np.ndarray:
    """Mask (n,) of each query's list down to its ``k``-th passage that is not excluded.

    ``query`` (n,) is grouped and best first; ``excluded`` (n,) marks passages that can never be
    negatives: they take no place of the ``k``, which may also be one for each row (n,).
    """
    counted = np.cumsum(~excluded)
    before_query = np.zeros(len(query), np.int64)
    firsts = np.flatnonzero(positions(query) == 0)
    before_query[firsts] = (counted - ~excluded)[firsts]
    before_query = np.maximum.accumulate(before_query)
    return counted - ~excluded - before_query < k
