"""Hiding positives: the lists look as if these had never been labelled."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace

import numpy as np
import pytest
from candidate_lists import Query, Row, build
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.selection.hidden import Labelled
from negmine.selection.random import mix


@dataclass
class Positive:
    """A labelled passage of a query, with its cosine to and shared values with each candidate."""

    passage: int
    score: float
    cosines: list[float]
    same: list[bool]


@dataclass
class Case:
    query: Query
    positives: list[Positive]


def place_of(case: Case, positive: Positive) -> int | None:
    """Row of a positive among the candidates."""
    return next((n for n, row in enumerate(case.query.rows) if row.passage == positive.passage), None)


def labelled(cases: list[Case]) -> Labelled:
    """The arrays, one loop per query, candidate and positive."""
    for case in cases:
        for n, row in enumerate(case.query.rows):
            row.same = (any(p.same[n] for p in case.positives),)
    first = np.cumsum([0, *(len(case.positives) for case in cases)])
    row_start = np.cumsum([0, *(len(case.query.rows) for case in cases)])
    own = np.full(row_start[-1], -1)
    rank, pairs = [], []
    for number, case in enumerate(cases):
        for p, positive in enumerate(case.positives):
            place = place_of(case, positive)
            rank.append(np.inf if place is None else place + 1.0)
            if place is not None:
                own[row_start[number] + place] = first[number] + p
        for n in range(len(case.query.rows)):
            for p, positive in enumerate(case.positives):
                pairs.append((row_start[number] + n, first[number] + p, positive.cosines[n], positive.same[n]))
    row, positive_, cosine, same = zip(*pairs, strict=True) if pairs else ((), (), (), ())
    every = [(number, positive) for number, case in enumerate(cases) for positive in case.positives]
    return Labelled(
        candidates=build([case.query for case in cases], 1),
        calibrating=np.zeros(len(cases), bool),
        is_positive=own,
        of_query=np.array([number for number, _ in every]),
        score=np.array([positive.score for _, positive in every]),
        rank=np.array(rank),
        key=mix(3, np.array([positive.passage for _, positive in every])),
        pair_row=np.array(row, np.int64),
        pair_positive=np.array(positive_, np.int64),
        pair_similarity=np.array(cosine, np.float64),
        pair_same=(np.array(same, bool),),
    )


@st.composite
def cases(draw: st.DrawFn) -> list[Case]:
    found = []
    for key in draw(st.lists(st.integers(0, 99), unique=True, min_size=1, max_size=4)):
        passages = draw(st.lists(st.integers(0, 20), unique=True, max_size=8))
        own = draw(st.lists(st.integers(0, 25), unique=True, min_size=2, max_size=5))
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        rows = [
            Row(passage, float(score), excluded=1 if passage in own else int(rng.choice([0, 0, 2, 3])))
            for passage, score in zip(passages, -np.sort(-rng.normal(size=len(passages))), strict=True)
        ]
        positives = [
            Positive(
                p, float(rng.normal()), rng.normal(size=len(rows)).tolist(), (rng.random(len(rows)) < 0.2).tolist()
            )
            for p in own
        ]
        found.append(Case(Query(key, rows), positives))
    return found


@settings(max_examples=150, deadline=None)
@given(cases(), st.booleans(), st.integers(0, 50), st.sampled_from(["min", "max", "mean"]))
def test_hidden_positives_are_as_if_never_labelled(given_cases, keep_one, seed, how) -> None:
    lists = labelled(given_cases)
    hidden = lists.draw(seed, keep_one=keep_one)
    changed, is_hidden = lists.hide(hidden, how)
    flags, gone = iter(hidden.tolist()), iter(range(len(lists.candidates)))
    for number, case in enumerate(given_cases):
        marked = [(positive, next(flags)) for positive in case.positives]
        shown = [positive for positive, is_gone in marked if not is_gone]
        hidden_passages = {positive.passage for positive, is_gone in marked if is_gone}
        scores = [positive.score for positive in shown]
        reference = {"min": min, "max": max, "mean": statistics.fmean}[how](scores)
        assert changed.reference[number] == pytest.approx(reference, abs=1e-12)
        ranks = [place + 1 for positive in shown if (place := place_of(case, positive)) is not None]
        assert changed.positive_rank[number] == min(ranks, default=np.inf)
        for n, row in enumerate(case.query.rows):
            at = next(gone)
            assert changed.positive_similarity[at] == max(positive.cosines[n] for positive in shown)
            assert changed.same[0][at] == any(positive.same[n] for positive in shown)
            assert is_hidden[at] == (row.passage in hidden_passages)
            assert changed.excluded[at] == (0 if row.passage in hidden_passages else row.excluded)
    for name in ("query", "passage", "rank", "score", "passage_key", "query_key"):
        assert getattr(changed, name) is getattr(lists.candidates, name)


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(0, 50))
def test_one_is_drawn_of_each_query(given_cases, seed) -> None:
    lists = labelled(given_cases)
    one, all_but_one = lists.draw(seed, keep_one=False), lists.draw(seed, keep_one=True)
    assert np.bincount(lists.of_query[one]).tolist() == [1] * len(given_cases)
    np.testing.assert_array_equal(all_but_one, ~one)
    np.testing.assert_array_equal(lists.draw(seed, keep_one=False), one)


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(0, 50), st.booleans())
def test_draws_belong_to_a_query_and_its_passages(given_cases, seed, keep_one) -> None:
    """Other queries, and the order of the positives, change nothing."""
    together = labelled(given_cases)
    drawn = together.draw(seed, keep_one=keep_one)
    for number, case in enumerate(given_cases):
        of = together.of_query == number
        alone = labelled([case]).draw(seed, keep_one=keep_one)
        np.testing.assert_array_equal(alone, drawn[of])
        turned = labelled([replace(case, positives=case.positives[::-1])]).draw(seed, keep_one=keep_one)
        np.testing.assert_array_equal(turned[::-1], alone)


def test_every_positive_is_drawn_about_as_often() -> None:
    positives = [Positive(p, 0.5, [], []) for p in range(4)]
    lists = labelled([Case(Query(key), positives) for key in range(500)])
    counts = sum(lists.draw(seed, keep_one=False).reshape(500, 4).sum(axis=0) for seed in range(8))
    assert counts.sum() == 4_000
    assert np.abs(counts - 1_000).max() < 4.5 * np.sqrt(4_000 * 0.25 * 0.75)


def test_hiding_nothing_of_the_groups_leaves_them_out() -> None:
    """Without ``exclude_same`` there is nothing to share."""
    case = Case(Query(1, [Row(0, 0.9, excluded=1), Row(1, 0.8)]), [Positive(0, 0.9, [1.0, 0.5], [False] * 2)] * 1)
    case.positives.append(Positive(7, 0.3, [0.2, 0.9], [False] * 2))
    lists = labelled([case])
    lists = replace(lists, candidates=replace(lists.candidates, same=()), pair_same=())
    changed, _ = lists.hide(np.array([True, False]), "min")
    assert changed.same == ()
    assert changed.eligible.tolist() == [True, True]
    assert changed.positive_similarity.tolist() == [0.2, 0.9]
    assert changed.positive_rank.tolist() == [np.inf]
