"""How close candidates are to positives equals brute force, whatever is computed together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.retrieval.approximate import build, new_index, search_approximate
from negmine.retrieval.evidence import Closeness, gather
from negmine.retrieval.exact import search_exact


def blocks_of(vectors: np.ndarray, rows: int):
    return lambda: ((low, vectors[low : low + rows]) for low in range(0, len(vectors), rows))


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    x, y = left.astype(np.float64), right.astype(np.float64)
    norms = float(np.sqrt((x * x).sum()) * np.sqrt((y * y).sum()))
    return float((x * y).sum()) / norms if norms else 0.0


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dimension=st.sampled_from([1, 5, 24]),
    positives=st.lists(st.integers(1, 700), min_size=1, max_size=4) | st.lists(st.just(1), min_size=1, max_size=6),
    candidates=st.integers(0, 30),
)
def test_mean_and_greatest_equal_brute_force(seed: int, dimension: int, positives: list[int], candidates: int) -> None:
    rng = np.random.default_rng(seed)
    scale = rng.choice([0.0, 0.1, 1.0, 30.0], (40, 1), p=[0.05, 0.3, 0.35, 0.3])
    vectors = (rng.standard_normal((40, dimension)) * scale).astype(np.float32)
    of_query = np.repeat(np.arange(len(positives)), positives)
    of_passage = rng.integers(0, 40, len(of_query))
    query, passage = rng.integers(0, len(positives), candidates), rng.integers(0, 40, candidates)
    closeness = Closeness(vectors[of_passage], of_query, len(positives))
    got = closeness.cosines(query, vectors[passage][:, None])[:, 0]
    assert got.shape == (candidates, 2)
    assert got.dtype == np.float64
    known = np.array([[cosine(left, right) for right in vectors] for left in vectors])
    for row, q, c in zip(got, query, passage, strict=True):
        each = [known[p, c] for p in of_passage[of_query == q]]
        assert row == pytest.approx([sum(each) / len(each), max(each)], abs=2e-6)
    alone = [closeness.cosines(query[[n]], vectors[passage[[n]]][None])[0, 0] for n in range(candidates)]
    np.testing.assert_array_equal(got, np.array(alone).reshape(-1, 2))
    few = np.arange(len(positives))
    together = closeness.cosines(few, np.repeat(vectors[None, :15], len(few), axis=0))
    for q in few:
        np.testing.assert_array_equal(together[q], closeness.cosines(np.repeat(q, 15), vectors[:15, None])[:, 0])


def test_one_positive_makes_mean_and_greatest_equal() -> None:
    """The short cut for queries that all have one positive gives what the long way gives."""
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((20, 48)).astype(np.float32)
    query = np.arange(20) % 2
    single = Closeness(vectors[[4, 9]], np.array([0, 1]), 2).cosines(query, vectors[:, None])
    several = Closeness(vectors[[4, 9, 1, 2]], np.array([0, 1, 2, 2]), 3).cosines(query, vectors[:, None])
    np.testing.assert_array_equal(single, several)
    np.testing.assert_array_equal(single[..., 0], single[..., 1])


def test_a_passage_is_most_similar_to_itself() -> None:
    vectors = np.array([[3.0, 0.0], [0.0, 2.0]], np.float32)
    got = Closeness(vectors[:1], np.array([0]), 1).cosines(np.array([0]), vectors[None, [1, 0]])
    assert got[0, :, 1].tolist() == pytest.approx([0.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    passages=st.integers(1, 70),
    positives=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    rows=st.integers(1, 80),
    similarity=st.sampled_from(["cosine", "dot", "euclidean", "manhattan"]),
    values=st.sampled_from([2, 1000]),
)
def test_a_search_gives_the_cosines_of_what_it_finds(
    seed: int, passages: int, positives: list[int], rows: int, similarity: str, values: int
) -> None:
    """With few values there are ties beyond the depth, and queries are searched again."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-values, values + 1, (passages, 3)).astype(np.float32)
    queries = rng.integers(-values, values + 1, (len(positives), 3)).astype(np.float32)
    of_query = np.repeat(np.arange(len(positives)), positives)
    of_passage = rng.integers(0, passages, len(of_query))
    depth = rng.integers(1, 20, len(positives))
    blocks = blocks_of(vectors, rows)
    closeness = Closeness(gather(blocks, of_passage), of_query, len(positives))
    found = search_exact(queries, blocks, depth, passages, similarity, closeness)
    plain = search_exact(queries, blocks, depth, passages, similarity)
    np.testing.assert_array_equal(found.passage, plain.passage)
    np.testing.assert_array_equal(found.score, plain.score)
    assert plain.cosines.shape == (len(plain.query), 0)
    for q, c, row in zip(found.query, found.passage, found.cosines, strict=True):
        each = [cosine(vectors[p], vectors[c]) for p in of_passage[of_query == q]]
        assert row == pytest.approx([sum(each) / len(each), max(each)], abs=2e-6)


def test_a_search_of_an_index_gives_the_same_cosines() -> None:
    rng = np.random.default_rng(8)
    vectors = rng.standard_normal((900, 16)).astype(np.float32)
    blocks, of_query = blocks_of(vectors, 100), np.repeat(np.arange(30), 2)
    closeness = Closeness(vectors[: len(of_query)], of_query, 30)
    index = new_index("Flat", 16, "dot")
    build(index, blocks, 900, seed=0)
    depth = np.full(30, 40)
    found = search_approximate(index, vectors[-30:], blocks, depth, 900, "dot", closeness)
    exact = search_exact(vectors[-30:], blocks, depth, 900, "dot", closeness)
    np.testing.assert_array_equal(found.passage, exact.passage)
    np.testing.assert_array_equal(found.cosines, exact.cosines)


def test_gather_keeps_the_asked_order() -> None:
    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    found = gather(blocks_of(vectors, 2), np.array([4, 0, 4, 2]))
    np.testing.assert_array_equal(found, vectors[[4, 0, 4, 2]])
