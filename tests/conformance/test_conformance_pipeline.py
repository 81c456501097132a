"""Whole runs over real files: the exported rows are those of the fast adapter and of the reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from reference import (
    Parameters,
    Problem,
    assert_same,
    exported,
    our_rows,
    our_sections,
    run_problem,
    their_rows,
    unit_problem,
)

FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")
PLAIN = unit_problem(11, queries=9, rows_per_query=[1], others=30)
SEVERAL = unit_problem(12, queries=7, rows_per_query=[1, 5, 2], others=30, repeated=8)
DERIVED = unit_problem(13, queries=12, rows_per_query=[2, 1], others=0, corpus_given=False)
SMALL = unit_problem(14, queries=4, rows_per_query=[2], others=2)

CASES: dict[str, tuple[Problem, Parameters]] = {
    "defaults": (PLAIN, Parameters()),
    "range": (PLAIN, Parameters(range_min=3, range_max=9)),
    "absolute_margin": (SEVERAL, Parameters(absolute_margin=0.4)),
    "relative_margin": (SEVERAL, Parameters(relative_margin=0.3, num_negatives=2)),
    "both_margins": (PLAIN, Parameters(absolute_margin=0.3, relative_margin=0.5, range_max=20)),
    "max_score": (SEVERAL, Parameters(max_score=0.2, num_negatives=4)),
    "min_score": (PLAIN, Parameters(min_score=0.1, num_negatives=5)),
    "short_queries": (SEVERAL, Parameters(min_score=0.35, max_score=0.8, range_min=1)),
    "no_negative_at_all": (SEVERAL, Parameters(max_score=-2.0)),
    "positives_are_the_corpus": (DERIVED, Parameters(relative_margin=0.1)),
    "derived_and_range": (DERIVED, Parameters(range_min=2, range_max=6, num_negatives=1)),
    "below_range_max": (SMALL, Parameters(range_max=50, num_negatives=2)),
    "fewer_passages_than_negatives": (SMALL, Parameters(num_negatives=12)),
    "euclidean": (replace(SEVERAL, similarity="euclidean"), Parameters(absolute_margin=0.1)),
    "manhattan": (replace(SEVERAL, similarity="manhattan"), Parameters(relative_margin=0.1)),
    "dot": (replace(PLAIN, similarity="dot"), Parameters(relative_margin=0.2, max_score=0.5)),
    "random": (SEVERAL, Parameters(sampling_strategy="random", range_max=15)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_writes_the_references_rows(case: str, tmp_path: Path) -> None:
    """All formats, with and without scores, as lines and as Parquet, from vectors with and without ids.

    Random draws are only compared with the adapter, which has the same seed.
    """
    problem, parameters = CASES[case]
    kinds = [
        replace(parameters, output_format=output_format, output_scores=scores)
        for output_format in FORMATS
        for scores in (False, True)
    ]
    exports = [
        {"format": kind.output_format, "scores": kind.output_scores, "file": f"{number}.{suffix}"}
        for number, kind in enumerate(kinds)
        for suffix in ("parquet", "jsonl")
    ]
    sections = our_sections(problem, parameters)
    # Several parts, so that some have no rows for a format.
    sections = {**sections, "mine": {**sections["mine"], "part_queries": 2}, "seed": 3, "export": exports}
    config = run_problem(problem, tmp_path, sections, ["parquet", "npy"][list(CASES).index(case) % 2])
    for number, kind in enumerate(kinds):
        table, lines = exported(config, 2 * number), exported(config, 2 * number + 1)
        assert_same(table, our_rows(problem, kind, seed=3))
        if parameters.sampling_strategy == "top":
            assert_same(table, their_rows(problem, kind))
        assert lines == (table if table["anchor"] else {})
