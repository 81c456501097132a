"""The verdict on every candidate: kept, or dropped for exactly one reason.

Rules are asked in the order of ``REASONS``; the first that objects names the reason. All
arrays are parallel over candidates (n,), grouped by query and best first within a query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from negmine.arrays import positions
from negmine.selection import choice
from negmine.selection.candidates import Candidates

REASONS = (
    "kept",
    "positive",
    "positive_text",
    "query_text",
    "absolute_margin",
    "relative_margin",
    "leak_margin",
    "positive_similarity",
    "risk",
    "max_score",
    "min_score",
    "near_duplicate",
    "range",
    "reuse",
    "not_sampled",
    "starved",
)
JUDGE_REASONS = ("judged_relevant", "query_held_out")
"""Those that only the judge gives, after the filter."""
_CODE = {reason: code for code, reason in enumerate(REASONS)}
KEPT = _CODE["kept"]

EXPLANATIONS = {
    "kept": "a negative of the query",
    "positive": "the passage is labelled as a positive of the query, or is part of a document that is",
    "positive_text": "its text equals that of a positive, under another id",
    "query_text": "its text equals the query",
    "absolute_margin": "score + filter.absolute_margin > reference",
    "relative_margin": "score > reference - |reference| * filter.relative_margin",
    "leak_margin": "reference - score <= the margin that filter.leak_rate was calibrated to",
    "positive_similarity": "its similarity to a positive > filter.positive_similarity, or stands out by more than"
    " filter.relative_positive_similarity",
    "risk": "its probability of being relevant > the limit that filter.risk sets",
    "max_score": "score > filter.max_score",
    "min_score": "score < filter.min_score",
    "near_duplicate": "nearly the text of a positive (filter.near_duplicates)",
    "range": "outside filter.range_min..range_max among the survivors, or beyond filter.max_rank or rerank.depth",
    "reuse": "filter.max_reuse other queries, to which it is closer, have it as a negative",
    "not_sampled": "it survived, but num_negatives others were taken",
    "starved": "its query had fewer than num_negatives and filter.on_shortage is drop",
    "judged_relevant": "the judge says that it is relevant",
    "query_held_out": "more than judge.max_relevant candidates of its query are relevant, or one is and judge.action is"
    " quarantine",
}

RELEVANCE = ("absolute_margin", "relative_margin", "leak_margin", "positive_similarity", "risk")
"""Reasons of the rules that take a candidate for relevant, which may have to agree."""

_SAME = "same_"

NearDuplicates = Callable[[np.ndarray], np.ndarray]
"""Whether the candidates in the given rows have nearly the text of a positive: bool, as many."""


def reason_names(exclude_same: Sequence[str]) -> tuple[str, ...]:
    """All reasons of a run, in the order of their codes: those of ``REASONS``, then ``same_<column>``."""
    return (*REASONS, *(f"{_SAME}{column}" for column in exclude_same))


def explanation(reason: str) -> str:
    """A reason in words."""
    if reason.startswith(_SAME):
        return f"its {reason.removeprefix(_SAME)} is that of a positive (filter.exclude_same)"
    return EXPLANATIONS[reason]


@dataclass(frozen=True)
class Margins:
    """The margins on the scores of a further scorer."""

    relative_margin: float | None = None
    leak_margin: float | None = None


@dataclass(frozen=True)
class Rules:
    """The ``filter`` section, as numbers. ``leak_margin`` and ``risk_limit`` are what calibration found.

    ``of_others``: the margins of each further scorer, in the order of ``Candidates.more_scores``.
    ``max_reuse`` is not decided here: with it, a query may have to take any of its survivors.
    """

    absolute_margin: float | None = None
    relative_margin: float | None = None
    leak_margin: float | None = None
    positive_similarity: float | None = None
    relative_positive_similarity: float | None = None
    near_cosine: float | None = None
    risk_limit: float | None = None
    agreement: str = "any"
    max_score: float | None = None
    min_score: float | None = None
    range_min: int = 0
    range_max: int | None = None
    max_rank: int | None = None
    num_negatives: int = 5
    max_reuse: int | None = None
    random_share: float = 0.0
    sampling_strategy: str = "top"
    temperature: float = 1.0
    offset: float = 0.0
    on_shortage: str = "fewer"
    seed: int = 0
    of_others: tuple[Margins, ...] = ()

    @property
    def random_negatives(self) -> int:
        """How many of a query's negatives are random passages."""
        return round(self.num_negatives * self.random_share)

    @property
    def mined_negatives(self) -> int:
        """How many of a query's negatives are mined."""
        return self.num_negatives - self.random_negatives


