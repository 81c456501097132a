"""How close candidates are to positives equals brute force, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.retrieval import evidence
from negmine.retrieval.evidence import gather, positive_similarity


def blocks_of(vectors: np.ndarray, rows: int):
    return lambda: ((low, vectors[low : low + rows]) for low in range(0, len(vectors), rows))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    passages=st.integers(1, 40),
    positives=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    rows=st.integers(1, 50),
    pairs=st.integers(1, 30),
)
def test_equals_brute_force(seed: int, passages: int, positives: list[int], rows: int, pairs: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.standard_normal((passages, 5)) * rng.uniform(0.1, 10, (passages, 1))).astype(np.float32)
    of_query = np.repeat(np.arange(len(positives)), positives)
    of_passage = rng.integers(0, passages, len(of_query))
    query = np.sort(rng.integers(0, len(positives), 25))
    passage = rng.integers(0, passages, 25)
    unit = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    expected = [max(unit[p] @ unit[c] for p in of_passage[of_query == q]) for q, c in zip(query, passage, strict=True)]
    before = evidence._PAIRS
    evidence._PAIRS = pairs
    try:
        got = positive_similarity(blocks_of(vectors, rows), query, passage, of_query, of_passage)
    finally:
        evidence._PAIRS = before
    np.testing.assert_allclose(got, expected, atol=1e-6)
    whole = positive_similarity(blocks_of(vectors, 1000), query, passage, of_query, of_passage)
    np.testing.assert_array_equal(got, whole)


def test_a_passage_is_most_similar_to_itself() -> None:
    vectors = np.array([[3.0, 0.0], [0.0, 2.0]], np.float32)
    got = positive_similarity(blocks_of(vectors, 1), np.array([0, 0]), np.array([1, 0]), np.array([0]), np.array([0]))
    assert got.tolist() == pytest.approx([0.0, 1.0])


def test_no_candidates_have_no_similarity() -> None:
    empty = np.empty(0, np.int64)
    vectors = np.ones((2, 2), np.float32)
    assert len(positive_similarity(blocks_of(vectors, 1), empty, empty, np.array([0]), np.array([0]))) == 0


def test_gather_keeps_the_asked_order() -> None:
    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    found = gather(blocks_of(vectors, 2), np.array([4, 0, 4, 2]))
    np.testing.assert_array_equal(found, vectors[[4, 0, 4, 2]])
