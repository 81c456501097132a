"""Choosing among survivors: the right distribution, and every query for itself."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.selection.choice import STRATEGIES, deviations, places
from negmine.selection.random import mix

WEIGHTED = ("softmax", "simans")
CHI_SQUARE = {2: 18.42, 5: 25.74, 19: 50.80}  # exceeded once in 10,000, by degrees of freedom


class Batch:
    """Candidates of some queries, (n,) arrays, best first within a query."""

    def __init__(self, scores: list[list[float]], among: list[list[bool]] | None = None, keys=None) -> None:
        sizes = [len(row) for row in scores]
        keys = range(len(scores)) if keys is None else keys
        self.query = np.repeat(np.arange(len(scores)), sizes)
        self.score = np.array([s for row in scores for s in row], np.float64)
        self.among = (
            np.ones(len(self.score), bool) if among is None else np.array([a for row in among for a in row], bool)
        )
        self.query_key = mix(11, np.repeat(np.array(list(keys), np.int64), sizes))
        self.passage_key = mix(12, np.array([i for size in sizes for i in range(size)], np.int64))
        self.reference = np.repeat(np.array([max(row, default=0.0) + 0.5 for row in scores]), sizes)

    def places(self, strategy: str, **options) -> np.ndarray:
        settings_ = {"seed": 1, "num_negatives": 3} | options
        return places(
            strategy,
            self.query,
            self.among,
            self.score,
            self.reference,
            self.query_key,
            self.passage_key,
            **settings_,
        )


def by_hand(batch: Batch, strategy: str, seed=1, num_negatives=3, temperature=1.0, offset=0.0) -> list[int]:
    """The definitions, one query and one row at a time."""
    place = [0] * len(batch.query)
    for number in sorted(set(batch.query.tolist())):
        rows = [i for i in range(len(place)) if batch.query[i] == number and batch.among[i]]
        if not rows:
            continue
        draw = {i: int(mix(seed, batch.query_key[i], batch.passage_key[i])[0]) for i in rows}
        score = {i: float(batch.score[i]) for i in rows}
        sigma = statistics.pstdev(score.values())
        if strategy == "top":
            order = rows
        elif strategy == "random":
            order = sorted(rows, key=draw.__getitem__)
        elif strategy == "spread":
            order = []
            for band in range(num_negatives):
                low, high = band * len(rows) // num_negatives, (band + 1) * len(rows) // num_negatives
                order += sorted(rows[low:high], key=draw.__getitem__)[:1]
            order += sorted((i for i in rows if i not in order), key=draw.__getitem__)
        else:
            key = {}
            for i in rows:
                uniform = ((draw[i] >> 12) + 0.5) / 2**52
                weight = 0.0
                if sigma > 0 and strategy == "softmax":
                    weight = score[i] / (temperature * sigma)
                elif sigma > 0:
                    a, b = 1 / (2 * sigma**2), offset * sigma
                    weight = -a * (score[i] - float(batch.reference[i]) - b) ** 2 / temperature
                key[i] = weight - math.log(-math.log(uniform))
            order = sorted(rows, key=lambda i: -key[i])
        for position, row in enumerate(order):
            place[row] = position
    return place


def random_batch(seed: int, queries: int = 12, most: int = 20) -> Batch:
    rng = np.random.default_rng(seed)
    scores = [sorted(rng.random(rng.integers(0, most)).tolist(), reverse=True) for _ in range(queries)]
    return Batch(scores, [(rng.random(len(row)) < 0.7).tolist() for row in scores])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("options", [{}, {"temperature": 0.3, "offset": -1.5, "num_negatives": 7, "seed": 9}])
def test_places_follow_the_definition(strategy: str, options: dict) -> None:
    for seed in range(8):
        batch = random_batch(seed)
        assert batch.places(strategy, **options).tolist() == by_hand(batch, strategy, **options)


def test_random_is_the_order_of_the_hash() -> None:
    batch = random_batch(3)
    draw = mix(5, batch.query_key, batch.passage_key)
    rows = np.flatnonzero(batch.among)
    got = batch.places("random", seed=5)
    taken = rows[np.lexsort((got[rows], batch.query[rows]))]
    np.testing.assert_array_equal(taken, rows[np.lexsort((draw[rows], batch.query[rows]))])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_candidates_and_no_survivors_give_no_places(strategy: str) -> None:
    assert Batch([]).places(strategy).tolist() == []
    assert Batch([[2.0, 1.0]], [[False, False]]).places(strategy).tolist() == [0, 0]


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(ValueError, match="unknown strategy 'best': one of top, random"):
        Batch([[1.0]]).places("best")


def exact_weights(strategy: str, scores: list[float], reference: float, temperature: float, offset: float):
    sigma = statistics.pstdev(scores)
    if strategy == "softmax":
        return [math.exp(s / (temperature * sigma)) for s in scores]
    return [math.exp(-((s - reference - offset * sigma) ** 2) / (2 * sigma**2) / temperature) for s in scores]


@pytest.mark.parametrize("strategy", WEIGHTED)
@pytest.mark.parametrize(("temperature", "offset"), [(1.0, 0.0), (0.5, -1.0), (2.0, -2.0)])
def test_the_first_draws_have_the_exact_probabilities(strategy: str, temperature: float, offset: float) -> None:
    """Ordered pairs of the first two taken, chi-square over seeds and queries: p(i) p(j) / (1 - p(i))."""
    scores, copies, seeds = [0.9, 0.8, 0.55, 0.5, 0.1], 2000, 10
    batch = Batch([scores] * copies)
    seen: Counter[tuple[int, int]] = Counter()
    for seed in range(seeds):
        got = batch.places(strategy, seed=seed, temperature=temperature, offset=offset).reshape(copies, -1)
        order = np.argsort(got, axis=1)
        seen.update(map(tuple, order[:, :2].tolist()))
    weights = exact_weights(strategy, scores, 1.4, temperature, offset)
    p = [w / sum(weights) for w in weights]
    statistic = 0.0
    for i, j in permutations(range(len(scores)), 2):
        expected = copies * seeds * p[i] * p[j] / (1 - p[i])
        statistic += (seen[i, j] - expected) ** 2 / expected
    assert statistic < CHI_SQUARE[19]


@pytest.mark.parametrize("strategy", WEIGHTED)
def test_equal_scores_are_drawn_uniformly(strategy: str) -> None:
    copies = 6000
    got = Batch([[0.1] * 3] * copies).places(strategy, temperature=0.01, offset=5.0).reshape(copies, 3)
    seen = Counter(map(tuple, got.tolist()))
    expected = copies / 6
    assert sum((seen[p] - expected) ** 2 / expected for p in permutations(range(3))) < CHI_SQUARE[5]


def test_spread_draws_uniformly_within_a_band() -> None:
    copies = 6000
    got = Batch([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]] * copies).places("spread", num_negatives=2).reshape(copies, 6)
    for position, band in ((0, [0, 1, 2]), (1, [3, 4, 5])):
        seen = Counter(np.argmax(got == position, axis=1).tolist())
        assert sorted(seen) == band
        assert sum((seen[row] - copies / 3) ** 2 / (copies / 3) for row in band) < CHI_SQUARE[2]


def test_spread_takes_all_in_row_order_when_they_are_too_few() -> None:
    assert Batch([[0.9, 0.8, 0.7]]).places("spread", num_negatives=3).tolist() == [0, 1, 2]
    assert Batch([[0.9, 0.8, 0.7]]).places("spread", num_negatives=8).tolist() == [0, 1, 2]


@pytest.mark.parametrize("strategy", WEIGHTED)
@pytest.mark.parametrize(("scale", "shift"), [(1000.0, 0.0), (1e-6, 0.0), (1.0, 50.0), (0.01, -3.0)])
def test_the_unit_of_the_scores_does_not_matter(strategy: str, scale: float, shift: float) -> None:
    batch = random_batch(4)
    before = batch.places(strategy, temperature=0.7, offset=-0.5)
    batch.score, batch.reference = batch.score * scale + shift, batch.reference * scale + shift
    np.testing.assert_array_equal(batch.places(strategy, temperature=0.7, offset=-0.5), before)


def test_simans_prefers_what_lies_at_the_offset_below_the_reference() -> None:
    scores = [4.0, 3.0, 2.0, 1.0, 0.0]  # reference 4.5, sigma sqrt(2)
    got = Batch([scores]).places("simans", temperature=1e-9, offset=-2.4 / math.sqrt(2))
    assert got.tolist() == [3, 1, 0, 2, 4]


@pytest.mark.parametrize("temperature", [1e-3, 1e-300])
def test_next_to_temperature_0_softmax_takes_the_best(temperature: float) -> None:
    assert Batch([[0.9, 0.5, 0.4, 0.1]]).places("softmax", temperature=temperature).tolist() == [0, 1, 2, 3]


def test_statistics_are_bit_equal_alone_and_among_others() -> None:
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.normal(rng.normal(0, 100), 10.0 ** rng.integers(-6, 3), 137))[::-1] for _ in range(50)]
    together = deviations(np.repeat(np.arange(50), 137), np.concatenate(rows))
    for number, row in enumerate(rows):
        alone = deviations(np.zeros(137, np.int64), row)
        for one, all_ in zip(alone, together, strict=True):
            assert one.tobytes() == all_[number * 137 : (number + 1) * 137].tobytes()
        assert math.isclose(alone[1][0], statistics.pstdev(row.tolist()), rel_tol=1e-9)


some_scores = st.lists(st.integers(-40, 40).map(lambda i: i / 8), max_size=9).map(lambda s: sorted(s, reverse=True))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(STRATEGIES), st.lists(some_scores, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_other_queries_change_nothing(strategy: str, scores: list[list[float]], random) -> None:
    """A query alone takes what it takes among others in any order, and the survivors fill the places."""
    order = random.sample(range(len(scores)), len(scores))
    among = [[random.random() < 0.8 for _ in row] for row in scores]
    shuffled = Batch([scores[i] for i in order], [among[i] for i in order], order)
    together = shuffled.places(strategy, temperature=0.5, offset=-1.0)
    for position, number in enumerate(order):
        alone = Batch([scores[number]], [among[number]], [number]).places(strategy, temperature=0.5, offset=-1.0)
        mine = shuffled.query == position
        np.testing.assert_array_equal(together[mine], alone)
        assert sorted(together[mine & shuffled.among].tolist()) == list(range(sum(among[number])))
        assert not together[mine & ~shuffled.among].any()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([s for s in STRATEGIES if s != "spread"]), st.integers(1, 6), st.integers(0, 99))
def test_one_more_negative_adds_one(strategy: str, num_negatives: int, seed: int) -> None:
    batch = random_batch(seed, queries=4, most=9)
    fewer, more = (batch.places(strategy, num_negatives=n) for n in (num_negatives, num_negatives + 1))
    added = batch.among & (more < num_negatives + 1) & ~(fewer < num_negatives)
    assert not (batch.among & (fewer < num_negatives) & ~(more < num_negatives + 1)).any()
    survivors = np.bincount(batch.query[batch.among], minlength=4)
    expected = (survivors > num_negatives).astype(int)
    np.testing.assert_array_equal(np.bincount(batch.query[added], minlength=4), expected)
