"""The verdict on every candidate: kept, or dropped for exactly one reason.

Rules are asked in the order of ``REASONS``; the first that objects names the reason. All
arrays are parallel over candidates (n,), grouped by query and best first within a query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from negmine.arrays import positions
from negmine.selection.random import mix

REASONS = (
    "kept",
    "positive",
    "positive_text",
    "query_text",
    "absolute_margin",
    "relative_margin",
    "positive_similarity",
    "max_score",
    "min_score",
    "range",
    "not_sampled",
    "starved",
)
_CODE = {reason: code for code, reason in enumerate(REASONS)}
KEPT = _CODE["kept"]

EXPLANATIONS = {
    "kept": "a negative of the query",
    "positive": "the passage is labelled as a positive of the query",
    "positive_text": "its text equals that of a positive, under another id",
    "query_text": "its text equals the query",
    "absolute_margin": "score + filter.absolute_margin > reference",
    "relative_margin": "score > reference - |reference| * filter.relative_margin",
    "positive_similarity": "its similarity to a positive > filter.positive_similarity",
    "max_score": "score > filter.max_score",
    "min_score": "score < filter.min_score",
    "range": "outside filter.range_min..range_max among the survivors, or beyond filter.max_rank",
    "not_sampled": "it survived, but num_negatives others were taken",
    "starved": "its query had fewer than num_negatives and filter.on_shortage is drop",
}

_SAME = "same_"


def reason_names(exclude_same: Sequence[str]) -> tuple[str, ...]:
    """All reasons of a run, in the order of their codes: those of ``REASONS``, then ``same_<column>``."""
    return (*REASONS, *(f"{_SAME}{column}" for column in exclude_same))


def explanation(reason: str) -> str:
    """A reason in words."""
    if reason.startswith(_SAME):
        return f"its {reason.removeprefix(_SAME)} is that of a positive (filter.exclude_same)"
    return EXPLANATIONS[reason]


@dataclass(frozen=True)
class Rules:
    """The ``filter`` section, as numbers."""

    absolute_margin: float | None = None
    relative_margin: float | None = None
    positive_similarity: float | None = None
    max_score: float | None = None
    min_score: float | None = None
    range_min: int = 0
    range_max: int | None = None
    max_rank: int | None = None
    num_negatives: int = 5
    sampling_strategy: str = "top"
    on_shortage: str = "fewer"
    seed: int = 0


def reference_scores(query: np.ndarray, score: np.ndarray, how: str, queries: int) -> np.ndarray:
    """Reference score per query (q,): min, max or mean of its positives' scores.

    ``query`` (p,) is grouped; every query has a positive.
    """
    starts = np.flatnonzero(np.concatenate([[True], query[1:] != query[:-1]]))
    if how == "mean":
        return np.bincount(query, weights=score, minlength=queries) / np.bincount(query, minlength=queries)
    reference = np.full(queries, np.nan)
    reduced = (np.minimum if how == "min" else np.maximum).reduceat(score, starts)
    reference[query[starts]] = reduced
    return reference


def verdicts(
    rules: Rules,
    query: np.ndarray,
    rank: np.ndarray,
    score: np.ndarray,
    positive_similarity: np.ndarray,
    reference: np.ndarray,
    excluded: np.ndarray,
    query_key: np.ndarray,
    passage_key: np.ndarray,
    same: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Reason code (n,) of every candidate, in the order of ``reason_names``.

    ``reference`` (n,) is that of the candidate's query; ``positive_similarity`` (n,) the greatest
    cosine to one of its positives; ``excluded`` (n,) is 0, or 1 + the place
    in ``EXCLUSION_REASONS``; the keys (n,) seed random sampling; ``same`` holds a mask (n,) per column
    of ``exclude_same``. Queries that come out short of
    ``num_negatives`` lose all their negatives when ``on_shortage`` is drop.
    """
    reason = np.where(excluded > 0, excluded + _CODE["positive"] - 1, -1).astype(np.int8)

    def drop(name: str, broken: np.ndarray) -> None:
        reason[(reason < 0) & broken] = _CODE[name]

    for column, shares in enumerate(same):
        reason[(reason < 0) & shares] = len(REASONS) + column
    if rules.max_rank is not None:
        drop("range", rank > rules.max_rank)
    if rules.absolute_margin is not None:
        drop("absolute_margin", ~(score + rules.absolute_margin <= reference))
    if rules.relative_margin is not None:
        drop("relative_margin", ~(score <= reference - np.abs(reference) * rules.relative_margin))
    if rules.positive_similarity is not None:
        drop("positive_similarity", ~(positive_similarity <= rules.positive_similarity))
    if rules.max_score is not None:
        drop("max_score", ~(score <= rules.max_score))
    if rules.min_score is not None:
        drop("min_score", ~(score >= rules.min_score))
    place = _places(query, reason < 0)
    drop("range", place < rules.range_min)
    if rules.range_max is not None:
        drop("range", place >= rules.range_max)
    if rules.sampling_strategy == "random":
        place = _places_by(query, reason < 0, mix(rules.seed, query_key, passage_key))
    else:
        place = place - rules.range_min
    drop("not_sampled", place >= rules.num_negatives)
    reason[reason < 0] = KEPT
    if rules.on_shortage == "drop" and len(query):
        kept = np.bincount(query, weights=reason == KEPT)
        reason[(reason == KEPT) & (kept[query] < rules.num_negatives)] = _CODE["starved"]
    return reason


def _places(query: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Place (0-based) of each marked row among the marked rows of its query; 0 elsewhere."""
    place = np.zeros(len(query), np.int64)
    rows = np.flatnonzero(among)
    place[rows] = positions(query[rows])
    return place


def _places_by(query: np.ndarray, among: np.ndarray, priority: np.ndarray) -> np.ndarray:
    """As ``_places``, in the order of ``priority`` instead of the rows'."""
    place = np.zeros(len(query), np.int64)
    rows = np.flatnonzero(among)
    rows = rows[np.lexsort((priority[rows], query[rows]))]
    place[rows] = positions(query[rows])
    return place
