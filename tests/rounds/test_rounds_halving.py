"""The order of trials, and whether the best of many is better by more than luck."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from negmine.config import config_from_dict
from negmine.rounds.halving import WIDTH, Arm, gain, successive_halving
from negmine.rounds.maximum import best_of_many
from negmine.rounds.space import candidates
from negmine.selection.bootstrap import ENOUGH_QUERIES

QUERIES = 40


class Tries:
    """Settings are numbers; each has a true value, noise by seed, and trials are counted."""

    def __init__(self, worth: dict[int, float], most: int = 10_000, noise: float = 0.0) -> None:
        self.worth, self.most, self.noise = worth, most, noise
        self.done: list[tuple[int, int]] = []

    def __call__(self, setting: int, number: int) -> np.ndarray | None:
        if len(self.done) == self.most:
            return None
        self.done.append((setting, number))
        random = np.random.default_rng([setting + 5, number])
        return self.worth.get(setting, 0.0) + self.noise * random.standard_normal(QUERIES)


def search(tries: Tries, settings: int, seeds: int = 4) -> tuple[Arm[int], list[Arm[int]]]:
    reference: Arm[int] = Arm(-1)
    return reference, successive_halving(iter(range(settings)), reference, tries, seeds)


def test_half_goes_on_with_twice_the_seeds() -> None:
    """Eight settings are tried once, four twice, two four times; the reference has all seeds."""
    tries = Tries({n: n / 10 for n in range(8)})
    reference, arms = search(tries, 8)
    assert [arm.seeds for arm in arms] == [1, 1, 1, 1, 2, 2, 4, 4]
    assert reference.seeds == 4
    assert tries.done[0] == (-1, 0)


def test_the_best_meets_the_next_bracket() -> None:
    """The winner of a bracket takes part in the next one without being tried again."""
    tries = Tries({3: 1.0, 12: 2.0})
    _, arms = search(tries, 16)
    assert Counter(tries.done).most_common(1)[0][1] == 1
    assert arms[3].seeds == 4
    assert arms[12].seeds == 4
    assert sum(arm.seeds for arm in arms) == len(tries.done) - 4


def test_so_many_trials_are_always_the_same() -> None:
    """A search that ends sooner did the first trials of one that went on."""
    whole = Tries({n: (n * 7 % 11) / 50 for n in range(32)}, noise=0.3)
    search(whole, 32)
    for most in (1, 5, 9, 17, 30):
        part = Tries(whole.worth, most, noise=0.3)
        search(part, 32)
        assert part.done == whole.done[:most]


def test_the_planted_best_is_found_through_noise() -> None:
    """A setting that is clearly better ends with the most seeds and the greatest gain."""
    reference, arms = search(Tries({5: 0.5}, noise=0.5), WIDTH)
    best = max(arms, key=lambda arm: (arm.seeds, gain(arm, reference)))
    assert best.setting == 5
    assert gain(best, reference) == pytest.approx(0.5, abs=0.2)


def test_nothing_is_nothing() -> None:
    """Without settings nothing is trained, and a budget of one trial gives no arm."""
    assert search(Tries({}), 0)[1] == []
    assert search(Tries({}, most=1), 8)[1] == []


def exact(gains: np.ndarray) -> np.ndarray:
    """All sign patterns, in plain Python."""
    norm = np.sqrt((gains**2).sum(axis=1))
    found = gains.sum(axis=1) / norm
    most = [((gains * signs).sum(axis=1) / norm).max() for signs in itertools.product((1, -1), repeat=gains.shape[1])]
    return np.array([np.mean(np.array(most) >= value - 1e-12) for value in found])


def test_the_chance_of_the_best_is_that_of_all_sign_patterns() -> None:
    """Adjusted p-values agree with counting every pattern."""
    gains = np.random.default_rng(1).standard_normal((4, 10)) + np.array([[0.8], [0.2], [0.0], [-0.3]])
    assert best_of_many(gains, np.arange(10)) == pytest.approx(exact(gains), abs=0.02)


def test_groups_are_one_draw_each() -> None:
    """Queries of one group count as one: what is copied ten times is no more certain."""
    gains = np.random.default_rng(2).standard_normal((3, 12)) + 0.5
    copied = np.repeat(gains, 10, axis=1)
    one = best_of_many(gains, np.arange(12))
    assert best_of_many(copied, np.repeat(np.arange(12), 10)) == pytest.approx(one, abs=0.02)


def test_luck_wins_seldom() -> None:
    """Of many settings that are all the same as the default, the best is called better in about a twentieth of
    searches."""
    random = np.random.default_rng(3)
    wins = 0
    for _ in range(80):
        common = random.standard_normal((1, ENOUGH_QUERIES))
        gains = 0.5 * common + random.standard_normal((20, ENOUGH_QUERIES))
        wins += bool(best_of_many(gains, np.arange(ENOUGH_QUERIES))[gains.mean(axis=1).argmax()] < 0.05)
    assert wins / 80 < 0.125


def test_equal_values_prove_nothing() -> None:
    """Settings that change nothing have p = 1."""
    assert best_of_many(np.zeros((2, 5)), np.arange(5)).tolist() == [1.0, 1.0]


def test_settings_are_valid_distinct_and_the_same_every_time() -> None:
    """The stream of settings depends on config and seed alone, holds no setting twice, and none that is no config."""
    data = {
        "data": {"pairs": "p.jsonl"},
        "embed": {"model": "some/model"},
        "mine": {"k": 12},
        "filter": {"num_negatives": 4, "max_rank": 12},
    }
    config = config_from_dict(data)
    first = list(itertools.islice(candidates(config, 0), 60))
    again = list(itertools.islice(candidates(config, 0), 60))
    other = list(itertools.islice(candidates(config, 1), 60))
    assert [each.name for each in first] == [each.name for each in again]
    assert [each.name for each in first] != [each.name for each in other]
    assert len({each.config.filter.model_dump_json() for each in first}) == 60
    assert all(each.config.filter.range_min + each.config.filter.num_negatives <= 12 for each in first)
    assert all(each.config.filter.max_rank == 12 for each in first)


def test_rules_that_must_agree_are_tried_alone() -> None:
    """A config whose rules have to agree has settings to try: each of them is a rule on its own."""
    data = {
        "data": {"pairs": "p.jsonl"},
        "embed": {"model": "some/model"},
        "filter": {"relative_margin": 0.1, "positive_similarity": 0.5, "agreement": "all"},
    }
    first = list(itertools.islice(candidates(config_from_dict(data), 0), 10))
    assert len(first) == 10
    assert {each.config.filter.agreement for each in first} == {"any"}
