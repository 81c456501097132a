"""The union of what several retrievers found equals that of plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from negmine.retrieval.fusion import Hits, Pool, pooled, reciprocal_ranks

PASSAGES = 7
Found = list[dict[tuple[int, int], int]]

found_lists = st.lists(
    st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, PASSAGES - 1)), st.integers(1, 99), max_size=12),
    min_size=1,
    max_size=4,
)


def hits(found: dict[tuple[int, int], int]) -> Hits:
    pairs = np.array(list(found), np.int64).reshape(-1, 2)
    return Hits(pairs[:, 0], pairs[:, 1], np.array(list(found.values()), np.int32))


def rows(pool: Pool) -> list[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """Every candidate with its (retriever, rank)."""
    whose = list(zip(pool.retriever.tolist(), pool.rank.tolist(), strict=True))
    return [
        ((query, passage), whose[low:high])
        for query, passage, low, high in zip(
            pool.query.tolist(), pool.passage.tolist(), pool.offsets[:-1], pool.offsets[1:], strict=True
        )
    ]


@given(found_lists)
def test_every_pair_is_there_once_with_all_who_found_it(found: Found) -> None:
    expected: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for retriever, pairs in enumerate(found):
        for pair, rank in pairs.items():
            expected.setdefault(pair, []).append((retriever, rank))
    pool, places = pooled([hits(pairs) for pairs in found], PASSAGES)
    assert dict(rows(pool)) == expected
    assert len(rows(pool)) == len(expected)
    if len(found) > 1:
        assert [pair for pair, _ in rows(pool)] == sorted(expected)
    candidates = [pair for pair, _ in rows(pool)]
    assert [[candidates[row] for row in place] for place in places] == [list(pairs) for pairs in found]


@given(found_lists, st.randoms(use_true_random=False))
def test_another_order_keeps_who_found_what(found: Found, random: object) -> None:
    pool, _ = pooled([hits(pairs) for pairs in found], PASSAGES)
    order = list(range(len(pool.query)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert rows(pool.in_order(np.array(order, np.int64))) == [rows(pool)[row] for row in order]


def test_a_single_list_stays_in_its_order() -> None:
    """Best first, as a search gives it."""
    pool, (places,) = pooled([hits({(0, 5): 1, (0, 2): 2, (1, 3): 1})], PASSAGES)
    assert [pair for pair, _ in rows(pool)] == [(0, 5), (0, 2), (1, 3)]
    assert places.tolist() == [0, 1, 2]


@given(found_lists)
def test_reciprocal_ranks_are_summed(found: Found) -> None:
    """Whichever retriever gave which rank: equal ranks are an exact tie."""
    pool, _ = pooled([hits(pairs) for pairs in found], PASSAGES)
    ranks = [sorted(rank for _, rank in whose) for _, whose in rows(pool)]
    fused = reciprocal_ranks(pool)
    np.testing.assert_allclose(fused, [sum(1 / (60 + rank) for rank in of) for of in ranks], rtol=1e-12)


@given(found_lists)
def test_who_found_a_candidate(found: Found) -> None:
    pool, _ = pooled([hits(pairs) for pairs in found], PASSAGES)
    for retriever in range(len(found)):
        expected = [retriever in {who for who, _ in whose} for _, whose in rows(pool)]
        assert pool.found_by(retriever).tolist() == expected


def test_equal_ranks_are_an_exact_tie() -> None:
    """1/61 + 1/62 + 1/67 is another number than 1/61 + 1/67 + 1/62 in double precision."""
    found: Found = [{(0, 0): 1, (0, 1): 1}, {(0, 0): 2, (0, 1): 7}, {(0, 0): 7, (0, 1): 2}]
    fused = reciprocal_ranks(pooled([hits(pairs) for pairs in found], PASSAGES)[0])
    assert fused[0] == fused[1]
