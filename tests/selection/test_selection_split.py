"""Queries held out: nothing shared across, near the share wished for, the same whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.selection.split import Split, split_queries


def components_by_hand(pairs: list[tuple[int, int]], queries: int) -> list[set[int]]:
    """Union-find over queries and what they share."""
    parent: dict[object, object] = {query: query for query in range(queries)}

    def root(node: object) -> object:
        while parent[node] != node:
            node = parent[node]
        return node

    for query, thing in pairs:
        parent.setdefault(("thing", thing), ("thing", thing))
        parent[root(query)] = root(("thing", thing))
    found: dict[object, set[int]] = {}
    for query in range(queries):
        found.setdefault(root(query), set()).add(query)
    return list(found.values())


def split(pairs: list[tuple[int, int]], queries: int, hashes: list[int], share: float) -> Split:
    query, thing = zip(*pairs, strict=True) if pairs else ((), ())
    return split_queries(
        np.array(query, np.int64), np.array(thing, np.int64), queries, np.array(hashes, np.uint64), share
    )


def held(found: Split) -> set[int]:
    return set(np.flatnonzero(found.dev).tolist())


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int, list[int], float]:
    queries = draw(st.integers(1, 25))
    pair = st.tuples(st.integers(0, queries - 1), st.integers(0, 30))
    hashes = draw(st.lists(st.integers(0, 2**64 - 1), min_size=queries, max_size=queries, unique=True))
    return draw(st.lists(pair, max_size=40)), queries, hashes, draw(st.floats(0.001, 0.5))


@settings(max_examples=300, deadline=None)
@given(problems())
def test_a_component_is_on_one_side(problem) -> None:
    pairs, queries, _, _ = problem
    found = split(*problem)
    components = components_by_hand(pairs, queries)
    dev = held(found)
    assert all(component <= dev or not component & dev for component in components)
    assert (found.components, found.largest) == (len(components), max(map(len, components)))
    assert found.share == pytest.approx(len(dev) / queries)


@settings(max_examples=300, deadline=None)
@given(problems())
def test_the_number_held_out_is_as_near_as_the_rule_promises(problem) -> None:
    """Never above the target by more than half a component that is held out, never below it when one more would
    have brought it nearer; the largest stays in train."""
    pairs, queries, _, share = problem
    dev = held(split(*problem))
    components = sorted(components_by_hand(pairs, queries), key=len)
    target = share * queries
    inside = [component for component in components if component <= dev]
    outside = [component for component in components if not component <= dev]
    assert max(map(len, outside)) == len(components[-1])
    assert len(dev) <= target + max((len(component) / 2 for component in inside), default=0) + 1e-9
    outside.remove(max(outside, key=len))
    assert all(len(dev) + len(component) / 2 > target - 1e-9 for component in outside)


@settings(max_examples=200, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_queries_and_pairs_changes_nothing(problem, random) -> None:
    """Queries and things under other numbers, pairs in another order and twice: the same ones are held out."""
    pairs, queries, hashes, share = problem
    places = random.sample(range(queries), queries)
    names = random.sample(range(100), 31)
    shuffled = [(places[query], names[thing]) for query, thing in pairs] * 2
    random.shuffle(shuffled)
    moved = [0] * queries
    for query, place in enumerate(places):
        moved[place] = hashes[query]
    assert held(split(shuffled, queries, moved, share)) == {places[query] for query in held(split(*problem))}


def test_without_anything_shared_the_share_is_met_exactly() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, 1000)
    found = split([(query, query) for query in range(1000)], 1000, hashes.tolist(), 0.05)
    assert (found.dev.sum(), found.components, found.largest) == (50, 1000, 1)


def test_one_component_stays_in_train() -> None:
    found = split([(query, 0) for query in range(400)], 400, list(range(400)), 0.5)
    assert (found.dev.sum(), found.components, found.largest) == (0, 1, 400)


def test_a_giant_component_stays_in_train_and_the_rest_makes_up_the_share() -> None:
    pairs = [(query, 0) for query in range(60)] + [(query, query) for query in range(60, 100)]
    dev = held(split(pairs, 100, np.random.default_rng(1).integers(0, 2**63, 100).tolist(), 0.3))
    assert len(dev) == 30
    assert min(dev) >= 60


def test_other_hashes_hold_out_other_queries() -> None:
    draws = np.random.default_rng(2)
    sides = [held(split([], 200, draws.integers(0, 2**63, 200).tolist(), 0.1)) for _ in range(2)]
    assert sides[0] != sides[1]


def test_large_and_small_components_are_held_out_alike() -> None:
    """Queries of pairs and queries of their own: dev has both in the proportion of the whole."""
    pairs = [(query, query // 2) for query in range(2000)] + [(query, query) for query in range(2000, 4000)]
    hashes = np.random.default_rng(3).integers(0, 2**63, 4000).tolist()
    dev = held(split(pairs, 4000, hashes, 0.25))
    assert sum(query < 2000 for query in dev) / len(dev) == pytest.approx(0.5, abs=0.05)


def test_one_more_query_moves_few_others() -> None:
    hashes = np.random.default_rng(4).integers(0, 2**63, 1001).tolist()
    before, after = held(split([], 1000, hashes[:1000], 0.1)), held(split([], 1001, hashes, 0.1))
    assert len(before ^ after) <= 2
