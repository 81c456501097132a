"""Which passages a row has: the ways to cut the positives and negatives of a query into rows."""

from __future__ import annotations

import numpy as np

from negmine.writers.base import Groups, Rows


def grouped(groups: Groups, *, one_positive: bool, size: int | None) -> Rows:
    """Rows of one positive of a query or of all, each with ``size`` of its negatives in turn, or with all (None).

    Row by row in the order of queries, positives, negatives. What has fewer negatives than ``size`` (or none) is
    left out and counted: a query with seven has two rows of three per positive, and one row is left out.
    """
    counts = groups.positives
    if one_positive:
        base_query = np.repeat(np.arange(len(counts)), counts)
        base_first, base_count = np.arange(len(base_query)), np.ones(len(base_query), np.int64)
    else:
        base_query = np.flatnonzero(counts)
        base_first, base_count = groups.positive_offsets[base_query], counts[base_query]
    has = groups.negatives[base_query]
    full = (has > 0).astype(np.int64) if size is None else has // size
    left_out = int(((full == 0) if size is None else (has % size > 0) | (has == 0)).sum())
    base = np.repeat(np.arange(len(base_query)), full)
    each = has[base] if size is None else np.full(len(base), size)
    turn = np.arange(len(base)) - np.repeat(np.cumsum(full) - full, full)
    first_negative = groups.negative_offsets[base_query[base]] + turn * each
    return _rows(base_query[base], (base_first[base], base_count[base]), (first_negative, each), left_out)


def every_positive(groups: Groups) -> Rows:
    """A row per positive, without negatives."""
    count = len(groups.positive_passage)
    query = np.repeat(np.arange(len(groups.positives)), groups.positives)
    none = np.zeros(count, np.int64)
    return _rows(query, (np.arange(count), none + 1), (none, none))


def every_negative(groups: Groups) -> Rows:
    """A row per negative, without a positive."""
    count = len(groups.negative_passage)
    query = np.repeat(np.arange(len(groups.negatives)), groups.negatives)
    none = np.zeros(count, np.int64)
    return _rows(query, (none, none), (np.arange(count), none + 1))


def every_passage(groups: Groups) -> Rows:
    """A row per positive, then one per negative, query by query."""
    positives, negatives = every_positive(groups), every_negative(groups)
    query = np.concatenate([positives.query, negatives.query])
    order = np.argsort(query, kind="stable")
    positive = np.concatenate([positives.positive, negatives.positive])[order]
    negative = np.concatenate([positives.negative, negatives.negative])[order]
    return Rows(query[order], np.arange(len(query) + 1), positive, negative)


def _rows(
    query: np.ndarray,
    positives: tuple[np.ndarray, np.ndarray],
    negatives: tuple[np.ndarray, np.ndarray],
    left_out: int = 0,
) -> Rows:
    """Rows of runs of positives and negatives, given as first rows (r,) and counts (r,) in the groups' arrays."""
    counts = np.stack([positives[1], negatives[1]], axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts.sum(axis=1))])
    is_positive = np.repeat(np.tile([True, False], len(query)), counts.ravel())
    positive, negative = np.full(len(is_positive), -1), np.full(len(is_positive), -1)
    positive[is_positive] = _runs(*positives)
    negative[~is_positive] = _runs(*negatives)
    return Rows(query, offsets, positive, negative, left_out)


def _runs(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers from each of ``first`` on, so many as ``counts`` says, one run after the other."""
    before = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) + np.repeat(first - before, counts)
