"""Strata, allocation and draw of an audit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmine.quality.design import allocation, draw, draw_keys, rank_band, sheet_order, strata

ONE = np.zeros(1000, np.int64)


def risks(seed=0, n=1000):
    return np.random.default_rng(seed).beta(0.5, 5, n)


def test_strata_are_bands_of_equal_size_by_risk():
    risk = risks()
    stratum = strata(risk, ONE, 200)
    assert np.bincount(stratum).tolist() == [200] * 5
    for number in range(4):
        assert risk[stratum == number].max() < risk[stratum == number + 1].min()


def test_strata_belong_to_the_negative_and_not_to_its_row():
    risk, order = risks(), np.random.default_rng(1).permutation(1000)
    assert (strata(risk, ONE, 200)[order] == strata(risk[order], ONE, 200)).all()


def test_equal_risks_are_one_stratum():
    assert set(strata(np.full(1000, 0.2), ONE, 200)) == {0}


def test_few_judgements_have_few_strata():
    assert len(set(strata(risks(), ONE, 25))) == 2
    assert len(set(strata(risks(), ONE, 10))) == 1


def test_retrievers_are_strata_of_their_own_unless_rare():
    retriever = np.repeat([0, 1, 2], [500, 490, 10])
    order = np.random.default_rng(2).permutation(1000)
    stratum = strata(risks(), retriever[order], 200)
    assert len(set(stratum)) == 10
    with_rare = set(stratum[retriever[order] == 2])
    assert with_rare <= set(stratum[retriever[order] != 2])


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.floats(0, 1)), min_size=1, max_size=12),
    st.integers(1, 5000),
)
def test_allocation_adds_up_and_fits(strata_, judgements):
    sizes, risk = np.array([s for s, _ in strata_]), np.array([r for _, r in strata_])
    counts = allocation(sizes, risk, judgements)
    assert counts.sum() == min(judgements, sizes.sum())
    assert (counts <= sizes).all()
    assert (counts >= 0).all()
    if judgements >= 2 * len(sizes):
        assert (counts >= np.minimum(2, sizes)).all()


def test_allocation_is_half_neyman_and_half_by_size():
    sizes, risk = np.array([1000, 1000]), np.array([0.1, 0.5])
    deviation = np.sqrt(risk * (1 - risk))
    expected = 100 * deviation / deviation.sum() + 50
    assert np.abs(allocation(sizes, risk, 200) - expected).max() <= 0.5


def test_a_stratum_thought_safe_is_looked_at_all_the_same():
    assert allocation(np.array([900, 100]), np.array([0.0, 0.5]), 100)[0] >= 45


def keys(seed=0, n=1000):
    return draw_keys(seed, np.arange(n, dtype=np.uint64) // 5, np.arange(n, dtype=np.uint64))


def test_a_draw_has_as_many_of_each_stratum_as_allotted():
    stratum = strata(risks(), ONE, 200)
    counts = np.array([10, 0, 30, 200, 1])
    rows = draw(stratum, counts, keys())
    assert np.bincount(stratum[rows], minlength=5).tolist() == counts.tolist()
    assert len(set(rows.tolist())) == len(rows)


def test_a_draw_takes_the_least_keys_of_each_stratum():
    stratum, key = strata(risks(), ONE, 200), keys()
    rows = draw(stratum, np.full(5, 7), key)
    expected = [row for h in range(5) for row in sorted(np.flatnonzero(stratum == h), key=lambda r: key[r])[:7]]
    assert rows.tolist() == expected


def test_a_draw_does_not_depend_on_the_order_of_rows():
    stratum, key = strata(risks(), ONE, 200), keys()
    order = np.random.default_rng(3).permutation(1000)
    again = order[draw(stratum[order], np.full(5, 20), key[order])]
    assert again.tolist() == draw(stratum, np.full(5, 20), key).tolist()


def test_every_negative_is_drawn_equally_often_over_seeds():
    stratum = np.zeros(50, np.int64)
    times = np.zeros(50)
    for seed in range(2000):
        times[draw(stratum, np.array([10]), keys(seed, 50))] += 1
    assert times.sum() == 20_000
    assert np.abs(times - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_the_order_of_a_sheet_does_not_follow_the_draw():
    query, passage = np.arange(1000, dtype=np.uint64) // 5, np.arange(1000, dtype=np.uint64)
    place = np.argsort(sheet_order(0, query, passage))
    assert abs(np.corrcoef(place, np.argsort(np.argsort(draw_keys(0, query, passage))))[0, 1]) < 0.1
    assert abs(np.corrcoef(place, np.arange(1000))[0, 1]) < 0.1


@pytest.mark.parametrize(("position", "band"), [(1, 0), (2, 1), (3, 1), (4, 2), (50, 2)])
def test_rank_bands(position, band):
    assert rank_band(np.array([position])).tolist() == [band]