def reference_scores(query: np.ndarray, score: np.ndarray, how: str, queries: int) -> np.ndarray:
    """Reference score per query (q,): min, max or mean of its positives' scores.

    ``query`` (p,) is grouped; every query has a positive.
    """
    if how == "mean":
        return np.bincount(query, weights=score, minlength=queries) / np.bincount(query, minlength=queries)
    starts = np.flatnonzero(positions(query) == 0)
    reference = np.full(queries, np.nan)
    reduced = (np.minimum if how == "min" else np.maximum).reduceat(score, starts)
    reference[query[starts]] = reduced
    return reference


@dataclass(frozen=True)
class Survivors:
    """What the rules left: ``reason`` codes (n,), -1 for a survivor, and its ``place`` (n,) in the order
    in which its query would take it (from 0)."""

    reason: np.ndarray
    place: np.ndarray


def survivors(
    rules: Rules,
    candidates: Candidates,
    risk: np.ndarray | None = None,
    near_duplicates: NearDuplicates | None = None,
) -> Survivors:
    """What is left of the candidates after all rules, and in which order it would be taken.

    ``risk`` (n,) is the probability of being relevant, needed with ``rules.risk_limit``.
    ``near_duplicates`` is only asked about candidates that may be taken.
    """
    query, score = candidates.query, candidates.score
    excluded = candidates.excluded
    reference = candidates.reference[query]
    reason = np.where(excluded > 0, excluded + _CODE["positive"] - 1, -1).astype(np.int8)

    for column, shares in enumerate(candidates.same):
        reason[(reason < 0) & shares] = len(REASONS) + column
    votes, counted = _Votes(len(query)), rules.agreement != "any"
    for name, broken in _broken(rules, candidates, risk):
        if counted and name in RELEVANCE:
            votes.add(_CODE[name], broken)
        else:
            reason[(reason < 0) & broken] = _CODE[name]
    agreed = votes.agreed(rules.agreement)
    reason[(reason < 0) & agreed] = votes.first[(reason < 0) & agreed]
    if near_duplicates is not None:
        _drop_near(rules, query, reason, near_duplicates)
    place = _places(query, reason < 0)
    most = rules.range_max if rules.range_max is not None else len(place)
    reason[(reason < 0) & ((place < rules.range_min) | (place >= most))] = _CODE["range"]
    order = choice.places(
        rules.sampling_strategy,
        query,
        reason < 0,
        score,
        reference,
        candidates.query_key[query],
        candidates.passage_key,
        seed=rules.seed,
        num_negatives=rules.mined_negatives,
        temperature=rules.temperature,
        offset=rules.offset,
    )
    return Survivors(reason, order)


class _Votes:
    """How many of the rules object to each candidate, and which one did first."""

    def __init__(self, rows: int) -> None:
        self.first = np.full(rows, -1, np.int8)
        self._count = np.zeros(rows, np.int8)
        self._asked = 0

    def add(self, code: int, broken: np.ndarray) -> None:
        self.first[(self.first < 0) & broken] = code
        self._count += broken
        self._asked += 1

    def agreed(self, how: str) -> np.ndarray:
        """Where all, or with ``most`` more than half, of those that were asked object: bool (n,)."""
        needed = self._asked if how == "all" else self._asked // 2 + 1
        return (self._count > 0) & (self._count >= needed)


