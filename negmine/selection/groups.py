"""Passages that belong together: chunks of one document, texts of one product."""

from __future__ import annotations

import numpy as np

from negmine.arrays import expand, spans


def same_group(
    query: np.ndarray,
    passage: np.ndarray,
    of_query: np.ndarray,
    of_passage: np.ndarray,
    row_passage: np.ndarray,
    row_value: np.ndarray,
    passages: int,
) -> np.ndarray:
    """Whether a candidate shares a value with a positive of its query: bool (n,).

    Candidates (query, passage) and positives (of_query, of_passage) are pairs of numbers. Documents
    (row_passage, row_value) say which values a passage has; a negative value is none.
    """
    known = row_value >= 0
    owner, value = row_passage[known], row_value[known]
    order = np.argsort(owner, kind="stable")
    value = value[order]
    offsets = spans(owner[order], passages)
    width = int(value.max(initial=0)) + 1

    def values_of(group: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For every value of the passages: which of them has it, and (group, value) as one key."""
        which = np.repeat(np.arange(len(numbers)), np.diff(offsets)[numbers])
        return which, group[which].astype(np.int64) * width + value[expand(offsets, numbers)]

    _, wanted = values_of(of_query, of_passage)
    which, keys = values_of(query, passage)
    shared = np.zeros(len(query), bool)
    shared[which[np.isin(keys, wanted)]] = True
    return shared
