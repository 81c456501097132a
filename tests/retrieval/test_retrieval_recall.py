"""Recall is that of a recount, its bound lies below it, and parameters are raised until the bound suffices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.retrieval.exact import Neighbours
from negmine.retrieval.recall import SAMPLE_QUERIES, draw_queries, fewest_lists, first_that_meets, measured, recalls


def neighbours(rows: list[list[int]]) -> Neighbours:
    query = np.array([q for q, found in enumerate(rows) for _ in found], np.int64)
    passage = np.array([p for found in rows for p in found], np.int64)
    return Neighbours(query, passage, np.zeros(len(query)), np.empty((len(query), 0)))


ROWS = st.lists(st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=8), min_size=1, max_size=12)


@settings(deadline=None)
@given(exact=ROWS, seed=st.integers(0, 99))
def test_recall_is_the_share_that_was_found(exact: list[list[int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = [[p for p in range(31) if rng.random() < 0.5] for _ in exact]
    each = recalls(neighbours(found), neighbours(exact), len(exact))
    assert each == pytest.approx([len(set(f) & set(e)) / len(e) for f, e in zip(found, exact, strict=True)])


def test_the_bound_is_that_of_the_normal_distribution() -> None:
    each = np.array([1.0, 0.9, 0.8, 1.0, 0.7])
    found = measured({}, each, population=1_000_000, k=100)
    assert found.mean == pytest.approx(0.88)
    assert found.lower_bound == pytest.approx(0.88 - 1.6449 * each.std(ddof=1) / 5**0.5, abs=1e-4)


def test_a_sample_without_a_miss_does_not_promise_there_is_none() -> None:
    bound = measured({}, np.ones(100), population=10_000_000, k=10).lower_bound
    assert bound == pytest.approx(1 - 3 / 1000, abs=1e-6)


def test_all_queries_leave_nothing_to_doubt() -> None:
    each = np.array([1.0, 0.5, 0.9])
    assert measured({}, each, population=3, k=10).lower_bound == pytest.approx(0.8)


def test_the_bound_fails_for_about_one_sample_in_twenty() -> None:
    """Drawn 2,000 times from queries of known recall, it exceeds their mean in 5% of the draws."""
    rng = np.random.default_rng(0)
    population = 1 - rng.beta(0.4, 6, 5_000)
    over = sum(
        measured({}, rng.choice(population, 400, replace=False), 5_000, 100).lower_bound > population.mean()
        for _ in range(2_000)
    )
    assert 0.02 < over / 2_000 < 0.07


def test_the_sample_belongs_to_the_queries_not_to_their_order() -> None:
    keys = np.random.default_rng(1).permutation(5_000).astype(np.uint64)
    rows = draw_queries(keys)
    assert len(rows) == SAMPLE_QUERIES
    assert (np.diff(rows) > 0).all()
    assert set(keys[rows].tolist()) == set(keys[::-1][draw_queries(keys[::-1])].tolist()) == set(range(SAMPLE_QUERIES))
    assert draw_queries(keys[:9]).tolist() == list(range(9))


def test_parameters_are_raised_until_the_bound_suffices() -> None:
    exact = neighbours([[1, 2, 3, 4]] * 50)
    ladder = [{"nprobe": n} for n in (1, 2, 3, 4, 5)]
    steps = first_that_meets(
        ladder,
        lambda at: neighbours([[1, 2, 3, 4][: at["nprobe"]]] * 50),
        exact,
        target=0.75,
        population=10_000,
        k=4,
    )
    assert [step.mean for step in steps] == [0.25, 0.5, 0.75, 1.0]
    assert steps[2].lower_bound < 0.75 <= steps[3].lower_bound


def test_a_ladder_that_does_not_suffice_ends_below_the_target() -> None:
    exact = neighbours([[1, 2]] * 5)
    steps = first_that_meets([{}], lambda at: neighbours([[1]] * 5), exact, target=0.9, population=9, k=2)
    assert len(steps) == 1
    assert steps[-1].lower_bound < 0.9


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), target=st.floats(0.3, 1.0), most=st.integers(1, 16))
def test_the_fewest_lists_are_those_of_a_search_one_by_one(seed: int, target: float, most: int) -> None:
    rng = np.random.default_rng(seed)
    queries, lists, k = 20, 16, 8
    place = np.argsort(rng.random((queries, lists)), axis=1)
    rows = [rng.choice(100, k, replace=False).tolist() for _ in range(queries)]
    exact = neighbours(rows)
    list_of = rng.integers(0, lists, 100)

    def at(nprobe: int):
        found = [[p for p in row if place[q][list_of[p]] < nprobe] for q, row in enumerate(rows)]
        each = np.array([len(f) / k for f in found])
        return measured({"nprobe": nprobe}, each, 500, k)

    tried = fewest_lists(exact, list_of[exact.passage], place, most, target=target, population=500, k=k)
    bounds = [at(nprobe).lower_bound for nprobe in range(1, most + 1)]
    if max(bounds) < target:
        assert tried[-1] == at(most)
        return
    reached = tried[-1].parameters["nprobe"]
    assert tried[-1] == at(reached)
    assert tried[-1].lower_bound >= target
    assert reached == 1 or at(reached - 1).lower_bound < target
