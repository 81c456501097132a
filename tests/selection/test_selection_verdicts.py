"""Every candidate gets exactly one reason, that of the first rule that objects."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from candidate_lists import Query, Row, build, eighths, query_lists, risks
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.selection import choice
from negmine.selection.candidates import STANDARD_DEPTH
from negmine.selection.depth import within_depth
from negmine.selection.random import draw_passages, mix
from negmine.selection.verdicts import (
    EXPLANATIONS,
    JUDGE_REASONS,
    KEPT,
    REASONS,
    Rules,
    decide,
    explanation,
    reason_names,
    reference_scores,
    survivors,
    verdicts,
)

COLUMNS = ("doc", "product")
NAMES = reason_names(COLUMNS)


def reasons(rules: Rules, scores, reference=1.0, near=(), **more) -> list[str]:
    """Reasons of one query's candidates; ``more`` are lists of other attributes of its rows."""
    rows = [Row(n, score, **{name: values[n] for name, values in more.items()}) for n, score in enumerate(scores)]
    columns = len(rows[0].same) if rows else 0
    queries = [Query(5, rows, reference)]
    callback = (lambda asked: np.isin(asked, near)) if near else None
    return [NAMES[code] for code in verdicts(rules, build(queries, columns), risks(queries), callback)]


def test_without_rules_the_best_are_taken() -> None:
    assert reasons(Rules(num_negatives=2), [0.9, 0.8, 0.7]) == ["kept", "kept", "not_sampled"]


def test_no_candidates_no_verdicts() -> None:
    for strategy in choice.STRATEGIES:
        rules = Rules(sampling_strategy=strategy, on_shortage="drop", risk_limit=0.5)
        assert verdicts(rules, build([Query(1), Query(2)]), np.zeros(0), lambda rows: rows > 0).tolist() == []


def test_excluded_candidates_keep_their_own_reason() -> None:
    expected = ["positive", "positive_text", "query_text", "kept"]
    assert reasons(Rules(), [1.0, 0.9, 0.8, 0.7], excluded=[1, 2, 3, 0]) == expected


def test_a_shared_value_names_its_column() -> None:
    same = [(True, True), (False, True), (False, False), (True, False)]
    got = reasons(Rules(absolute_margin=0.0), [2.0, 0.9, 0.8, 0.7], same=same, excluded=[0, 0, 0, 1])
    assert got == ["same_doc", "same_product", "kept", "positive"]


def test_absolute_margin_keeps_what_lies_exactly_at_it() -> None:
    assert reasons(Rules(absolute_margin=0.25), [0.8, 0.75, 0.5]) == ["absolute_margin", "kept", "kept"]


def test_relative_margin_tightens_also_for_negative_scores() -> None:
    """reference -0.5 and margin 0.1: keep iff score <= -0.55, where -0.5 * 0.9 would loosen it."""
    got = reasons(Rules(relative_margin=0.1), [-0.45, -0.52, -0.6], reference=-0.5)
    assert got == ["relative_margin", "relative_margin", "kept"]


def test_leak_margin_drops_what_lies_exactly_at_it() -> None:
    """At the margin lies a hidden positive."""
    assert reasons(Rules(leak_margin=0.25), [0.8, 0.75, 0.5]) == ["leak_margin", "leak_margin", "kept"]


def test_a_negative_leak_margin_lets_pass_what_scores_above_the_reference() -> None:
    assert reasons(Rules(leak_margin=-0.25), [1.25, 1.125, 1.0]) == ["leak_margin", "kept", "kept"]


def test_score_bounds_are_inclusive() -> None:
    rules = Rules(max_score=0.8, min_score=0.4)
    assert reasons(rules, [0.81, 0.8, 0.4, 0.39]) == ["max_score", "kept", "kept", "min_score"]


def test_the_ceiling_on_similarity_to_a_positive_is_inclusive() -> None:
    rules = Rules(positive_similarity=0.6)
    assert reasons(rules, [0.9, 0.8], similarity=[0.61, 0.6]) == ["positive_similarity", "kept"]


def test_what_stands_out_by_its_similarity_to_a_positive_is_dropped() -> None:
    """0, 0, 0, 4 has mean 1 and deviation sqrt(3): the last stands out by exactly sqrt(3)."""
    similarity = [0.0, 0.0, 0.0, 4.0]
    for limit, last in ((1.73, "positive_similarity"), (1.74, "kept")):
        got = reasons(Rules(relative_positive_similarity=limit), [0.9, 0.8, 0.7, 0.6], similarity=similarity)
        assert got == ["kept", "kept", "kept", last]


