"""The risk model: features without a unit, and a fit that finds what made the labels."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from fractions import Fraction
from importlib import resources

import numpy as np
import pytest
from candidate_lists import Query, Row, build, query_lists
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.selection.risk import FEATURES, RANK_CAP, SKEW_CAP, RiskModel, features, fit, shipped_model

TRUE = np.array([1.2, -0.7, 0.4])


def simulated(n: int, seed: int, intercept: float = -2.0, weights: np.ndarray = TRUE) -> tuple[np.ndarray, np.ndarray]:
    """Rows of features (n, 3) of different sizes, and labels drawn from the model."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 3)) * [1.0, 0.5, 2.0] + [0.3, 0.0, 1.0]
    return rows, rng.random(n) < RiskModel(tuple(weights), intercept).probability(rows)


def spread_of(rows: np.ndarray, weights: np.ndarray, intercept: float) -> np.ndarray:
    """Standard errors of maximum likelihood: the inverse of the Fisher information."""
    with_one = np.hstack([rows, np.ones((len(rows), 1))])
    p = RiskModel(tuple(weights), intercept).probability(rows)
    return np.sqrt(np.diag(np.linalg.inv(with_one.T @ (with_one * (p * (1 - p))[:, None]))))


@pytest.mark.parametrize("seed", range(3))
def test_a_fit_finds_the_weights_that_made_the_labels(seed: int) -> None:
    rows, relevant = simulated(60_000, seed)
    model = fit(rows, relevant, np.zeros(len(rows), np.int64))
    errors = np.abs(np.array([*model.weights, model.intercept]) - [*TRUE, -2.0])
    assert (errors < 4.5 * spread_of(rows, TRUE, -2.0)).all()
    assert model.probability(rows).mean() == pytest.approx(relevant.mean(), abs=1e-9)


def test_collections_with_other_base_rates_give_the_same_weights() -> None:
    """Each has an intercept of its own; without it the rare one would bend the weights."""
    parts = [simulated(40_000, seed, intercept) for seed, intercept in enumerate((-4.0, -1.0, 1.5))]
    # A feature that goes with the collection: only own intercepts keep that from looking like an effect.
    rows = np.concatenate(
        [part + np.array([0.0, shift, 0.0]) for (part, _), shift in zip(parts, (-2, 0, 2), strict=True)]
    )
    relevant = np.concatenate([labels for _, labels in parts])
    group = np.repeat([0, 1, 2], 40_000)
    together = fit(rows, relevant, group)
    np.testing.assert_allclose(together.weights, TRUE, atol=0.08)
    pooled = fit(rows, relevant, np.zeros(len(rows), np.int64))
    assert abs(pooled.weights[1] - TRUE[1]) > 0.5
    # The intercept that is kept fits all of them on the whole.
    assert together.probability(rows).mean() == pytest.approx(relevant.mean(), abs=1e-9)


def test_every_collection_weighs_the_same() -> None:
    """Collections that disagree: the large one does not drown the small one."""
    # -2 + TRUE . mean and -0.48 - TRUE . mean are the same: mirror images of each other.
    large, small = simulated(30_000, 1), simulated(3_000, 2, -0.48, -TRUE)
    rows, relevant = np.concatenate([large[0], small[0]]), np.concatenate([large[1], small[1]])
    model = fit(rows, relevant, np.repeat([0, 1], [30_000, 3_000]))
    np.testing.assert_allclose(model.weights, 0, atol=0.1)
    share = (large[1].mean() + small[1].mean()) / 2
    weight = np.repeat([1 / 30_000, 1 / 3_000], [30_000, 3_000])
    assert np.average(model.probability(rows), weights=weight) == pytest.approx(share, abs=1e-9)


def test_the_order_of_rows_does_not_matter() -> None:
    rows, relevant = simulated(5_000, 7)
    group = np.repeat([0, 1], 2_500)
    order = np.random.default_rng(1).permutation(len(rows))
    one, other = fit(rows, relevant, group), fit(rows[order], relevant[order], group[order])
    np.testing.assert_allclose(other.weights, one.weights, rtol=0, atol=1e-9)
    assert other.intercept == pytest.approx(one.intercept, abs=1e-9)


def test_numbers_of_collections_may_have_gaps() -> None:
    rows, relevant = simulated(4_000, 8)
    group = np.repeat([0, 1], 2_000)
    one, other = fit(rows, relevant, group), fit(rows, relevant, group * 3)
    np.testing.assert_allclose(other.weights, one.weights, rtol=0, atol=1e-9)


