"""Exact search equals brute force in float64, whatever the blocks and the similarity."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.retrieval.exact import search_exact
from negmine.retrieval.proposing import group_by_depth
from negmine.retrieval.similarity import SIMILARITIES, greatest_norm, pair_scores, score_pairs


def blocks_of(vectors: np.ndarray, rows: int):
    """A pass over ``vectors`` in blocks of ``rows``."""

    def start():
        for low in range(0, len(vectors), rows):
            yield low, vectors[low : low + rows]

    return start


def brute_force(queries: np.ndarray, passages: np.ndarray, depth: np.ndarray, similarity: str):
    """(passages, scores) per query by scoring everything in float64."""
    for row, query in enumerate(queries):
        scores = pair_scores(np.repeat(query[None], len(passages), 0), passages, similarity)
        order = np.lexsort((np.arange(len(passages)), -scores))[: depth[row]]
        yield order, scores[order]


def assert_equals_brute_force(queries, passages, depth, similarity, rows) -> None:
    found = search_exact(queries, blocks_of(passages, rows), depth, len(passages), similarity)
    for row, (expected, scores) in enumerate(brute_force(queries, passages, depth, similarity)):
        mine = found.query == row
        np.testing.assert_array_equal(found.passage[mine], expected)
        np.testing.assert_array_equal(found.score[mine], scores)


def data(kind: str, similarity: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    passages = rng.standard_normal((700, 24)).astype(np.float32)
    queries = rng.standard_normal((30, 24)).astype(np.float32)
    if kind == "all equal":
        passages[:] = passages[0]
    elif kind == "ties":
        passages, queries = np.round(passages[:, :4]), np.round(queries[:, :4])
    elif kind == "twins":
        passages[350:] = passages[:350]
    elif kind == "tiny gaps":
        passages = np.repeat(passages[:1], 700, 0) + 1e-7 * passages
    elif kind == "huge":
        passages, queries = passages * 1e4, queries * 1e4
    if similarity == "cosine":
        passages = passages / np.maximum(np.linalg.norm(passages, axis=1, keepdims=True), 1e-9)
        queries = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-9)
    return queries.astype(np.float32), passages.astype(np.float32)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("kind", ["plain", "all equal", "ties", "twins", "tiny gaps", "huge"])
@pytest.mark.parametrize("rows", [64, 10_000])
def test_search_equals_brute_force(kind: str, similarity: str, rows: int) -> None:
    queries, passages = data(kind, similarity)
    depth = np.random.default_rng(1).integers(1, 90, len(queries))
    assert_equals_brute_force(queries, passages, depth, similarity, rows)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 8),
    st.integers(1, 12),
    st.integers(1, 70),
    st.integers(1, 80),
    st.sampled_from(SIMILARITIES),
    st.integers(0, 2**32 - 1),
)
def test_search_equals_brute_force_on_any_shape(passages, dimension, queries, rows, depth, similarity, seed) -> None:
    rng = np.random.default_rng(seed)
    c = rng.integers(-3, 4, (passages, dimension)).astype(np.float32)
    q = rng.integers(-3, 4, (queries, dimension)).astype(np.float32)
    assert_equals_brute_force(q, c, np.minimum(np.full(queries, depth), passages), similarity, rows)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_change_the_result(threads: int) -> None:
    queries, passages = data("plain", "cosine")
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        assert_equals_brute_force(queries, passages, np.full(len(queries), 50), "cosine", 128)
    finally:
        faiss.omp_set_num_threads(before)


def test_a_query_with_many_positives_is_searched_apart() -> None:
    """Depth is a matter of each query: groups are powers of two."""
    groups = group_by_depth(np.array([101, 101, 5101, 102]))
    assert [(rows.tolist(), width) for rows, width in groups] == [([0, 1, 3], 102), ([2], 5101)]


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("dimension", [1, 3, 31, 384, 9001])
def test_scores_of_pairs_do_not_depend_on_their_company(similarity: str, dimension: int) -> None:
    """Nor on the order of the pairs, on blocks, and on where in memory a vector begins."""
    rng = np.random.default_rng(3)
    queries, passages = (rng.standard_normal((rows, dimension)).astype(np.float32) for rows in (6, 50))
    query, passage = rng.integers(0, 6, 90), rng.integers(0, 50, 90)
    alone = [pair_scores(queries[[q]], passages[[p]], similarity)[0] for q, p in zip(query, passage, strict=True)]
    np.testing.assert_array_equal(pair_scores(queries[query], passages[passage], similarity), alone)
    for order in (np.arange(90), np.argsort(query, kind="stable")):
        for rows in (7, 50):
            together = score_pairs(queries, blocks_of(passages, rows), query[order], passage[order], similarity)
            np.testing.assert_array_equal(together, np.array(alone)[order])


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_no_vector_is_longer_than_the_greatest_norm(kind: type) -> None:
    """Of normalised vectors it is known before, also as they are stored in half precision."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((2000, 96)) * rng.choice([1e-4, 1.0], (2000, 96))
    unit = (vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))).astype(kind).astype(np.float32)
    longest = np.sqrt((unit.astype(np.float64) ** 2).sum(axis=1)).max()
    assert longest <= greatest_norm(unit, "cosine") < 1.01 * longest
    for similarity in ("dot", "euclidean", "manhattan"):
        assert greatest_norm(unit, similarity) == pytest.approx(longest, rel=1e-6)


def test_no_pairs_read_no_blocks() -> None:
    def blocks():
        raise AssertionError("a block was read")
        yield

    empty = np.empty(0, np.int64)
    assert len(score_pairs(np.ones((1, 2), np.float32), blocks, empty, empty, "dot")) == 0