def decide(rules: Rules, query: np.ndarray, left: Survivors, rejected: np.ndarray | None = None) -> np.ndarray:
    """Reason code (n,) of every candidate, in the order of ``reason_names``.

    ``rejected`` (n,) marks survivors that ``max_reuse`` forbids. Queries that come out short lose all
    their negatives when ``on_shortage`` is drop.
    """
    reason, place = left.reason.copy(), left.place
    if rejected is not None:
        reason[(reason < 0) & rejected] = _CODE["reuse"]
        place = _places(query, reason < 0, place)
    reason[(reason < 0) & (place >= rules.mined_negatives)] = _CODE["not_sampled"]
    reason[reason < 0] = KEPT
    if rules.on_shortage == "drop" and len(query):
        kept = np.bincount(query, weights=reason == KEPT)
        reason[(reason == KEPT) & (kept[query] < rules.mined_negatives)] = _CODE["starved"]
    return reason


def verdicts(
    rules: Rules,
    candidates: Candidates,
    risk: np.ndarray | None = None,
    near_duplicates: NearDuplicates | None = None,
) -> np.ndarray:
    """Reason code (n,) of every candidate when no passage is used up: ``decide`` of ``survivors``."""
    return decide(rules, candidates.query, survivors(rules, candidates, risk, near_duplicates))


def _broken(rules: Rules, candidates: Candidates, risk: np.ndarray | None) -> Iterator[tuple[str, np.ndarray]]:
    """The rules on single candidates in their order: the reason, and who breaks it (n,)."""
    score, reference = candidates.score, candidates.reference[candidates.query]
    if rules.max_rank is not None:
        yield "range", candidates.rank > rules.max_rank
    if rules.absolute_margin is not None:
        yield "absolute_margin", ~(score + rules.absolute_margin <= reference)
    scores = [score, *candidates.more_scores[: len(rules.of_others)]]
    references = [reference, *(of[candidates.query] for of in candidates.more_references[: len(rules.of_others)])]
    margins = [Margins(rules.relative_margin, rules.leak_margin), *rules.of_others]
    for own, least, margin in zip(scores, references, margins, strict=True):
        if margin.relative_margin is not None:
            yield "relative_margin", ~(own <= least - np.abs(least) * margin.relative_margin)
    for own, least, margin in zip(scores, references, margins, strict=True):
        if margin.leak_margin is not None:
            yield "leak_margin", ~(least - own > margin.leak_margin)
    if rules.positive_similarity is not None:
        yield "positive_similarity", ~(candidates.positive_similarity <= rules.positive_similarity)
    if rules.relative_positive_similarity is not None:
        yield "positive_similarity", ~(candidates.positive_similarity_z <= rules.relative_positive_similarity)
    if rules.risk_limit is not None:
        assert risk is not None
        yield "risk", ~(risk <= rules.risk_limit)
    if rules.max_score is not None:
        yield "max_score", ~(score <= rules.max_score)
    if rules.min_score is not None:
        yield "min_score", ~(score >= rules.min_score)
    if rules.near_cosine is not None:
        yield "near_duplicate", candidates.positive_similarity >= rules.near_cosine


def _drop_near(rules: Rules, query: np.ndarray, reason: np.ndarray, near_duplicates: NearDuplicates) -> None:
    """Drop near duplicates among those that can be taken, until none of them is unknown."""
    needed = rules.range_max
    if needed is None and rules.sampling_strategy == "top" and rules.max_reuse is None:
        needed = rules.range_min + rules.mined_negatives
    known = np.zeros(len(query), bool)
    while True:
        within = (reason < 0) & ~known
        if needed is not None:
            within &= _places(query, reason < 0) < needed
        rows = np.flatnonzero(within)
        if not len(rows):
            return
        known[rows] = True
        reason[rows[near_duplicates(rows)]] = _CODE["near_duplicate"]


def _places(query: np.ndarray, among: np.ndarray, order: np.ndarray | None = None) -> np.ndarray:
    """Place (0-based) of each marked row among the marked rows of its query, by row or ``order``; 0 elsewhere."""
    place = np.zeros(len(query), np.int64)
    rows = np.flatnonzero(among)
    if order is not None:
        rows = rows[np.lexsort((order[rows], query[rows]))]
    place[rows] = positions(query[rows])
    return place
