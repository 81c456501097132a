"""Nothing that one side of the split has seen is on another."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.evaluation.split import DEV, TEST, TRAIN, split_sides


@settings(deadline=None)
@given(
    st.integers(1, 60).flatmap(
        lambda q: st.tuples(st.just(q), st.lists(st.tuples(st.integers(0, q - 1), st.integers(0, 40)), max_size=90))
    ),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
    st.integers(0, 5),
)
def test_no_positive_and_no_text_is_on_two_sides(
    data: tuple[int, list[tuple[int, int]]], dev: float, test: float, seed: int
) -> None:
    """Whatever is shared; and the same call splits the same way."""
    queries, pairs = data
    query, shared = np.array(pairs, np.int64).reshape(-1, 2).T
    hashes = np.random.default_rng(queries).integers(0, 2**63, queries).astype(np.uint64)
    sides = split_sides(query, shared, hashes, dev, test, seed)
    assert set(sides.tolist()) <= {TRAIN, DEV, TEST}
    assert (sides == TRAIN).any()
    for thing in np.unique(shared):
        assert len(set(sides[query[shared == thing]].tolist())) == 1
    assert np.array_equal(sides, split_sides(query, shared, hashes, dev, test, seed))


def test_shares_are_met_where_nothing_is_shared() -> None:
    """Queries of their own are split to the query."""
    hashes = np.random.default_rng(0).integers(0, 2**63, 1000).astype(np.uint64)
    sides = split_sides(np.arange(1000), np.arange(1000), hashes, 0.15, 0.3, 0)
    assert [int((sides == side).sum()) for side in (TRAIN, DEV, TEST)] == [550, 150, 300]
    other = split_sides(np.arange(1000), np.arange(1000), hashes, 0.15, 0.3, 1)
    assert not np.array_equal(sides, other)