def test_a_feature_that_is_always_the_same_gets_no_weight() -> None:
    rows, relevant = simulated(5_000, 3)
    rows[:, 1] = 4.0
    model = fit(rows, relevant, np.zeros(len(rows), np.int64))
    assert abs(model.weights[1]) < 1e-6
    assert model.probability(rows).mean() == pytest.approx(relevant.mean(), abs=1e-9)


def test_a_feature_that_tells_all_apart_gives_finite_weights() -> None:
    rows = np.linspace(-1, 1, 200)[:, None]
    model = fit(rows, rows[:, 0] > 0, np.zeros(200, np.int64))
    assert 0 < model.weights[0] < 1e3
    assert math.isfinite(model.intercept)


@pytest.mark.parametrize("relevant", [np.zeros(10, bool), np.ones(10, bool)])
def test_a_fit_needs_both_kinds(relevant: np.ndarray) -> None:
    with pytest.raises(ValueError, match="needs both relevant and other candidates"):
        fit(np.zeros((10, 3)), relevant, np.zeros(10, np.int64))


FIT = """
import numpy as np
from negmine.selection.risk import fit
rng = np.random.default_rng(0)
rows = rng.normal(size=(30_000, 3))
model = fit(rows, rng.random(30_000) < 1 / (1 + np.exp(2 - rows[:, 0])), np.repeat([0, 1, 2], 10_000))
print(repr(model))
"""


def test_the_number_of_threads_changes_no_bit() -> None:
    found = set()
    for threads in ("1", "4"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        done = subprocess.run([sys.executable, "-c", FIT], env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1
    assert found.pop().startswith("RiskModel(weights=(")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4), st.floats(-5, 5), st.integers(0, 1000))
def test_probability_and_log_odds_agree(weights, intercept, seed) -> None:
    rows = np.random.default_rng(seed).normal(size=(6, len(weights)))
    model = RiskModel(tuple(weights), intercept)
    for row, logit, p in zip(rows, model.logit(rows), model.probability(rows), strict=True):
        expected = intercept + math.fsum(w * x for w, x in zip(weights, row, strict=True))
        assert logit == pytest.approx(expected, abs=1e-9)
        assert p == pytest.approx(1 / (1 + math.exp(-expected)), abs=1e-12)
    # Each row alone gives the same bits.
    assert [float(model.probability(row[None])[0]) for row in rows] == model.probability(rows).tolist()


def test_extreme_features_give_0_or_1_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RiskModel((1.0,), 0.0).probability(np.array([[-1e6], [1e6], [0.0]])).tolist() == [
            pytest.approx(0.0, abs=1e-200),
            1.0,
            0.5,
        ]


def by_hand(query: Query) -> dict[str, list[float]]:
    """Every feature of a query's candidates, in plain Python, with exact fractions."""
    usual = [Fraction(r.similarity) for r in query.rows if not r.excluded and not any(r.same)][:100]
    mean = sum(usual, Fraction(0)) / max(len(usual), 1)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in usual) / max(len(usual), 1))

    def z(value: Fraction) -> float:
        return float(value - mean) / deviation if deviation else 0.0

    skew = math.fsum(z(value) ** 3 for value in usual) / max(len(usual), 1)
    return {
        "positive_similarity_z": [z(Fraction(row.similarity)) for row in query.rows],
        "positive_similarity_skew": [min(max(skew, -3.0), 3.0)] * len(query.rows),
        "positive_rank_log": [math.log(min(query.positive_rank, 50))] * len(query.rows),
    }


