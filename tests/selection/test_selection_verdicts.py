"""Every candidate gets exactly one reason, that of the first rule that objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.arrays import positions
from negmine.selection.depth import within_depth
from negmine.selection.random import draw_passages, mix
from negmine.selection.verdicts import KEPT, REASONS, Rules, reference_scores, verdicts


def reasons(rules: Rules, scores, reference=1.0, excluded=None, query=None, similarity=None) -> list[str]:
    n = len(scores)
    query = np.zeros(n, np.int64) if query is None else np.asarray(query)
    codes = verdicts(
        rules,
        query,
        positions(query) + 1,
        np.asarray(scores, float),
        np.zeros(n) if similarity is None else np.asarray(similarity, float),
        np.full(n, reference),
        np.zeros(n, np.int64) if excluded is None else np.asarray(excluded),
        mix(1, query),
        np.arange(n).astype(np.uint64),
    )
    return [REASONS[code] for code in codes]


def test_without_rules_the_best_are_taken() -> None:
    assert reasons(Rules(num_negatives=2), [0.9, 0.8, 0.7]) == ["kept", "kept", "not_sampled"]


def test_excluded_candidates_keep_their_own_reason() -> None:
    expected = ["positive", "positive_text", "query_text", "kept"]
    assert reasons(Rules(), [1.0, 0.9, 0.8, 0.7], excluded=[1, 2, 3, 0]) == expected


def test_absolute_margin_keeps_what_lies_exactly_at_it() -> None:
    assert reasons(Rules(absolute_margin=0.25), [0.8, 0.75, 0.5]) == ["absolute_margin", "kept", "kept"]


def test_relative_margin_tightens_also_for_negative_scores() -> None:
    """reference -0.5 and margin 0.1: keep iff score <= -0.55, where -0.5 * 0.9 would loosen it."""
    got = reasons(Rules(relative_margin=0.1), [-0.45, -0.52, -0.6], reference=-0.5)
    assert got == ["relative_margin", "relative_margin", "kept"]


def test_score_bounds_are_inclusive() -> None:
    rules = Rules(max_score=0.8, min_score=0.4)
    assert reasons(rules, [0.81, 0.8, 0.4, 0.39]) == ["max_score", "kept", "kept", "min_score"]


def test_the_ceiling_on_similarity_to_a_positive_is_inclusive() -> None:
    rules = Rules(positive_similarity=0.6)
    assert reasons(rules, [0.9, 0.8], similarity=[0.61, 0.6]) == ["positive_similarity", "kept"]


def test_ranges_count_survivors_only() -> None:
    rules = Rules(relative_margin=0.1, range_min=1, range_max=3, num_negatives=5)
    got = reasons(rules, [0.95, 0.9, 0.8, 0.7, 0.6])
    assert got == ["relative_margin", "range", "kept", "kept", "range"]


def test_max_rank_counts_what_was_mined() -> None:
    got = reasons(Rules(max_rank=2), [1.0, 0.9, 0.8], excluded=[1, 0, 0])
    assert got == ["positive", "kept", "range"]


def test_short_queries_are_dropped_whole_when_asked() -> None:
    rules = Rules(num_negatives=2, on_shortage="drop", max_score=0.8)
    got = reasons(rules, [0.9, 0.7, 0.8, 0.6], query=[0, 0, 1, 1])
    assert got == ["max_score", "starved", "kept", "kept"]


def test_random_sampling_takes_the_right_number_from_the_range() -> None:
    rules = Rules(sampling_strategy="random", num_negatives=3, range_min=2, range_max=9)
    got = reasons(rules, np.linspace(0.9, 0.1, 12))
    assert got.count("kept") == 3
    assert got[:2] == ["range", "range"]
    assert got[9:] == ["range"] * 3


def test_random_sampling_of_a_query_ignores_other_queries() -> None:
    rules = Rules(sampling_strategy="random", num_negatives=3)
    scores = np.linspace(0.9, 0.1, 12)

    def run(query: np.ndarray, keys: np.ndarray) -> np.ndarray:
        n = len(query)
        passage = np.tile(np.arange(12), n // 12).astype(np.uint64)
        return verdicts(
            rules,
            query,
            positions(query) + 1,
            np.tile(scores, n // 12),
            np.ones(n),
            np.ones(n),
            np.zeros(n, int),
            keys[query],
            passage,
        )

    alone = run(np.zeros(12, int), np.array([42], np.uint64))
    with_other = run(np.repeat([0, 1], 12), np.array([7, 42], np.uint64))
    np.testing.assert_array_equal(alone, with_other[12:])


def test_random_sampling_is_uniform() -> None:
    rules = Rules(sampling_strategy="random", num_negatives=2)
    query = np.repeat(np.arange(6000), 5)
    keys = mix(3, np.arange(6000))
    n = len(query)
    passage = np.tile(np.arange(5), 6000).astype(np.uint64)
    rank, one = positions(query) + 1, np.ones(n)
    codes = verdicts(rules, query, rank, one, one, one, np.zeros(n, int), keys[query], passage)
    taken = np.bincount(passage.astype(int)[codes == KEPT], minlength=5)
    assert taken.sum() == 12_000
    assert np.abs(taken - 2400).max() < 4.5 * np.sqrt(6000 * 0.4 * 0.6)


@pytest.mark.parametrize(("how", "expected"), [("min", [0.2, 0.9]), ("max", [0.6, 0.9]), ("mean", [0.4, 0.9])])
def test_reference_scores(how: str, expected: list[float]) -> None:
    got = reference_scores(np.array([0, 0, 1]), np.array([0.2, 0.6, 0.9]), how, 2)
    np.testing.assert_allclose(got, expected)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=40),
    st.floats(-1, 1),
    st.floats(0, 0.9),
    st.floats(0, 0.9),
    st.sampled_from(["relative_margin", "absolute_margin"]),
)
def test_a_stricter_margin_never_lets_a_candidate_survive(scores, reference, one, other, name) -> None:
    loose, strict = sorted((one, other))
    scores = sorted(scores, reverse=True)
    before = reasons(Rules(**{name: loose}, num_negatives=100), scores, reference)
    after = reasons(Rules(**{name: strict}, num_negatives=100), scores, reference)
    assert all(b == "kept" for b, a in zip(before, after, strict=True) if a == "kept")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=30), st.integers(1, 10), st.integers(1, 4))
def test_depth_counts_only_what_can_be_a_negative(excluded, k, queries) -> None:
    query = np.repeat(np.arange(queries), len(excluded))
    mask = np.tile(np.array(excluded, bool), queries)
    kept = within_depth(query, mask, k)
    expected = []
    for row, own in enumerate(excluded):
        expected.append(sum(not e for e in excluded[:row]) < k)
        del own
    np.testing.assert_array_equal(kept, np.tile(np.array(expected, bool), queries))


def test_random_passages_are_distinct_and_not_taken() -> None:
    taken = [np.arange(8), np.array([], np.int64), np.arange(10)]
    rows, passages = draw_passages(0, np.array([1, 2, 3], np.uint64), np.array([5, 4, 2]), taken, 10)
    assert sorted(passages[rows == 0].tolist()) == [8, 9]
    assert len(set(passages[rows == 1].tolist())) == 4
    assert not (rows == 2).any()
