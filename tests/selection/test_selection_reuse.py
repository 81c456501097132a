"""A cap on how often a passage serves: the hardest claims first, the others ask on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.selection.reuse import over_claimed


def by_hand(lists: list[list[tuple[int, float]]], num_negatives: int, max_reuse: int) -> set[tuple[int, int]]:
    """One claim at a time: the (query, passage) rejected. ``lists`` holds passages and scores by preference."""
    rejected: set[tuple[int, int]] = set()
    serving: dict[int, list[tuple[float, int]]] = {}
    upcoming = [0] * len(lists)
    free = [query for query in range(len(lists)) for _ in range(num_negatives)]
    while free:
        query = free.pop()
        if upcoming[query] == len(lists[query]):
            continue
        passage, score = lists[query][upcoming[query]]
        upcoming[query] += 1
        serves = serving.setdefault(passage, [])
        serves.append((-score, query))
        if len(serves) > max_reuse:
            worst = max(serves)
            serves.remove(worst)
            rejected.add((worst[1], passage))
            free.append(worst[1])
    return rejected


def arrays(lists: list[list[tuple[int, float]]]) -> tuple[np.ndarray, ...]:
    rows = [(q, p, s, place) for q, row in enumerate(lists) for place, (p, s) in enumerate(row)]
    query, passage, score, place = zip(*rows, strict=True) if rows else ((), (), (), ())
    return (
        np.array(query, np.int64),
        np.array(passage, np.int64),
        np.array(score, np.float32),
        np.array(place, np.int64),
    )


def rejected(lists: list[list[tuple[int, float]]], num_negatives: int, max_reuse: int, passages: int = 12):
    query, passage, score, place = arrays(lists)
    marked = over_claimed(query, passage, score, place, num_negatives, max_reuse, passages)
    return set(zip(query[marked].tolist(), passage[marked].tolist(), strict=True))


def chosen(lists: list[list[tuple[int, float]]], gone: set[tuple[int, int]], num_negatives: int) -> list[list[int]]:
    return [[p for p, _ in row if (q, p) not in gone][:num_negatives] for q, row in enumerate(lists)]


def test_the_harder_claim_wins_and_the_loser_asks_on() -> None:
    lists = [[(0, 0.8), (1, 0.7)], [(0, 0.9), (1, 0.6)]]
    gone = rejected(lists, 1, 1)
    assert gone == {(0, 0)}
    assert chosen(lists, gone, 1) == [[1], [0]]


def test_among_equal_scores_the_lower_query_wins() -> None:
    assert rejected([[(3, 0.5)], [(3, 0.5)], [(3, 0.5)]], 1, 2) == {(2, 3)}


def test_a_late_claim_displaces_an_earlier_one() -> None:
    """Query 2 takes passage 0 from query 0, which takes passage 1 from query 1, which gets passage 2."""
    lists = [[(0, 0.5), (1, 0.9)], [(1, 0.8), (2, 0.1)], [(0, 0.6)]]
    gone = rejected(lists, 1, 1)
    assert gone == {(0, 0), (1, 1)}
    assert chosen(lists, gone, 1) == [[1], [2], [0]]


def test_a_passage_within_the_cap_is_left_alone() -> None:
    assert rejected([[(0, 0.5), (1, 0.4)], [(0, 0.6), (1, 0.1)]], 2, 2) == set()


def test_wishes_beyond_num_negatives_are_no_claims() -> None:
    assert rejected([[(0, 0.5), (1, 0.9)], [(1, 0.4), (0, 0.9)]], 1, 1) == set()


def test_a_query_may_come_out_short() -> None:
    lists = [[(0, 0.9)], [(0, 0.8)], []]
    assert chosen(lists, rejected(lists, 3, 1), 3) == [[0], [], []]


def test_no_survivors_no_claims() -> None:
    assert over_claimed(*arrays([]), 3, 1, 5).tolist() == []


def test_a_long_chain_of_displacements_ends() -> None:
    queries = 300
    lists = [[(i, 0.0), (i + 1, 1.0)] for i in range(queries)] + [[(0, 2.0)]]
    assert rejected(lists, 1, 1, queries + 1) == {(i, i) for i in range(queries)}


@pytest.mark.parametrize("place", [[0, 2], [0, 0], [1, 2], [-1, 0]])
def test_places_that_are_no_order_are_refused(place: list[int]) -> None:
    query, passage, score = np.zeros(2, np.int64), np.arange(2), np.ones(2)
    with pytest.raises(ValueError, match=r"places of a query must be 0, 1, \.\.\. without"):
        over_claimed(query, passage, score, np.array(place), 1, 1, 2)


@st.composite
def wishes(draw) -> list[list[tuple[int, float]]]:
    """Orders of preference that need not follow the scores, with many ties."""
    lists = []
    for _ in range(draw(st.integers(0, 9))):
        passages = draw(st.lists(st.integers(0, 11), unique=True, max_size=8))
        lists.append([(p, draw(st.integers(-3, 3)) / 4) for p in passages])
    return lists


@settings(max_examples=400, deadline=None)
@given(wishes(), st.integers(1, 4), st.integers(1, 3))
def test_rejections_are_those_of_one_claim_at_a_time(lists, num_negatives: int, max_reuse: int) -> None:
    assert rejected(lists, num_negatives, max_reuse) == by_hand(lists, num_negatives, max_reuse)


@settings(max_examples=100, deadline=None)
@given(wishes(), st.integers(1, 4), st.integers(1, 3), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(lists, num_negatives: int, max_reuse: int, random) -> None:
    columns = arrays(lists)
    order = np.array(random.sample(range(len(columns[0])), len(columns[0])), np.int64)
    expected = over_claimed(*columns, num_negatives, max_reuse, 12)
    shuffled = over_claimed(*(column[order] for column in columns), num_negatives, max_reuse, 12)
    np.testing.assert_array_equal(shuffled, expected[order])


def random_wishes(seed: int) -> list[list[tuple[int, float]]]:
    """60 queries with 15 of 40 passages each, the low numbers popular."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, 41)
    return [
        [(int(p), float(s)) for p, s in zip(order, np.round(rng.random(15), 1).astype(np.float32), strict=True)]
        for order in (rng.choice(40, 15, replace=False, p=weights / weights.sum()) for _ in range(60))
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("num_negatives", "max_reuse"), [(1, 1), (4, 2), (4, 7), (15, 3)])
def test_no_passage_is_above_the_cap_and_nobody_would_trade(seed: int, num_negatives: int, max_reuse: int) -> None:
    """Stable: a claim was rejected only by a passage full of claims it prefers."""
    lists = random_wishes(seed)
    gone = rejected(lists, num_negatives, max_reuse, 40)
    assert gone == by_hand(lists, num_negatives, max_reuse)
    score = {(q, p): s for q, row in enumerate(lists) for p, s in row}
    serves: dict[int, list[int]] = {}
    for query, taken in enumerate(chosen(lists, gone, num_negatives)):
        for passage in taken:
            serves.setdefault(passage, []).append(query)
    assert gone
    assert max(map(len, serves.values())) == max_reuse
    for query, passage in gone:
        assert len(serves[passage]) == max_reuse
        assert all((-score[q, passage], q) < (-score[query, passage], query) for q in serves[passage])