def test_the_limit_on_risk_is_inclusive() -> None:
    assert reasons(Rules(risk_limit=0.5), [0.9, 0.8], risk=[0.51, 0.5]) == ["risk", "kept"]


AGREEING = Rules(absolute_margin=0.25, positive_similarity=0.5, risk_limit=0.5, num_negatives=9)


@pytest.mark.parametrize(("how", "needed"), [("any", 1), ("most", 2), ("all", 3)])
def test_as_many_rules_object_as_have_to_agree(how: str, needed: int) -> None:
    """Eight candidates break every combination of three rules; the first of those that object is named."""
    broken = [(a, b, c) for a in (True, False) for b in (True, False) for c in (True, False)]
    got = reasons(
        replace(AGREEING, agreement=how),
        [1.0 if a else 0.5 for a, _, _ in broken],
        similarity=[0.75 if b else 0.25 for _, b, _ in broken],
        risk=[0.75 if c else 0.25 for _, _, c in broken],
    )
    names = ("absolute_margin", "positive_similarity", "risk")
    expected = [
        next(name for name, objects in zip(names, each, strict=True) if objects) if sum(each) >= needed else "kept"
        for each in broken
    ]
    assert got == expected


def test_rules_on_scores_alone_do_not_vote() -> None:
    rules = replace(AGREEING, agreement="all", max_score=0.75, max_rank=3)
    got = reasons(rules, [1.0, 0.7, 0.5, 0.4], similarity=[1.0, 0.0, 0.0, 0.0], risk=[0.9, 0.9, 0.9, 0.0])
    assert got == ["max_score", "kept", "kept", "range"]


def test_near_duplicates_by_cosine_include_the_limit() -> None:
    assert reasons(Rules(near_cosine=0.95), [0.9, 0.8], similarity=[0.95, 0.94]) == ["near_duplicate", "kept"]


def test_ranges_count_survivors_only() -> None:
    rules = Rules(relative_margin=0.1, range_min=1, range_max=3, num_negatives=5)
    got = reasons(rules, [0.95, 0.9, 0.8, 0.7, 0.6])
    assert got == ["relative_margin", "range", "kept", "kept", "range"]


def test_near_duplicates_are_no_survivors() -> None:
    rules = Rules(range_min=1, range_max=2)
    assert reasons(rules, [0.9, 0.8, 0.7, 0.6], near=(0, 2)) == ["near_duplicate", "range", "near_duplicate", "kept"]


def test_max_rank_counts_what_was_mined() -> None:
    got = reasons(Rules(max_rank=2), [1.0, 0.9, 0.8], excluded=[1, 0, 0])
    assert got == ["positive", "kept", "range"]


def test_the_first_rule_that_objects_names_the_reason() -> None:
    """A candidate that breaks every rule; the rules are taken away one by one."""
    rules = Rules(
        max_rank=1,
        absolute_margin=0.5,
        relative_margin=0.5,
        leak_margin=0.5,
        positive_similarity=0.5,
        relative_positive_similarity=0.5,
        risk_limit=0.5,
        max_score=0.5,
        min_score=2.0,
        near_cosine=0.5,
        range_min=9,
    )
    best, worst = Row(0, 0.0), Row(1, 1.0, similarity=1.0, risk=1.0, excluded=1, same=(True, True), near=True)
    got = []

    def ask(rules: Rules, worst: Row, near: bool = False) -> None:
        queries = [Query(1, [replace(best, same=worst.same), worst])]
        callback = (lambda asked: asked == 1) if near else None
        got.append(NAMES[verdicts(rules, build(queries, len(worst.same)), risks(queries), callback)[1]])

    ask(rules, worst)
    for change in ({"excluded": 0}, {"same": (False, True)}, {"same": (False, False)}):
        worst = replace(worst, **change)
        ask(rules, worst)
    for name in ("max_rank", "absolute_margin", "relative_margin", "leak_margin", "positive_similarity"):
        rules = replace(rules, **{name: None})
        ask(rules, worst)
    for name in ("relative_positive_similarity", "risk_limit", "max_score", "min_score"):
        rules = replace(rules, **{name: None})
        ask(rules, worst)
    ask(replace(rules, near_cosine=None), worst, near=True)
    ask(replace(rules, near_cosine=None), worst)
    assert got == [
        "positive",
        "same_doc",
        "same_product",
        "range",
        "absolute_margin",
        "relative_margin",
        "leak_margin",
        "positive_similarity",
        "positive_similarity",
        "risk",
        "max_score",
        "min_score",
        "near_duplicate",
        "near_duplicate",
        "range",
    ]


