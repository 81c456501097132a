"""Differences between arms: intervals, permutation tests, Holm's correction."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmine.evaluation.significance import (
    difference,
    drawn_means,
    holm,
    interval,
    permutation_p,
    share_interval,
    verdict,
)


def exact_p(delta: np.ndarray, groups: np.ndarray) -> float:
    """All ways to flip whole groups, one by one."""
    names = np.unique(groups)
    null = []
    for signs in itertools.product((1, -1), repeat=len(names)):
        of = dict(zip(names.tolist(), signs, strict=True))
        null.append(np.mean([of[g] * d for g, d in zip(groups.tolist(), delta.tolist(), strict=True)]))
    return float(np.mean(np.abs(null) >= abs(delta.mean()) - 1e-12))


@pytest.mark.parametrize("seed", range(5))
def test_the_permutation_test_is_exact_for_few_groups(seed: int) -> None:
    """With ten groups every sign pattern is tried, and a group's queries flip together."""
    random = np.random.default_rng(seed)
    groups = random.integers(0, 10, 25)
    delta = random.normal(0.2, 1, 25)
    assert permutation_p(delta, groups) == pytest.approx(exact_p(delta, groups))


def test_many_groups_are_drawn() -> None:
    """The p of a thousand queries is that of the t-test, nearly, and the same each time."""
    from scipy.stats import ttest_1samp

    delta = np.random.default_rng(3).normal(0.06, 1, 1000)
    p = permutation_p(delta, np.arange(1000))
    assert p == pytest.approx(ttest_1samp(delta, 0).pvalue, abs=0.01)
    assert p == permutation_p(delta, np.arange(1000))


def test_no_difference_has_p_1() -> None:
    """Equal arms, such as two whose best step is the start, are not told apart."""
    same = np.random.default_rng(0).random((2, 30))
    found = difference(same, same, np.arange(30))
    assert (found.effect, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_groups_make_a_result_less_certain() -> None:
    """Ten copies of ten queries are ten queries: their interval is theirs, and so is p."""
    delta = np.random.default_rng(1).normal(0.5, 1, 10)
    copied, groups = np.repeat(delta, 10), np.repeat(np.arange(10), 10)
    assert permutation_p(copied, groups) == permutation_p(delta, np.arange(10))
    assert interval(copied[None], groups) == pytest.approx(interval(delta[None], np.arange(10)))
    low, high = interval(copied[None], np.arange(100))
    assert high - low < 0.5 * np.subtract(*interval(copied[None], groups)[::-1])


def test_the_interval_is_that_of_the_normal_for_many_queries() -> None:
    """Of one seed: mean +- 1.96 standard errors."""
    values = np.random.default_rng(2).normal(0.3, 1, (1, 2_000))
    low, high = interval(values, np.arange(2_000))
    error = values.std() / np.sqrt(2_000)
    assert [low, high] == pytest.approx([values.mean() - 1.96 * error, values.mean() + 1.96 * error], abs=0.1 * error)


def test_seeds_are_drawn_as_well() -> None:
    """Seeds that differ widen the interval."""
    values = np.zeros((4, 500)) + np.array([0.0, 0.1, 0.2, 0.3])[:, None]
    low, high = interval(values, np.arange(500))
    assert low < 0.09
    assert high > 0.21


def test_draws_are_paired() -> None:
    """The share of a whole that is twice the part is one half in every draw."""
    whole = np.random.default_rng(4).normal(1, 0.1, (3, 40))
    assert share_interval(whole / 2, whole, np.arange(40)) == pytest.approx((0.5, 0.5))
    assert np.array_equal(drawn_means(whole, np.arange(40)), drawn_means(whole, np.arange(40)))


def test_holm_by_hand() -> None:
    """The example of Holm's procedure: the least p times 4, the next times 3, and never falling."""
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_alone_and_bonferroni(p: list[float]) -> None:
    """An adjusted p is at least the plain one, at most Bonferroni's, and keeps the order."""
    plain = np.array(p)
    adjusted = holm(plain)
    assert (adjusted >= plain).all()
    assert (adjusted <= np.minimum(plain * len(plain), 1) + 1e-12).all()
    order = np.argsort(plain, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


@pytest.mark.parametrize(
    ("effect", "p", "said"), [(0.1, 0.01, "better"), (-0.1, 0.01, "worse"), (0.1, 0.05, "no different")]
)
def test_verdicts(effect: float, p: float, said: str) -> None:
    """A verdict needs p below 5%; then the sign decides."""
    assert verdict(effect, p) == said
