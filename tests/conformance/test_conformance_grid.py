"""A grid of parameters over small corpora of unit vectors: negmine's rows are the reference's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from reference import Parameters, Problem, assert_same, our_rows, their_rows, unit_problem

PROBLEMS: dict[str, Problem] = {
    "one_positive_each": unit_problem(1, queries=8, rows_per_query=[1], others=30),
    "several_positives": unit_problem(2, queries=6, rows_per_query=[1, 4, 2], others=24, repeated=9),
    "positives_are_the_corpus": unit_problem(3, queries=14, rows_per_query=[2, 1], others=0, corpus_given=False),
    "smaller_than_the_range": unit_problem(4, queries=3, rows_per_query=[2, 1], others=3),
    "euclidean": unit_problem(5, queries=5, rows_per_query=[2, 1], others=25, similarity="euclidean"),
    "manhattan": unit_problem(6, queries=5, rows_per_query=[1, 3], others=25, similarity="manhattan"),
    "dot": unit_problem(7, queries=5, rows_per_query=[3, 1], others=25, similarity="dot"),
}
RANGES: list[dict[str, int | None]] = [
    {"range_min": 0, "range_max": None},
    {"range_min": 2, "range_max": None},
    {"range_min": 0, "range_max": 3},
    {"range_min": 4, "range_max": 11},
    {"range_min": 1, "range_max": 60},
]
RULES: list[dict[str, float]] = [
    {},
    {"absolute_margin": 0.0},
    {"absolute_margin": 0.35},
    {"relative_margin": 0.05},
    {"relative_margin": 0.6},
    {"absolute_margin": 0.2, "relative_margin": 0.25},
    {"max_score": 0.3},
    {"min_score": -0.15},
    {"max_score": 0.45, "min_score": -0.4, "relative_margin": 0.1},
]
KINDS = list(itertools.product(["triplet", "n-tuple", "labeled-pair", "labeled-list"], [False, True]))
PLACES = list(itertools.product(PROBLEMS, range(len(RANGES))))


def parameter_sets(problem: str, ranges: int) -> Iterator[Parameters]:
    """All rules and numbers of negatives, each with two of the formats; which two changes with the place."""
    turn = list(PROBLEMS).index(problem) + ranges
    for (number, rules), num_negatives in itertools.product(enumerate(RULES), [1, 3]):
        for kind in (turn + number + num_negatives, turn + number + num_negatives + 5):
            output_format, output_scores = KINDS[kind % len(KINDS)]
            yield Parameters(
                **RANGES[ranges],
                **rules,
                num_negatives=num_negatives,
                output_format=output_format,
                output_scores=output_scores,
            )


@pytest.mark.parametrize(("problem", "ranges"), PLACES)
def test_rows_equal_the_references(problem: str, ranges: int) -> None:
    """Same columns, rows, order and scores for every rule, number of negatives and format."""
    for parameters in parameter_sets(problem, ranges):
        assert_same(our_rows(PROBLEMS[problem], parameters), their_rows(PROBLEMS[problem], parameters))


def test_the_grid_reaches_every_kind_of_parameter_set() -> None:
    """1260 distinct sets; every rule, range and corpus is tried with every format, with and without scores."""
    sets = [(place, parameters) for place in PLACES for parameters in parameter_sets(*place)]
    assert len(sets) == len(set(sets)) == 1260
    for of in (lambda place, p: place[0], lambda place, p: place[1], lambda place, p: _rules(p)):
        combined = {(of(place, p), p.output_format, p.output_scores) for place, p in sets}
        assert len(combined) == len({of(place, p) for place, p in sets}) * len(KINDS)


@pytest.mark.parametrize("name", PROBLEMS)
def test_no_score_is_near_another_or_near_a_cut(name: str) -> None:
    """Single precision could order such scores otherwise: the reference's order would be undefined."""
    problem = PROBLEMS[name]
    scores = problem.scores()
    assert np.diff(np.sort(scores, axis=1), axis=1).min() > 2e-6
    for query, row in enumerate(scores):
        lowest = min(row[passage] for of, passage in problem.labels if of == query)
        for rules in RULES:
            cuts = [rules[key] for key in ("max_score", "min_score") if key in rules]
            cuts += [lowest - rules["absolute_margin"]] if rules.get("absolute_margin") else []
            cuts += [lowest - abs(lowest) * rules["relative_margin"]] if "relative_margin" in rules else []
            assert all(np.abs(row - cut).min() > 2e-6 for cut in cuts)


def _rules(parameters: Parameters) -> tuple[float | None, ...]:
    p = parameters
    return (p.absolute_margin, p.relative_margin, p.max_score, p.min_score)
