"""Small operations on grouped arrays that several rooms need."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_AT_ONCE = 4096
"""Products added up in one go: beyond its buffer of 8,192 numbers numpy adds in an order that depends on the shape."""


def dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Dot products along the last axis of arrays (..., d) of one type, which are broadcast: (...).

    Each is computed by the same sequence of operations, whatever is computed beside it.
    """
    pieces = [slice(low, low + _AT_ONCE) for low in range(0, left.shape[-1], _AT_ONCE)]
    total: np.ndarray = np.einsum("...d,...d->...", left[..., pieces[0]], right[..., pieces[0]])
    for piece in pieces[1:]:
        total = total + np.einsum("...d,...d->...", left[..., piece], right[..., piece])
    return total


def positions(group: np.ndarray) -> np.ndarray:
    """Place (0-based) of each row among the rows of its group; ``group`` (n,) is contiguous."""
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]])[: len(group)])
    return np.arange(len(group)) - np.repeat(starts, np.diff(starts, append=len(group)))


def spans(group: np.ndarray, groups: int) -> np.ndarray:
    """Offsets (groups + 1,) of each group's rows; ``group`` (n,) is ascending."""
    return np.searchsorted(group, np.arange(groups + 1))


def expand(offsets: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Row numbers of the groups ``which`` one after the other, by the groups' ``offsets``."""
    counts = (offsets[1:] - offsets[:-1])[which]
    total = int(counts.sum())
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return np.arange(total) - before + np.repeat(offsets[:-1][which], counts)


def runs_of_equal_length(group: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Rows (g, w) of runs of equal values in ``group`` (n,), those together whose length is the same; runs of more than
    ``most`` rows in pieces. Each matrix has ``most`` rows at most, and every row is in one of them."""
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]])[: len(group)])
    lengths = np.diff(starts, append=len(group))
    for length in np.unique(lengths).tolist():
        firsts = starts[lengths == length]
        for piece in range(0, length, most):
            places = np.arange(piece, min(piece + most, length))
            together = max(most // len(places), 1)
            for low in range(0, len(firsts), together):
                yield firsts[low : low + together, None] + places


def find_pairs(
    query: np.ndarray, passage: np.ndarray, of_query: np.ndarray, of_passage: np.ndarray, passages: int
) -> np.ndarray:
    """Row of each (query, passage) in the pairs (of_query, of_passage), -1 where it is not: (n,).

    The pairs must be sorted by query, then passage, without repetitions.
    """
    if not len(of_query):
        return np.full(len(query), -1)
    keys = query.astype(np.int64) * passages + passage
    among = of_query.astype(np.int64) * passages + of_passage
    place = np.searchsorted(among, keys)
    place[place == len(among)] = 0
    return np.where(among[place] == keys, place, -1)