def test_short_queries_are_dropped_whole_when_asked() -> None:
    rules = Rules(num_negatives=2, on_shortage="drop", max_score=0.8)
    queries = [Query(0, [Row(0, 0.9), Row(1, 0.7)]), Query(1, [Row(0, 0.8), Row(1, 0.6)])]
    got = [REASONS[code] for code in verdicts(rules, build(queries))]
    assert got == ["max_score", "starved", "kept", "kept"]


def test_rejected_survivors_make_room_for_the_next() -> None:
    rules = Rules(num_negatives=2, range_max=4, max_score=0.9)
    queries = [Query(0, [Row(n, score) for n, score in enumerate([0.95, 0.9, 0.8, 0.7, 0.6, 0.5])])]
    candidates = build(queries)
    rejected = np.array([True, False, True, False, False, True])
    got = decide(rules, candidates.query, survivors(rules, candidates), rejected)
    # What another rule dropped keeps its reason.
    expected = ["max_score", "kept", "reuse", "kept", "not_sampled", "range"]
    assert [REASONS[code] for code in got] == expected


@pytest.mark.parametrize(
    ("num_negatives", "share", "mined", "random"),
    [(5, 0.0, 5, 0), (5, 1.0, 0, 5), (5, 0.2, 4, 1), (4, 0.5, 2, 2), (10, 0.33, 7, 3), (1, 0.4, 1, 0)],
)
def test_random_passages_take_their_share_of_the_slots(num_negatives, share, mined, random) -> None:
    rules = Rules(num_negatives=num_negatives, random_share=share)
    assert (rules.mined_negatives, rules.random_negatives) == (mined, random)
    assert reasons(rules, np.linspace(0.9, 0.1, 12)).count("kept") == mined


def test_random_sampling_takes_the_right_number_from_the_range() -> None:
    rules = Rules(sampling_strategy="random", num_negatives=3, range_min=2, range_max=9)
    got = reasons(rules, np.linspace(0.9, 0.1, 12))
    assert got.count("kept") == 3
    assert got[:2] == ["range", "range"]
    assert got[9:] == ["range"] * 3


def test_random_sampling_is_uniform() -> None:
    rows = [Row(n, 0.5) for n in range(5)]
    candidates = build([Query(key, rows) for key in range(6000)])
    codes = verdicts(Rules(sampling_strategy="random", num_negatives=2), candidates)
    taken = np.bincount(candidates.passage[codes == KEPT], minlength=5)
    assert taken.sum() == 12_000
    assert np.abs(taken - 2400).max() < 4.5 * np.sqrt(6000 * 0.4 * 0.6)


def test_every_reason_is_explained() -> None:
    assert set(EXPLANATIONS) == {*REASONS, *JUDGE_REASONS}
    assert explanation("same_doc") == "its doc is that of a positive (filter.exclude_same)"
    assert [explanation(name) for name in EXPLANATIONS] == list(EXPLANATIONS.values())


# -- every rule and combination against a walk over the candidates one by one --


def walk(rules: Rules, queries: list[Query], *, near: bool, rejected: set[tuple[int, int]]) -> list[str]:
    """The definitions, candidate by candidate. Places of random strategies come from ``choice.places``."""
    found: list[str] = []
    for number, query in enumerate(queries):
        names = [_objection(rules, query, place, near) for place in range(len(query.rows))]
        left = [place for place, name in enumerate(names) if name is None]
        end = len(left) if rules.range_max is None else rules.range_max
        for order, place in enumerate(left):
            if not rules.range_min <= order < end:
                names[place] = "range"
        wishes = _preference(rules, query, [place for place, name in enumerate(names) if name is None])
        for place in wishes:
            if (number, place) in rejected:
                names[place] = "reuse"
        wishes = [place for place in wishes if names[place] is None]
        for order, place in enumerate(wishes):
            names[place] = "kept" if order < rules.mined_negatives else "not_sampled"
        if rules.on_shortage == "drop" and names.count("kept") < rules.mined_negatives:
            names = ["starved" if name == "kept" else name for name in names]
        found += [name or "" for name in names]
    return found


