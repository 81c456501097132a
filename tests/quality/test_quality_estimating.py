"""Rates of a stratified sample, and intervals that hold what they say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from negmine.quality.estimating import new_queries_interval, stratified_rate, wilson


def rate_of(sizes, judged, relevant):
    return stratified_rate(np.array(sizes), np.array(judged), np.array(relevant))


@st.composite
def samples(draw):
    sizes = draw(st.lists(st.integers(1, 500), min_size=1, max_size=8))
    judged = [draw(st.integers(0, size)) for size in sizes]
    return sizes, judged, [draw(st.integers(0, count)) for count in judged]


@given(samples())
def test_the_interval_holds_the_rate_and_stays_in_bounds(sample):
    found = rate_of(*sample)
    if found.judged == 0:
        assert (found.rate, found.low, found.high) == (None, None, None)
    else:
        assert 0 <= found.low <= found.rate + 1e-9 <= found.high + 2e-9 <= 1 + 3e-9


@given(samples())
def test_the_other_answer_has_the_mirrored_interval(sample):
    sizes, judged, relevant = sample
    one = rate_of(*sample)
    other = rate_of(sizes, judged, [n - x for n, x in zip(judged, relevant, strict=True)])
    if one.judged:
        assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low), abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=6))
def test_a_census_has_no_error(strata):
    sizes = [size for size, _ in strata]
    relevant = [min(hits, size) for size, hits in strata]
    found = rate_of(sizes, sizes, relevant)
    assert found.low == found.high == found.rate == pytest.approx(sum(relevant) / sum(sizes))


def test_the_mean_over_all_samples_is_the_truth():
    truth = [np.array([1, 0, 0, 1, 0]), np.array([1, 0, 0])]
    judged = [2, 2]
    rates = []
    for chosen in itertools.product(
        *(itertools.combinations(range(len(y)), n) for y, n in zip(truth, judged, strict=True))
    ):
        hits = [y[list(rows)].sum() for y, rows in zip(truth, chosen, strict=True)]
        rates.append(rate_of([5, 3], judged, hits).rate)
    assert np.mean(rates) == pytest.approx(3 / 8)


@pytest.mark.parametrize("n", [20, 100, 200, 1000])
def test_none_of_many_does_not_mean_zero(n):
    found = rate_of([10**9], [n], [0])
    assert (found.rate, found.low) == (0, 0)
    assert 0.01 < (1 - found.high) ** n <= 0.02501  # what the upper end would still have shown as none


def test_none_found_says_less_when_a_large_stratum_was_hardly_looked_at():
    even, uneven = rate_of([1000, 1000], [50, 50], [0, 0]), rate_of([1000, 1000], [90, 10], [0, 0])
    assert uneven.high > 1.5 * even.high


def test_an_unjudged_stratum_is_taken_for_like_its_neighbour():
    assert rate_of([100, 100, 200], [10, 0, 20], [5, 0, 0]).rate == pytest.approx(0.5 * 0.5)


@pytest.mark.parametrize(("rate", "count"), [(0.05, 100), (0.4, 37.5), (0.9, 200)])
def test_wilson_solves_its_equation(rate, count):
    z = stats.norm.ppf(0.975)

    def distance(p):
        return (rate - p) ** 2 - z**2 * p * (1 - p) / count

    low, high = wilson(rate, count)
    assert low == pytest.approx(optimize.brentq(distance, 1e-12, rate))
    assert high == pytest.approx(optimize.brentq(distance, rate, 1 - 1e-12))


@pytest.mark.parametrize("hits", [1, 2, 3])
def test_few_hits_have_the_lower_bound_of_a_poisson_count(hits):
    assert wilson(hits / 200, 200)[0] == pytest.approx(stats.chi2.ppf(0.05, 2 * hits) / 400)


@pytest.mark.parametrize(
    ("rates", "judged"),
    [
        ([0.02, 0.02, 0.02, 0.02], [25, 25, 25, 25]),
        ([0.0, 0.0, 0.01, 0.2], [15, 20, 25, 40]),
        ([0.2, 0.01, 0.0, 0.0], [15, 20, 25, 40]),
        ([0.1, 0.3, 0.5, 0.7], [30, 45, 60, 65]),
    ],
)
def test_intervals_cover_the_truth_as_often_as_they_say(rates, judged):
    sizes = np.array([400, 400, 400, 400])
    hits = np.round(sizes * rates).astype(int)
    rng = np.random.default_rng(0)
    drawn = rng.hypergeometric(hits, sizes - hits, np.array(judged), (2000, 4))
    truth = hits.sum() / sizes.sum()
    found = [rate_of(sizes, judged, row) for row in drawn]
    covered = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.92 <= covered <= 0.98


def test_the_interval_for_further_queries_knows_that_answers_of_a_query_are_alike():
    """Where much of a run was judged, its own rate is known better than that of queries to come."""
    rng = np.random.default_rng(1)
    sizes, own, further = np.array([750]), [], []
    for _ in range(300):
        query = np.repeat(np.arange(150), 5)
        relevant = rng.random(750) < rng.choice([0.0, 0.6], 150)[query]
        rows = rng.permutation(750)[:500]
        low, high = new_queries_interval(sizes, np.zeros(500, int), query[rows], relevant[rows])
        further.append(low <= 0.3 <= high)
        found = rate_of(sizes, [500], [relevant[rows].sum()])
        own.append(found.low <= 0.3 <= found.high)
    assert 0.92 <= np.mean(further) <= 0.98
    assert np.mean(own) < 0.8


def test_no_judgement_has_no_interval_for_further_queries():
    nothing = np.zeros(0, int)
    assert np.isnan(new_queries_interval(np.array([5]), nothing, nothing, nothing)).all()
