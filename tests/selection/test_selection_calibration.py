"""Limits from a run's own scores: what they promise holds, by count and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.selection.calibration import (
    calibration_half,
    calibration_needed,
    candidate_limits,
    greatest_limit,
    leak_margin,
    least_limit,
)
from negmine.selection.random import mix

NONE = np.zeros(0)
eighths = st.integers(-24, 24).map(lambda n: n / 8)


def by_hand(gaps: list[float], rate: float) -> float | None:
    """The least gap that enough of N + 1 lie at or below, when the one more is counted as above all."""
    for margin in sorted(gaps):
        at_most = sum(gap <= margin for gap in gaps)
        if at_most >= (len(gaps) + 1) * (1 - rate) - 1e-9:
            return margin
    return None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(eighths, eighths), min_size=1, max_size=40),
    st.sampled_from([0.01, 0.05, 0.1, 0.25, 1 / 3, 0.5, 0.9, 0.99]),
)
def test_the_margin_is_the_least_that_leaks_no_more(pairs, rate) -> None:
    reference, hidden = (np.array(column) for column in zip(*pairs, strict=True))
    expected = by_hand((reference - hidden).tolist(), rate)
    if expected is None:
        assert len(pairs) < calibration_needed(rate)
        with pytest.raises(ValueError, match=rf"{len(pairs)} hidden positives are too few for a leak rate of {rate:g}"):
            leak_margin(reference, hidden, rate)
    else:
        assert len(pairs) >= calibration_needed(rate)
        margin = leak_margin(reference, hidden, rate)
        assert margin == expected
        assert np.count_nonzero(reference - hidden > margin) <= rate * (len(pairs) + 1)


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.2, 0.1, 0.05, 0.03, 0.01, 0.007, 0.001, 0.0001])
def test_exactly_as_many_are_needed_as_are_said_to_be(rate: float) -> None:
    needed = calibration_needed(rate)
    gaps = np.arange(needed, dtype=float)
    assert leak_margin(gaps, np.zeros(needed), rate) == needed - 1
    with pytest.raises(ValueError, match="too few"):
        leak_margin(gaps[1:], np.zeros(needed - 1), rate)


def test_none_is_too_few() -> None:
    with pytest.raises(ValueError, match=r"0 hidden positives are too few for a leak rate of 0\.1"):
        leak_margin(NONE, NONE, 0.1)


@pytest.mark.parametrize(("rate", "queries"), [(0.05, 60), (0.1, 45), (0.25, 33)])
@pytest.mark.parametrize("kind", ["normal", "ties", "heavy"])
def test_a_further_hidden_positive_leaks_at_most_at_the_rate(rate: float, queries: int, kind: str) -> None:
    """Over many calibrations the mean leak is between rate - 1/(N + 1) and the rate (exchangeability)."""
    rng = np.random.default_rng(17)
    draws = 6_000
    draw = {
        "normal": lambda shape: rng.normal(0.1, 0.05, shape),
        "ties": lambda shape: rng.integers(0, 6, shape) / 4,
        "heavy": rng.standard_cauchy,
    }[kind]
    gaps, further = draw((draws, queries)), draw(draws)
    leaked = [another > leak_margin(row, np.zeros(queries), rate) for row, another in zip(gaps, further, strict=True)]
    noise = 4 * math.sqrt(rate * (1 - rate) / draws)
    assert np.mean(leaked) <= rate + noise
    if kind != "ties":
        assert np.mean(leaked) >= rate - 1 / (queries + 1) - noise


@settings(max_examples=200, deadline=None)
@given(st.lists(eighths, max_size=60), eighths)
def test_the_least_limit_that_is_enough(values, threshold) -> None:
    values = np.array(sorted(values))
    expected = next((value for value in values.tolist() if value >= threshold), math.inf)
    asked: list[float] = []
    assert least_limit(values, lambda limit: asked.append(limit) or limit >= threshold) == expected
    assert len(asked) <= len(values).bit_length()


@settings(max_examples=200, deadline=None)
@given(st.lists(eighths, max_size=60), eighths)
def test_the_greatest_limit_that_is_allowed(values, threshold) -> None:
    values = np.array(sorted(values))
    expected = next((value for value in values.tolist()[::-1] if value <= threshold), -math.inf)
    asked: list[float] = []
    assert greatest_limit(values, lambda limit: asked.append(limit) or limit <= threshold) == expected
    assert len(asked) <= len(values).bit_length()


@pytest.mark.parametrize("queries", [0, 1, 2, 3, 10, 1001])
def test_calibration_half_is_exactly_half(queries: int) -> None:
    keys = mix(5, np.arange(queries))
    half = calibration_half(keys)
    assert half.dtype == bool
    assert half.sum() == (queries + 1) // 2
    order = np.random.default_rng(queries).permutation(queries)
    np.testing.assert_array_equal(calibration_half(keys[order]), half[order])


def test_calibration_half_goes_by_the_key_not_by_the_place() -> None:
    """The first and the last of an ordered file are in it alike."""
    half = calibration_half(mix(5, np.arange(2_000)))
    assert 400 < half[:1_000].sum() < 600
    assert 400 < half[::2].sum() < 600


@settings(max_examples=100, deadline=None)
@given(st.lists(eighths, max_size=200))
def test_few_risks_are_all_limits(values) -> None:
    assert candidate_limits(np.array(values)).tolist() == sorted(set(values))


def test_many_risks_are_cut_to_quantiles() -> None:
    risk = np.random.default_rng(2).beta(1, 9, 50_000)
    limits = candidate_limits(risk)
    assert len(limits) <= 4096
    assert (np.diff(limits) > 0).all()
    assert (limits[0], limits[-1]) == (risk.min(), risk.max())
    assert np.isin(limits, risk).all()
    between = np.diff(np.searchsorted(np.sort(risk), limits))
    assert between.max() <= 13  # 50,000 / 4,095
