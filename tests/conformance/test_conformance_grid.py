"""A grid of parameters over small corpora of unit vectors: negmine's rows are the reference's."""

from __future__ import annotations

import itertools

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
FORMATS = ["triplet", "n-tuple", "labeled-pair", "labeled-list"]
GRID = list(itertools.product(PROBLEMS, RANGES, RULES, [1, 3]))
"""One parameter set each, before the two columns of formats and scores."""


@pytest.mark.parametrize(("problem", "ranges"), itertools.product(PROBLEMS, RANGES))
def test_rows_equal_the_references(problem: str, ranges: dict[str, int | None]) -> None:
    """Same columns, rows, order and scores for every rule, number of negatives and format."""
    kinds = itertools.cycle(itertools.product(FORMATS, [False, True]))
    for rules, number in itertools.product(RULES, [1, 3]):
        for _ in range(2):
            output_format, scores = next(kinds)
            parameters = Parameters(
                **ranges, **rules, num_negatives=number, output_format=output_format, output_scores=scores
            )
            assert_same(our_rows(PROBLEMS[problem], parameters), their_rows(PROBLEMS[problem], parameters))