def _objection(rules: Rules, query: Query, place: int, near: bool) -> str | None:
    row, reference = query.rows[place], query.reference
    if row.excluded:
        return ("positive", "positive_text", "query_text")[row.excluded - 1]
    for column, shares in zip(COLUMNS, row.same, strict=True):
        if shares:
            return f"same_{column}"
    margin = reference - row.score
    tests: list[tuple[str, float | None, Callable[[float], bool]]] = [
        ("range", rules.max_rank, lambda limit: place + 1 > limit),
        ("absolute_margin", rules.absolute_margin, lambda limit: row.score > reference - limit),
        ("relative_margin", rules.relative_margin, lambda limit: row.score > reference - abs(reference) * limit),
        ("leak_margin", rules.leak_margin, lambda limit: margin <= limit),
        ("positive_similarity", rules.positive_similarity, lambda limit: row.similarity > limit),
        (
            "positive_similarity",
            rules.relative_positive_similarity,
            lambda limit: _standing_out(query, row.similarity) > limit,
        ),
        ("risk", rules.risk_limit, lambda limit: row.risk > limit),
        ("max_score", rules.max_score, lambda limit: row.score > limit),
        ("min_score", rules.min_score, lambda limit: row.score < limit),
        ("near_duplicate", rules.near_cosine, lambda limit: row.similarity >= limit),
    ]
    for name, limit, breaks in tests:
        if limit is not None and breaks(limit):
            return name
    return "near_duplicate" if near and row.near else None


def _standing_out(query: Query, value: float) -> float:
    usual = [row.similarity for row in query.rows if not row.excluded and not any(row.same)][:STANDARD_DEPTH]
    deviation = statistics.pstdev(usual) if usual else 0.0
    return (value - statistics.fmean(usual)) / deviation if deviation else 0.0


def _preference(rules: Rules, query: Query, left: list[int]) -> list[int]:
    """The survivors in the order in which the query takes them."""
    if rules.sampling_strategy == "top":
        return left
    among = np.zeros(len(query.rows), bool)
    among[left] = True
    alone = build([query], len(COLUMNS))
    place = choice.places(
        rules.sampling_strategy,
        alone.query,
        among,
        alone.score,
        np.full(len(alone), query.reference),
        np.repeat(alone.query_key, len(alone)),
        alone.passage_key,
        seed=rules.seed,
        num_negatives=rules.mined_negatives,
        temperature=rules.temperature,
        offset=rules.offset,
    )
    return sorted(left, key=lambda row: int(place[row]))


@st.composite
def rule_sets(draw: st.DrawFn) -> Rules:
    """Any combination; each rule is there half of the time."""
    range_min = draw(st.sampled_from([0, 0, 1, 3]))
    return Rules(
        absolute_margin=draw(st.none() | eighths(0, 8)),
        relative_margin=draw(st.none() | eighths(0, 7)),
        leak_margin=draw(st.none() | eighths(-6, 4)),
        positive_similarity=draw(st.none() | eighths(-4, 8)),
        # No standardised number is this one: there is no rounding to argue about.
        relative_positive_similarity=draw(st.none() | st.floats(-1, 2).map(lambda x: x + 1e-7)),
        near_cosine=draw(st.none() | eighths(0, 8)),
        risk_limit=draw(st.none() | eighths(0, 8)),
        max_score=draw(st.none() | eighths(-4, 8)),
        min_score=draw(st.none() | eighths(-8, 4)),
        range_min=range_min,
        range_max=draw(st.none() | st.integers(range_min + 1, 12)),
        max_rank=draw(st.none() | st.integers(1, 14)),
        num_negatives=draw(st.integers(1, 6)),
        random_share=draw(st.sampled_from([0.0, 0.0, 0.3, 1.0])),
        sampling_strategy=draw(st.sampled_from(choice.STRATEGIES)),
        temperature=draw(st.sampled_from([0.2, 1.0])),
        offset=draw(st.sampled_from([0.0, -1.0])),
        on_shortage=draw(st.sampled_from(["fewer", "drop"])),
        seed=draw(st.integers(0, 99)),
    )


