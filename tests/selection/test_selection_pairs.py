"""Findings about labelled pairs, against plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmine.selection.pairs import (
    EXPLANATIONS,
    FINDINGS,
    SUSPICIOUS,
    beaten_by,
    findings,
    is_low,
    is_suspicious,
    median_rank,
    worst_first,
)

QUERY = st.integers(0, 4)
SCORE = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0])
RANK = st.one_of(st.integers(1, 9).map(float), st.just(math.inf))
ROWS = st.lists(st.tuples(QUERY, SCORE), max_size=30)


def columns(rows: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float64)


@given(candidates=ROWS, positives=ROWS)
def test_a_positive_is_beaten_by_the_candidates_of_its_query_that_score_higher(
    candidates: list[tuple[int, float]], positives: list[tuple[int, float]]
) -> None:
    expected = [sum(q == of and s > score for q, s in candidates) for of, score in positives]
    assert beaten_by(*columns(candidates), *columns(positives)).tolist() == expected


def test_an_equal_score_does_not_beat() -> None:
    assert beaten_by(*columns([(0, 0.5), (0, 0.7), (1, 0.9)]), *columns([(0, 0.5), (1, 0.9)])).tolist() == [1, 0]


@given(ranked=st.dictionaries(st.tuples(QUERY, RANK), st.none(), max_size=20), most=st.integers(1, 6))
def test_other_positives_of_the_query_do_not_make_a_rank_low(ranked: dict[tuple[int, float], None], most: int) -> None:
    """A rank counts the passages before it that are no positives; an infinite one is always low."""
    rows = list(ranked)
    expected = []
    for query, rank in rows:
        before = sum(q == query and r < rank for q, r in rows)
        expected.append(math.isinf(rank) or rank - before > most)
    assert is_low(*columns(rows), most).tolist() == expected


@given(rows=st.lists(st.tuples(QUERY, RANK), max_size=20))
def test_no_rank_is_low_without_a_limit(rows: list[tuple[int, float]]) -> None:
    assert not is_low(*columns(rows), None).any()


@given(rows=st.lists(st.tuples(QUERY, RANK), max_size=20), limits=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_a_looser_limit_never_makes_a_rank_low(rows: list[tuple[int, float]], limits: tuple[int, int]) -> None:
    strict, loose = sorted(limits)
    assert not (is_low(*columns(rows), loose) & ~is_low(*columns(rows), strict)).any()


PAIR = st.tuples(RANK, st.booleans(), st.integers(0, 3), st.integers(1, 3), st.booleans(), st.booleans())


@given(rows=st.lists(PAIR, max_size=20))
def test_findings_have_a_column_each(rows: list[tuple]) -> None:
    arrays = [np.array([row[column] for row in rows]) for column in range(6)]
    found = findings(*(array.astype(bool) if i in (1, 4, 5) else array for i, array in enumerate(arrays)))
    for row, flags in zip(rows, found.tolist(), strict=True):
        rank, low, beaten, shared_by, conflict, same_text = row
        assert [name for name, flag in zip(FINDINGS, flags, strict=True) if flag] == [
            name
            for name, holds in {
                "not_retrieved": math.isinf(rank),
                "low_rank": low,
                "beaten": beaten > 0,
                "shared": shared_by >= 2,
                "conflict": conflict,
                "same_text": same_text,
            }.items()
            if holds
        ]


@pytest.mark.parametrize("name", FINDINGS)
def test_only_a_low_rank_and_a_conflict_are_suspicious(name: str) -> None:
    found = np.array([[name == other for other in FINDINGS]])
    assert is_suspicious(found).tolist() == [name in ("low_rank", "conflict")]
    assert set(SUSPICIOUS) <= set(FINDINGS) == set(EXPLANATIONS)


@given(rows=st.lists(st.tuples(RANK, st.integers(0, 3), SCORE), max_size=20))
def test_the_worst_pairs_come_first_and_equal_ones_stay_in_order(rows: list[tuple[float, int, float]]) -> None:
    rank, beaten, score = (np.array([row[column] for row in rows]) for column in range(3))
    keys = [(not math.isinf(r), -b, s) for r, b, s in rows]
    assert worst_first(rank, beaten, score).tolist() == sorted(range(len(rows)), key=lambda row: keys[row])


@given(ranks=st.lists(RANK, min_size=1, max_size=20))
def test_half_of_the_positives_reach_the_median_rank(ranks: list[float]) -> None:
    middle = median_rank(np.array(ranks))
    limit = math.inf if middle is None else middle
    assert 2 * sum(rank <= limit for rank in ranks) >= len(ranks)
    assert 2 * sum(rank < limit for rank in ranks) < len(ranks)