def assert_by_hand(queries: list[Query], columns: int = 0) -> None:
    """All features of all candidates, in the order of their names."""
    expected = [by_hand(query) for query in queries]
    assert set(expected[0]) == set(FEATURES)
    table = np.array([[v for one in expected for v in one[name]] for name in FEATURES]).T
    np.testing.assert_allclose(features(build(queries, columns)), table, rtol=1e-9, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(query_lists(columns=2))
def test_features_are_those_of_plain_python(queries) -> None:
    """With excluded rows, rows of a positive's group, ties and empty lists."""
    assert_by_hand(queries, 2)


def alike(*similarities: float, excluded: tuple[int, ...] = (), positive_rank: float = 1.0) -> Query:
    """A query whose candidates have these similarities to its positives."""
    rows = [Row(n, -float(n), value, int(n in excluded)) for n, value in enumerate(similarities)]
    return Query(1, rows, positive_rank=positive_rank)


def skew_of(query: Query) -> float:
    assert_by_hand([query])
    return float(features(build([query]))[0, FEATURES.index("positive_similarity_skew")])


def test_a_few_that_stand_out_skew_up_and_a_crowd_at_the_top_skews_down() -> None:
    # One of four at 1, the others at 0: z is sqrt(3) once and -1 / sqrt(3) three times.
    assert skew_of(alike(1, 0, 0, 0)) == pytest.approx((3**1.5 - 3 * 3**-1.5) / 4)
    assert skew_of(alike(0, 1, 1, 1)) == pytest.approx(-skew_of(alike(1, 0, 0, 0)))


def test_the_skewness_is_capped_on_both_sides() -> None:
    """One of n alone has a skewness of (n - 2) / sqrt(n - 1): 2.85 for 11, 3 from 12 on."""
    assert skew_of(alike(1, *[0] * 10)) == pytest.approx(9 / math.sqrt(10))
    assert skew_of(alike(1, *[0] * 39)) == SKEW_CAP == 3
    assert skew_of(alike(0, *[1] * 39)) == -SKEW_CAP


@pytest.mark.parametrize("level", [0.0, 0.1, -1 / 3, 1e12])
def test_a_flat_list_has_no_skewness(level: float) -> None:
    assert skew_of(alike(*[level] * 30)) == 0.0
    assert skew_of(alike(level)) == 0.0
    assert skew_of(alike(level, level + 1, excluded=(0, 1))) == 0.0


def test_excluded_candidates_have_no_part_in_the_skewness() -> None:
    plain = skew_of(alike(0.9, 0.2, 0.1, 0.1, 0.3))
    assert skew_of(alike(0.9, 5.0, 0.2, -7.0, 0.1, 0.1, 0.3, excluded=(1, 3))) == pytest.approx(plain)


def test_the_skewness_is_that_of_the_first_100_that_may_be_negatives() -> None:
    """Whatever ``mine.k`` is; the excluded ones do not count towards the 100."""
    values = np.random.default_rng(6).gamma(1.0, size=300).tolist()
    excluded = tuple(range(0, 60, 3))
    longest = alike(*values, excluded=excluded)
    found = features(build([longest]))
    assert_by_hand([longest])
    assert features(build([alike(*values[:120], excluded=excluded)])).tobytes() == found[:120].tobytes()
    assert skew_of(alike(*values[:119], excluded=excluded)) != found[0, FEATURES.index("positive_similarity_skew")]


def test_features_are_in_the_order_of_their_names() -> None:
    queries = [
        Query(1, [Row(0, 0.9, 0.1), Row(1, 0.5, 0.3), Row(2, 0.1, 0.9)], positive_rank=4.0),
        Query(2, [Row(0, 0.9, 0.4), Row(1, 0.2, 0.1)], positive_rank=math.inf),
        Query(3, [Row(0, 0.9, 0.4)], positive_rank=1e6),
    ]
    assert_by_hand(queries)
    found = dict(zip(FEATURES, features(build(queries)).T, strict=True))
    np.testing.assert_array_equal(found["positive_rank_log"], np.log([4.0] * 3 + [RANK_CAP] * 2 + [RANK_CAP]))
    assert len({tuple(column) for column in found.values()}) == len(FEATURES)


def test_features_of_a_query_do_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(4)
    queries = [
        Query(key, [Row(n, s, float(rng.random())) for n, s in enumerate(-np.sort(-rng.random(120)))], 1.0, key + 1.0)
        for key in range(5)
    ]
    together = features(build(queries))
    alone = np.concatenate([features(build([query])) for query in queries])
    assert together.tobytes() == alone.tobytes()
    assert together.shape == (600, len(FEATURES))
    assert np.isfinite(together).all()


def test_the_shipped_model_has_a_weight_for_every_feature() -> None:
    """What it says beyond that is up to the data it was fitted on."""
    text = resources.files("negmine.selection").joinpath("risk_weights.json").read_text("utf-8")
    data = json.loads(text)
    model = shipped_model()
    assert set(data["weights"]) == set(FEATURES)
    assert model.weights == tuple(data["weights"][name] for name in FEATURES)
    assert model.intercept == data["intercept"]
    assert all(map(math.isfinite, (*model.weights, model.intercept)))
