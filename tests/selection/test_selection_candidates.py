"""Candidate lists as arrays: what is standardised over a list, and cutting and joining lists."""

from __future__ import annotations

import numpy as np
import pytest
from candidate_lists import Query, Row, build, query_lists
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.selection.candidates import STANDARD_DEPTH, Candidates, joined

FIELDS = ("query", "passage", "rank", "score", "positive_similarity", "excluded", "passage_key")
OF_QUERIES = ("reference", "positive_rank", "query_key")


def by_hand(query: Query, values: list[float]) -> list[float]:
    usual = [v for v, row in zip(values, query.rows, strict=True) if not row.excluded and not any(row.same)]
    usual = usual[:STANDARD_DEPTH]
    if not usual or min(usual) == max(usual):
        return [0.0] * len(values)
    return [(v - np.mean(usual)) / np.std(usual) for v in values]


def assert_equal(one: Candidates, other: Candidates) -> None:
    for name in (*FIELDS, *OF_QUERIES):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert len(one.same) == len(other.same)
    for mask, expected in zip(one.same, other.same, strict=True):
        np.testing.assert_array_equal(mask, expected)


@settings(max_examples=150, deadline=None)
@given(query_lists(columns=2))
def test_values_are_standardised_within_each_list(queries) -> None:
    candidates = build(queries, 2)
    similarities = [z for query in queries for z in by_hand(query, [row.similarity for row in query.rows])]
    np.testing.assert_allclose(candidates.positive_similarity_z, similarities, rtol=1e-12, atol=1e-12)


def long_query(key: int, rows: int, seed: int, level: float = 0.0, scale: float = 1.0) -> Query:
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.normal(size=rows))
    like = level + scale * rng.normal(size=rows)
    excluded = rng.integers(0, 12, rows)
    return Query(
        key,
        [Row(n, float(scores[n]), float(like[n]), int(excluded[n]) if excluded[n] < 4 else 0) for n in range(rows)],
    )


@pytest.mark.parametrize("seed", range(5))
def test_other_queries_change_no_bit(seed: int) -> None:
    queries = [long_query(key, rows, 10 * seed + key) for key, rows in enumerate((130, 7, 0, 250, 1, 99))]
    together = build(queries)
    for number, query in enumerate(queries):
        alone, rows = build([query]), together.query == number
        assert alone.positive_similarity_z.tobytes() == together.positive_similarity_z[rows].tobytes()


def test_means_are_taken_over_the_first_100_that_can_be_negatives() -> None:
    query = long_query(1, 300, 3)
    candidates = build([query])
    usual = [row.similarity for row in query.rows if not row.excluded][:100]
    assert len(usual) == STANDARD_DEPTH == 100
    z, values = candidates.positive_similarity_z, candidates.positive_similarity
    np.testing.assert_allclose(z, (values - np.mean(usual)) / np.std(usual), rtol=1e-10, atol=1e-12)
    # A longer list, and other similarities of what is excluded, change no bit.
    shorter = build([Query(1, query.rows[:150])])
    assert shorter.positive_similarity_z.tobytes() == z[:150].tobytes()
    excluded = candidates.excluded > 0
    moved = Candidates(**{**vars_of(candidates), "positive_similarity": np.where(excluded, 77.0, values)})
    assert moved.positive_similarity_z[~excluded].tobytes() == z[~excluded].tobytes()


def vars_of(candidates: Candidates) -> dict:
    return {name: getattr(candidates, name) for name in (*FIELDS, *OF_QUERIES, "same")}


@pytest.mark.parametrize("level", [0.0, 0.1, 1 / 3, -7e8 / 3, 1e-12, 1e30])
def test_equal_values_stand_out_by_nothing(level: float) -> None:
    rows = [Row(n, level, level) for n in range(77)]
    candidates = build([Query(1, rows), Query(2, [Row(0, 1.0)])])
    assert candidates.positive_similarity_z.tolist() == [0.0] * 78


def test_a_list_of_excluded_candidates_has_no_spread() -> None:
    candidates = build([Query(1, [Row(0, 0.9, 0.3, 1), Row(1, 0.8, 0.2, 2)])])
    assert candidates.positive_similarity_z.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("level", "scale"), [(0.0, 1e-9), (0.0, 1e12), (1e6, 1.0)])
def test_the_unit_does_not_matter(level: float, scale: float) -> None:
    plain, moved = build([long_query(1, 120, 5)]), build([long_query(1, 120, 5, level, scale)])
    np.testing.assert_allclose(moved.positive_similarity_z, plain.positive_similarity_z, rtol=0, atol=1e-7)


@settings(max_examples=100, deadline=None)
@given(query_lists(columns=2), st.data())
def test_cut_queries_are_numbered_anew(queries, data) -> None:
    chosen = sorted(data.draw(st.sets(st.integers(0, len(queries) - 1))))
    candidates = build(queries, 2)
    cut = candidates.of_queries(np.array(chosen, np.int64))
    assert_equal(cut, build([queries[q] for q in chosen], 2))
    assert (len(cut), cut.queries) == (sum(len(queries[q].rows) for q in chosen), len(chosen))


@settings(max_examples=100, deadline=None)
@given(query_lists(columns=1), st.data())
def test_joined_parts_are_the_whole(queries, data) -> None:
    candidates = build(queries, 1)
    cut = data.draw(st.integers(0, len(queries)))
    parts = [candidates.of_queries(np.arange(cut)), candidates.of_queries(np.arange(cut, len(queries)))]
    assert_equal(joined(parts), candidates)


def test_eligible_is_what_neither_labels_nor_groups_exclude() -> None:
    rows = [Row(0, 0.9, excluded=1), Row(1, 0.8, same=(True,)), Row(2, 0.7), Row(3, 0.6, excluded=3)]
    rows = [Row(r.passage, r.score, excluded=r.excluded, same=r.same or (False,)) for r in rows]
    assert build([Query(1, rows)], 1).eligible.tolist() == [False, False, True, False]