SINGLE_RULES = (
    "absolute_margin",
    "relative_margin",
    "leak_margin",
    "positive_similarity",
    "relative_positive_similarity",
    "near_cosine",
    "risk_limit",
    "max_score",
    "min_score",
    "max_rank",
)


@st.composite
def few_rules(draw: st.DrawFn) -> Rules:
    """Up to two rules on single candidates: all of them together leave hardly a survivor."""
    rules = draw(rule_sets())
    kept = draw(st.sets(st.sampled_from(SINGLE_RULES), max_size=2))
    return replace(rules, **{name: None for name in SINGLE_RULES if name not in kept})


def near_rows(queries: list[Query]) -> np.ndarray:
    return np.array([row.near for query in queries for row in query.rows], bool)


def codes_of(rules: Rules, queries: list[Query], *, near: bool, rejected: np.ndarray | None = None) -> np.ndarray:
    candidates = build(queries, len(COLUMNS))
    duplicates = near_rows(queries)
    left = survivors(rules, candidates, risks(queries), (lambda rows: duplicates[rows]) if near else None)
    return decide(rules, candidates.query, left, rejected)


def named(codes: np.ndarray) -> list[str]:
    return [NAMES[code] for code in codes]


def assert_same(got: list[str], expected: list[str]) -> None:
    """Equal, but for near duplicates that could not be taken anyway: nobody asked whether they are such."""
    for one, other in zip(got, expected, strict=True):
        assert one == other or (other == "near_duplicate" and one in ("not_sampled", "range"))


@settings(max_examples=100, deadline=None)
@given(query_lists(columns=2), few_rules(), st.booleans(), st.randoms(use_true_random=False))
def test_verdicts_are_those_of_a_walk_over_the_candidates(queries, rules, near, random) -> None:
    cells = [(q, place) for q, query in enumerate(queries) for place in range(len(query.rows))]
    rejected = {cell for cell in cells if random.random() < 0.2}
    if near:  # whatever is asked lazily must not depend on what is taken away afterwards
        rules = replace(rules, max_reuse=1)
    mask = np.array([cell in rejected for cell in cells], bool)
    got = named(codes_of(rules, queries, near=near, rejected=mask))
    assert_same(got, walk(rules, queries, near=near, rejected=rejected))


@settings(max_examples=100, deadline=None)
@given(query_lists(columns=2), rule_sets(), st.booleans())
def test_all_rules_at_once_too(queries, rules, near) -> None:
    got = named(codes_of(rules, queries, near=near))
    assert_same(got, walk(rules, queries, near=near, rejected=set()))


@settings(max_examples=100, deadline=None)
@given(query_lists(columns=2), few_rules())
def test_a_query_is_judged_without_regard_to_the_others(queries, rules) -> None:
    together = named(codes_of(rules, queries, near=True))
    alone = [name for query in queries for name in named(codes_of(rules, [query], near=True))]
    assert together == alone


# -- near duplicates are asked late --


class Asked:
    """The callback, which remembers what it was asked."""

    def __init__(self, duplicates: np.ndarray) -> None:
        self.duplicates = duplicates
        self.rows: list[int] = []

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.rows += rows.tolist()
        answer: np.ndarray = self.duplicates[rows]
        return answer


@settings(max_examples=150, deadline=None)
@given(query_lists(columns=2, most=20), few_rules())
def test_asking_late_takes_the_same_as_asking_about_all(queries, rules) -> None:
    """The same are kept and starved; nobody is asked twice, nor about what no query could take."""
    candidates, duplicates = build(queries, 2), near_rows(queries)
    asked = Asked(duplicates)
    late = named(verdicts(rules, candidates, risks(queries), asked))
    early = walk(rules, queries, near=True, rejected=set())
    assert_same(late, early)

    assert len(asked.rows) == len(set(asked.rows))
    # A survivor is asked about if fewer than what can be needed stand before it that are no duplicates.
    needed = rules.range_max
    if needed is None and rules.sampling_strategy == "top":
        needed = rules.range_min + rules.mined_negatives
    undropped = survivors(replace(rules, range_min=0, range_max=None), candidates, risks(queries)).reason < 0
    allowed = set()
    for query in range(candidates.queries):
        good = 0
        for row in np.flatnonzero((candidates.query == query) & undropped).tolist():
            if needed is None or good < needed:
                allowed.add(row)
            good += not duplicates[row]
    assert set(asked.rows) == allowed


