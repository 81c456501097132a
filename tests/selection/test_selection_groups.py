"""Candidates that share a group with a positive."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from negmine.selection.groups import same_group

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=12)


@given(
    candidates=PAIRS,
    positives=PAIRS,
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 3)), max_size=12),
)
def test_same_group_equals_brute_force(
    candidates: list[tuple[int, int]], positives: list[tuple[int, int]], rows: list[tuple[int, int]]
) -> None:
    def column(pairs: list[tuple[int, int]], place: int) -> np.ndarray:
        return np.array([pair[place] for pair in pairs], np.int64)

    got = same_group(
        column(candidates, 0),
        column(candidates, 1),
        column(positives, 0),
        column(positives, 1),
        column(rows, 0),
        column(rows, 1),
        6,
    )

    def values(passage: int) -> set[int]:
        return {value for owner, value in rows if owner == passage and value >= 0}

    expected = [any(values(p) & values(c) for of, p in positives if of == q) for q, c in candidates]
    assert got.tolist() == expected
