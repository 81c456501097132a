"""A search for any problem and parameters where negmine's rows are not the reference's.

Scores are multiples of 1/64 and so are most cuts: exact in single precision, and often equal,
so that <= and < are told apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Parameters, Problem, assert_same, our_rows, range_max_of, scored_problem, their_rows

SEARCH = settings(max_examples=300, derandomize=True, database=None, deadline=None)
SAMPLING = settings(SEARCH, max_examples=100)
STEP = 64


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Few queries over a small pool of passages; positives may be shared and rows repeated."""
    queries, pool = draw(st.integers(1, 5)), draw(st.integers(2, 32))
    rows = draw(st.lists(st.tuples(st.integers(0, queries - 1), st.integers(0, pool - 1)), min_size=1, max_size=14))
    corpus = draw(st.none() | st.lists(st.integers(0, pool - 1), max_size=45))
    lowest = draw(st.sampled_from([-STEP, -2 * STEP, 0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Without repetitions within a query: the reference's order of equal scores is undefined.
    scores = np.stack([rng.permutation(2 * STEP)[:pool] + lowest for _ in range(queries)], axis=1) / STEP
    anchors = [f"query {query}" for query, _ in rows]
    named = sorted(set(anchors), key=anchors.index)
    return scored_problem(
        anchors,
        [f"passage {passage}" for _, passage in rows],
        None if corpus is None else [f"passage {passage}" for passage in corpus],
        {f"passage {n}": scores[n, : len(named)] for n in range(pool)},
    )


def sixteenths(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda n: n / 16)


@st.composite
def parameter_sets(draw: st.DrawFn, sampling: str = "top") -> Parameters:
    """Any combination that the reference accepts."""
    num_negatives, range_min = draw(st.integers(1, 5)), draw(st.integers(0, 5))
    bounds = sorted([draw(sixteenths(-32, 16)), draw(sixteenths(-32, 32))])
    return Parameters(
        range_min=range_min,
        range_max=draw(st.none() | st.integers(range_min + num_negatives, range_min + num_negatives + 20)),
        max_score=draw(st.none() | st.just(bounds[1])),
        min_score=draw(st.none() | st.just(bounds[0])),
        absolute_margin=draw(st.none() | st.integers(0, STEP).map(lambda n: n / STEP)),
        relative_margin=draw(st.none() | sixteenths(0, 15)),
        num_negatives=num_negatives,
        sampling_strategy=sampling,
        output_format=draw(st.sampled_from(["triplet", "n-tuple", "labeled-pair", "labeled-list"])),
        output_scores=draw(st.booleans()),
    )


@SEARCH
@given(problems(), parameter_sets())
def test_rows_equal_the_references(problem: Problem, parameters: Parameters) -> None:
    """Same columns, rows, order and scores, whatever is asked of whatever data."""
    _assert_same_rows(problem, parameters)


@pytest.mark.slow
@settings(SEARCH, max_examples=1000)
@given(problems(), parameter_sets())
def test_rows_equal_the_references_in_many_more_cases(problem: Problem, parameters: Parameters) -> None:
    _assert_same_rows(problem, parameters)


def _assert_same_rows(problem: Problem, parameters: Parameters) -> None:
    ours = our_rows(problem, parameters)
    try:
        theirs = their_rows(problem, parameters)
    except ZeroDivisionError:  # it counts what a bound removes, as a share of what the margins left: of nothing
        assert not any(ours.values())
        return
    assert_same(ours, theirs)


@SAMPLING
@given(problems(), parameter_sets("random"), st.integers(0, 1000))
def test_random_negatives_are_drawn_from_the_references_eligible(
    problem: Problem, parameters: Parameters, seed: int
) -> None:
    """As many as the reference draws, none twice, none it could not draw, best first."""
    eligible, drawn = _eligible(problem, parameters), _drawn(problem, parameters, seed)
    theirs = _negatives(their_rows(problem, _as_pairs(parameters)), problem)
    for query in problem.queries:
        passages = [passage for passage, _ in drawn[query]]
        scores = [score for _, score in drawn[query]]
        assert len(passages) == len(theirs[query]) == min(parameters.num_negatives, len(eligible[query]))
        assert len(set(passages)) == len(passages)
        assert set(passages) <= eligible[query]
        assert {passage for passage, _ in theirs[query]} <= eligible[query]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
@settings(SAMPLING, max_examples=25)
@given(problems(), parameter_sets("random"))
def test_every_eligible_passage_can_be_drawn(problem: Problem, parameters: Parameters) -> None:
    """Over many seeds the draws cover what the reference can draw."""
    reached: dict[str, set[str]] = {query: set() for query in problem.queries}
    for seed in range(150):
        for query, found in _drawn(problem, parameters, seed).items():
            reached[query] |= {passage for passage, _ in found}
    assert reached == _eligible(problem, parameters)


@SAMPLING
@given(problems(), parameter_sets("random"), st.integers(0, 1000))
def test_an_unrelated_query_changes_no_draw(problem: Problem, parameters: Parameters, seed: int) -> None:
    """A draw belongs to the seed and the query, not to the other queries or their order."""
    passages = problem.passages
    alone = replace(problem, corpus=passages)
    scores = np.random.default_rng(seed).permutation(len(passages)) / STEP
    among_others = scored_problem(
        ["another", *problem.anchors],
        [passages[0], *problem.positives],
        passages,
        {text: [score, *problem.passage_vectors[text]] for text, score in zip(passages, scores, strict=True)},
    )
    before, after = _drawn(alone, parameters, seed), _drawn(among_others, parameters, seed)
    assert {query: after[query] for query in before} == before


def _as_pairs(parameters: Parameters) -> Parameters:
    return replace(parameters, output_format="labeled-pair", output_scores=True)


def _negatives(pairs: dict[str, list], problem: Problem) -> dict[str, list[tuple[str, float]]]:
    """Passages and scores per query, without its positives, in the order of the rows."""
    labelled = set(zip(problem.anchors, problem.positives, strict=True))
    found: dict[str, list[tuple[str, float]]] = {query: [] for query in problem.queries}
    for anchor, text, score in zip(pairs["anchor"], pairs["text"], pairs["score"], strict=True):
        if (anchor, text) not in labelled:
            found[anchor].append((text, score))
    return found


def _drawn(problem: Problem, parameters: Parameters, seed: int) -> dict[str, list[tuple[str, float]]]:
    return _negatives(our_rows(problem, _as_pairs(parameters), seed=seed), problem)


def _eligible(problem: Problem, parameters: Parameters) -> dict[str, set[str]]:
    """What the reference draws from: all it would take if it took the best of the whole range."""
    range_max = range_max_of(problem, parameters)
    number = range_max - parameters.range_min
    whole = replace(_as_pairs(parameters), range_max=range_max, num_negatives=number, sampling_strategy="top")
    pairs = their_rows(problem, whole)
    return {query: {passage for passage, _ in found} for query, found in _negatives(pairs, problem).items()}
