"""Search by lists is exact search among the passages of the nearest lists, whatever the blocks and threads."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.retrieval.exact import Neighbours, search_exact
from negmine.retrieval.list_costs import choose_lists, sample_bytes
from negmine.retrieval.lists import Lists, assign_lists, lists_in_order, search_lists, train_lists

RNG = np.random.default_rng(3)
TOPICS = RNG.standard_normal((40, 24), dtype=np.float32)
LOOSE = (TOPICS[RNG.integers(0, 40, 6000)] + RNG.standard_normal((6000, 24), dtype=np.float32)).astype(np.float32)
LOOSE[100:130] = LOOSE[100]
UNIT = LOOSE / np.linalg.norm(LOOSE, axis=1, keepdims=True)
DEPTH = np.where(np.arange(70) % 10 == 0, 90, 12)


def passages_of(similarity: str) -> np.ndarray:
    return UNIT if similarity == "cosine" else LOOSE


def queries_of(similarity: str) -> np.ndarray:
    noise = 0.3 * np.random.default_rng(4).standard_normal((70, 24), dtype=np.float32)
    queries = passages_of(similarity)[60:130] + noise
    return queries / np.linalg.norm(queries, axis=1, keepdims=True) if similarity == "cosine" else queries


def cut(matrix: np.ndarray, rows: int):
    def blocks():
        for low in range(0, len(matrix), rows):
            yield low, matrix[low : low + rows]

    return blocks


def listed(similarity: str, lists: int = 32) -> tuple[Lists, np.ndarray]:
    passages = passages_of(similarity)
    centroids = train_lists(passages[::3], lists, similarity, seed=7)
    found = Lists.of(centroids, assign_lists(passages, centroids, similarity))
    return found, passages[found.passage]


def score(query: np.ndarray, passage: np.ndarray, similarity: str) -> float:
    a, b = query.astype(np.float64), passage.astype(np.float64)
    return -float(np.sqrt(((a - b) ** 2).sum())) if similarity == "euclidean" else float((a * b).sum())


def by_hand(lists: Lists, similarity: str, nprobe: int, query: np.ndarray, depth: int) -> list[int]:
    """Every passage of the nearest lists, scored one by one."""
    worth = [(-score(query, centre, similarity), number) for number, centre in enumerate(lists.centroids)]
    rows = [
        row for _, number in sorted(worth)[:nprobe] for row in range(lists.offsets[number], lists.offsets[number + 1])
    ]
    passages = passages_of(similarity)
    ranked = sorted((-score(query, passages[lists.passage[row]], similarity), int(lists.passage[row])) for row in rows)
    return [passage for _, passage in ranked[:depth]]


def rows_of(found: Neighbours, query: int) -> list[int]:
    return found.passage[found.query == query].tolist()


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("nprobe", [1, 5])
def test_it_finds_the_best_passages_of_the_nearest_lists(similarity: str, nprobe: int) -> None:
    """Also among 30 equal passages, whose order is that of their numbers."""
    lists, matrix = listed(similarity)
    queries = queries_of(similarity)
    found = search_lists(queries, lists, cut(matrix, 500), DEPTH, similarity, nprobe)
    for query in range(0, 70, 5):
        wanted = by_hand(lists, similarity, nprobe, queries[query], int(DEPTH[query]))
        assert rows_of(found, query) == wanted


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_all_lists_give_exactly_what_exact_search_gives(similarity: str) -> None:
    lists, matrix = listed(similarity)
    queries, passages = queries_of(similarity), passages_of(similarity)
    found = search_lists(queries, lists, cut(matrix, 700), DEPTH, similarity, 32)
    exact = search_exact(queries, cut(passages, 1000), DEPTH, len(passages), similarity)
    for mine, theirs in zip(
        (found.query, found.passage, found.score), (exact.query, exact.passage, exact.score), strict=True
    ):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("together", [1, 7, 64])
def test_queries_are_settled_by_ranges(monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    """However many at once: also where the last range is short, and where a pass settles again and again."""
    lists, matrix = listed("cosine")
    queries = queries_of("cosine")
    whole = search_lists(queries, lists, cut(matrix, 6000), DEPTH, "cosine", 20)
    monkeypatch.setattr("negmine.retrieval.lists._SETTLED", together)
    found = search_lists(queries, lists, cut(matrix, 90), DEPTH, "cosine", 20)
    for mine, theirs in zip((found.query, found.passage), (whole.query, whole.passage), strict=True):
        assert np.array_equal(mine, theirs)


@settings(max_examples=15, deadline=None)
@given(block=st.integers(37, 6000), threads=st.integers(1, 3), batch=st.integers(1, 70))
def test_blocks_threads_and_batches_change_nothing(block: int, threads: int, batch: int) -> None:
    lists, matrix = listed("cosine")
    queries = queries_of("cosine")
    whole = search_lists(queries, lists, cut(matrix, 6000), DEPTH, "cosine", 6)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        parts = [
            search_lists(queries[i : i + batch], lists, cut(matrix, block), DEPTH[i : i + batch], "cosine", 6)
            for i in range(0, 70, batch)
        ]
    finally:
        faiss.omp_set_num_threads(before)
    assert np.array_equal(np.concatenate([part.passage for part in parts]), whole.passage)
    assert np.array_equal(np.concatenate([part.score for part in parts]), whole.score)


def test_lists_are_the_same_bytes_on_any_number_of_threads() -> None:
    before = faiss.omp_get_max_threads()
    made = []
    for threads in (1, 2, 3):
        faiss.omp_set_num_threads(threads)
        made.append(listed("cosine")[0])
    faiss.omp_set_num_threads(before)
    for other in made[1:]:
        assert made[0].centroids.tobytes() == other.centroids.tobytes()
        assert made[0].passage.tobytes() == other.passage.tobytes()


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_every_passage_is_in_one_list_the_nearest(similarity: str) -> None:
    lists, _ = listed(similarity)
    passages = passages_of(similarity)
    assert sorted(lists.passage.tolist()) == list(range(len(passages)))
    for number in range(len(lists.centroids)):
        for row in range(lists.offsets[number], lists.offsets[number + 1], 9):
            away = ((lists.centroids - passages[lists.passage[row]]).astype(np.float64) ** 2).sum(axis=1)
            assert away[number] <= away.min() * (1 + 1e-5) + 1e-6


def test_more_lists_than_distinct_passages_leave_some_empty() -> None:
    """Empty lists and queries whose lists hold nothing are no error."""
    passages = np.repeat(UNIT[:4], 10, axis=0)
    centroids = train_lists(passages, 12, "cosine", seed=0)
    lists = Lists.of(centroids, assign_lists(passages, centroids, "cosine"))
    found = search_lists(UNIT[:4], lists, cut(passages[lists.passage], 7), np.full(4, 10), "cosine", 12)
    assert [rows_of(found, q) for q in range(4)] == [list(range(10 * q, 10 * q + 10)) for q in range(4)]


def test_the_order_of_lists_is_that_of_the_search() -> None:
    lists, matrix = listed("cosine")
    queries = queries_of("cosine")
    place = lists_in_order(queries, lists.centroids, "cosine")
    in_list = np.empty(len(lists.passage), np.int64)
    in_list[lists.passage] = np.repeat(np.arange(32), np.diff(lists.offsets))
    found = search_lists(queries, lists, cut(matrix, 6000), np.full(70, 6000), "cosine", 3)
    assert (place[found.query, in_list[found.passage]] < 3).all()
    for query in range(70):
        assert len(rows_of(found, query)) == (place[query, in_list] < 3).sum()


def test_lists_are_chosen_where_they_pay() -> None:
    """From sizes alone: never for few queries, few passages, or a depth near the corpus's size."""
    assert choose_lists(1_000_000, 50_000, 100, 384) >= 512
    assert choose_lists(1_000_000, 100, 100, 384) == 0
    assert choose_lists(1_000, 1_000_000, 100, 384) == 0
    assert choose_lists(20_000, 10_000, 100, 384) == choose_lists(100_000, 10_000, 100, 384) == 0
    assert choose_lists(100_000, 50_000, 90_000, 384) == 0


def test_what_lists_are_trained_on_stays_small() -> None:
    for dimension in (64, 384, 1024, 4096):
        lists = choose_lists(100_000_000, 10_000_000, 100, dimension)
        assert lists >= 32
        assert sample_bytes(lists, dimension) <= 2**28
