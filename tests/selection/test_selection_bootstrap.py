"""Intervals of a ratio over queries."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest

from negmine.selection.bootstrap import DRAWS, bootstrap_ratio


def test_nothing_to_divide_by_has_no_interval() -> None:
    assert all(map(math.isnan, bootstrap_ratio(np.zeros(5), np.zeros(5))))
    assert all(map(math.isnan, bootstrap_ratio(np.zeros(0), np.zeros(0))))


@pytest.mark.parametrize("value", [1, 3])
def test_queries_that_are_all_alike_have_no_spread(value: int) -> None:
    assert bootstrap_ratio(np.full(30, value), np.full(30, 4)) == (value / 4, value / 4)


def test_one_query_has_no_spread() -> None:
    assert bootstrap_ratio(np.array([2]), np.array([5])) == (0.4, 0.4)


def test_draws_without_any_denominator_are_left_out() -> None:
    """One query of many has something to count: over a third of the draws miss it."""
    numerator, denominator = np.zeros(50), np.zeros(50)
    numerator[7], denominator[7] = 1, 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bootstrap_ratio(numerator, denominator) == (0.5, 0.5)


def chance(hits: int, trials: int, p: Fraction) -> Fraction:
    """P(exactly so many hits), by the binomial formula."""
    return math.comb(trials, hits) * p**hits * (1 - p) ** (trials - hits)


@pytest.mark.parametrize("trials", [1, 2, 5, 40])
def test_no_hit_and_nothing_but_hits_have_the_exact_binomial_bound(trials: int) -> None:
    """At the bound, what was seen has a chance of 2.5%; queries without a denominator are no trials."""
    totals = np.array([3, 0, 1, 0, 2] * trials)
    totals *= np.cumsum(totals > 0) <= trials
    low, high = bootstrap_ratio(np.zeros(len(totals)), totals)
    assert low == 0
    assert float(chance(0, trials, Fraction(high))) == pytest.approx(0.025)
    low, high = bootstrap_ratio(totals, totals)
    assert high == 1
    assert float(chance(trials, trials, Fraction(low))) == pytest.approx(0.025)


def test_bounds_are_plain_numbers() -> None:
    for numerator in ([0, 0], [1, 0], [1, 1]):
        assert all(type(bound) is float for bound in bootstrap_ratio(np.array(numerator), np.array([1, 1])))


@pytest.mark.parametrize("queries", [1, 2, 7, 600, 1_501])
def test_draws_are_those_of_one_at_a_time(queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are drawn at once."""
    rng = np.random.default_rng(queries)
    totals = rng.integers(2, 6, queries)
    hits = totals // 2
    rng = np.random.default_rng(3)
    drawn = [rng.integers(0, queries, queries) for _ in range(DRAWS)]
    expected = np.quantile([hits[row].sum() / totals[row].sum() for row in drawn], [0.025, 0.975])
    for chunk in (1, 10 * queries + 1, 1_000_000):
        monkeypatch.setattr("negmine.selection.bootstrap._CHUNK", chunk)
        assert bootstrap_ratio(hits, totals, seed=3) == tuple(expected)


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(1)
    counts, totals = rng.integers(0, 3, 80), np.full(80, 5)
    assert bootstrap_ratio(counts, totals) == bootstrap_ratio(counts, totals)
    assert bootstrap_ratio(counts, totals) != bootstrap_ratio(counts, totals, seed=1)


def test_the_interval_is_as_wide_as_the_normal_one() -> None:
    """For many independent queries of one kind, rate +- 1.96 standard errors."""
    rng = np.random.default_rng(5)
    hits = rng.random(3_000) < 0.2
    low, high = bootstrap_ratio(hits.astype(int), np.ones(3_000))
    error = math.sqrt(hits.mean() * (1 - hits.mean()) / 3_000)
    assert low == pytest.approx(hits.mean() - 1.96 * error, abs=error / 5)
    assert high == pytest.approx(hits.mean() + 1.96 * error, abs=error / 5)


def test_candidates_of_one_query_do_not_count_as_independent() -> None:
    """50 queries whose 20 candidates agree: as wide as for 50 observations, not 1,000."""
    leaks = np.arange(50) < 10
    clustered = bootstrap_ratio(20 * leaks, np.full(50, 20))
    single = bootstrap_ratio(leaks.astype(int), np.ones(50))
    assert clustered == pytest.approx(single)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Queries with different numbers of hidden positives and a leak of their own."""
    rng = np.random.default_rng(9)
    covered = 0
    for draw in range(60):
        totals = rng.integers(0, 6, 150)
        leak = rng.beta(1, 4, 150)
        low, high = bootstrap_ratio(rng.binomial(totals, leak), totals, seed=draw)
        covered += low <= 0.2 <= high
    assert covered >= 50  # 57 are expected; fewer than 50 happen once in 10,000