def test_only_the_head_of_a_list_is_asked_about() -> None:
    queries = [Query(1, [Row(n, 1 - n / 100, near=n in (1, 5)) for n in range(50)])]
    asked = Asked(near_rows(queries))
    verdicts(Rules(num_negatives=4, range_min=1), build(queries), None, asked)
    assert sorted(asked.rows) == [0, 1, 2, 3, 4, 5, 6]


def test_all_survivors_are_asked_about_when_passages_may_be_used_up() -> None:
    """A query whose wishes are rejected takes later ones, which may be near duplicates too."""
    queries = [Query(1, [Row(n, 1 - n / 100, near=n == 9) for n in range(20)])]
    asked = Asked(near_rows(queries))
    rules = Rules(num_negatives=4, max_reuse=3, max_score=0.95)
    left = survivors(rules, build(queries), None, asked)
    assert sorted(asked.rows) == list(range(5, 20))
    assert REASONS[left.reason[9]] == "near_duplicate"


# -- a stricter rule --

LOOSER = {
    "absolute_margin": -1,
    "relative_margin": -1,
    "leak_margin": -1,
    "positive_similarity": 1,
    "relative_positive_similarity": 1,
    "near_cosine": 1,
    "risk_limit": 1,
    "max_score": 1,
    "min_score": -1,
    "max_rank": 1,
}
"""Which way each rule loosens."""


@pytest.mark.parametrize("name", SINGLE_RULES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_stricter_rule_keeps_a_part_of_what_was_kept(name: str, data) -> None:
    queries = data.draw(query_lists(columns=2))
    others = replace(data.draw(few_rules()), num_negatives=100, range_min=0, range_max=None, on_shortage="fewer")
    if name == "max_rank":
        values = st.integers(1, 14)
    elif name == "relative_margin":
        values = eighths(0, 7)
    else:
        values = eighths(-8, 8)
    strict, loose = sorted((data.draw(values), data.draw(values)), key=lambda value: value * LOOSER[name])
    before = codes_of(replace(others, **{name: loose}), queries, near=True) == KEPT
    after = codes_of(replace(others, **{name: strict}), queries, near=True) == KEPT
    assert not (after & ~before).any()


# -- reference scores, depth, random passages --


@pytest.mark.parametrize(("how", "expected"), [("min", [0.2, 0.9]), ("max", [0.6, 0.9]), ("mean", [0.4, 0.9])])
def test_reference_scores(how: str, expected: list[float]) -> None:
    got = reference_scores(np.array([0, 0, 1]), np.array([0.2, 0.6, 0.9]), how, 2)
    np.testing.assert_allclose(got, expected)
    assert reference_scores(np.zeros(0, np.int64), np.zeros(0), how, 0).tolist() == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=30), st.integers(1, 10), st.integers(1, 4))
def test_depth_counts_only_what_can_be_a_negative(excluded, k, queries) -> None:
    query = np.repeat(np.arange(queries), len(excluded))
    mask = np.tile(np.array(excluded, bool), queries)
    kept = within_depth(query, mask, k)
    expected = [sum(not e for e in excluded[:row]) < k for row in range(len(excluded))]
    np.testing.assert_array_equal(kept, np.tile(np.array(expected, bool), queries))


def test_random_passages_are_distinct_and_not_taken() -> None:
    taken = [np.arange(8), np.array([], np.int64), np.arange(10)]
    rows, passages = draw_passages(0, np.array([1, 2, 3], np.uint64), np.array([5, 4, 2]), taken, 10)
    assert sorted(passages[rows == 0].tolist()) == [8, 9]
    assert len(set(passages[rows == 1].tolist())) == 4
    assert not (rows == 2).any()


def test_draws_follow_the_seed_the_query_and_the_passage() -> None:
    queries = [Query(key, [Row(n, 0.5) for n in range(30)]) for key in (1, 2)]
    rules = Rules(sampling_strategy="random", num_negatives=5)
    first = codes_of_plain(rules, queries)
    assert first == codes_of_plain(rules, queries)
    assert first[:30] != first[30:]
    assert first != codes_of_plain(replace(rules, seed=1), queries)
    assert mix(1, np.arange(3)).dtype == np.uint64


def codes_of_plain(rules: Rules, queries: list[Query]) -> list[int]:
    codes: list[int] = verdicts(rules, build(queries)).tolist()
    return codes
