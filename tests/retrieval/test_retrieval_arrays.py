"""What many pairs are computed with: every row once, and every number as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmine.arrays import dots, runs_of_equal_length


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 12)), max_size=20), st.integers(1, 9))
def test_every_row_is_in_one_group_beside_rows_of_its_run(runs: list[tuple[int, int]], most: int) -> None:
    """Runs may come in any order and a value may come back."""
    group = np.repeat([value for value, _ in runs], [length for _, length in runs]).astype(np.int64)
    found = list(runs_of_equal_length(group, most))
    rows = np.concatenate([each.ravel() for each in found]) if found else np.empty(0, np.int64)
    assert sorted(rows.tolist()) == list(range(len(group)))
    for each in found:
        assert 0 < each.size <= most
        assert (np.diff(each, axis=1) == 1).all()
        assert (group[each] == group[each[:, :1]]).all()


def test_runs_of_one_length_are_together() -> None:
    """As many as there is room for, whatever lies between them."""
    found = list(runs_of_equal_length(np.array([7, 7, 3, 8, 8, 5, 5, 2]), 4))
    assert [each.tolist() for each in found] == [[[2], [7]], [[0, 1], [3, 4]], [[5, 6]]]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("dimension", [1, 2, 7, 384, 4096, 4097, 20_001])
def test_a_dot_product_does_not_depend_on_what_is_computed_beside_it(kind: type, dimension: int) -> None:
    """Nor on the shape of the arrays, or where in memory they begin."""
    rng = np.random.default_rng(dimension)
    left, right = (rng.standard_normal(shape).astype(kind) for shape in ((3, 1, dimension), (3, 5, dimension)))
    together = dots(left, right)
    assert together.shape == (3, 5)
    assert together.dtype == kind
    np.testing.assert_allclose(together, (left * right).sum(axis=2), rtol=1e-3, atol=1e-3)
    moved = np.concatenate([np.zeros(1, kind), right.ravel()])[1:].reshape(right.shape)
    np.testing.assert_array_equal(dots(left, moved), together)
    for q in range(3):
        np.testing.assert_array_equal(dots(left[q], right[q]), together[q])
        for n in range(5):
            assert dots(left[q, 0], right[q, n]) == dots(left[q], right[q, n : n + 1])[0] == together[q, n]
