"""The queries of the page with their passages, as the JSON that its table is made from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import regex

from negmine.config import Config
from negmine.explain import ExplainedCandidate, ExplainedQuery, explain
from negmine.report.choosing import Chosen
from negmine.report.words import SharedWords, utf16

DROPPED = 20
"""Dropped candidates of a query that are on the page: the best ones, and beyond them the best of each reason."""
_FEW, _MANY, _SHORT_BYTES = 100, 500, 4_000
"""Queries whose texts are in memory at once: many only where texts are short, so few bytes are taken of each."""
_QUERY_CHARACTERS, _PASSAGE_CHARACTERS, _MARKS = 300, 500, 40
_HIDDEN = ("positive",)
"""Reasons whose candidates are on the page already, as positives."""

CANDIDATE = ("passage", "reason", "rank", "score", "similarity", "risk", "position", "source", "marks")
POSITIVE = ("passage", "score", "rank", "findings", "marks")


@dataclass
class Details:
    """``queries`` as ``query_of`` describes them; ``passages`` are [id, text], ``reasons`` and ``sources`` names that
    candidates point to. ``drawn`` counts the queries that are there as drawn, not for being notable alone."""

    queries: list[dict[str, Any]] = field(default_factory=list)
    passages: list[list[str]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    common: int = 0
    cut: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "queries": self.queries,
            "passages": self.passages,
            "reasons": list(self.reasons.items()),
            "sources": self.sources,
        }


class Collector:
    """Takes explained queries into ``Details``; passages that several queries have are there once."""

    def __init__(self) -> None:
        self.details = Details()
        self._passage: dict[str, int] = {}
        self._reason: dict[str, int] = {}
        self._source: dict[str, int] = {}
        self.bytes = 0

    def add(self, query: ExplainedQuery, chosen: Chosen) -> None:
        """Append a query; ``bytes`` grows by what it takes on the page, but for its marks."""
        before = len(self.details.passages)
        counts = Counter(each.reason for each in query.candidates)
        text = self._cut(query.text, _QUERY_CHARACTERS)
        row = {
            "id": query.query_id,
            "n": chosen.query,
            "text": text,
            "also": len(query.ids) - 1,
            "why": list(chosen.notable),
            "reference": _rounded(query.reference),
            "kept": query.kept,
            "counts": [[self._reason_of(each), counts[each.reason]] for each in _firsts(query.candidates)],
            "positives": [
                [self._passage_of(each.doc_id, each.text), _rounded(each.score), each.rank, list(each.findings)]
                for each in query.positives
            ],
            "candidates": [self._candidate(each) for each in shown(query.candidates)],
        }
        self.details.queries.append(row)
        self.bytes += encoded_bytes(row) + encoded_bytes(self.details.passages[before:])

    def mark(self) -> Details:
        """Say in each row which words of its passage are words of the query too."""
        details = self.details
        shared = SharedWords(text for _, text in details.passages)
        for query in details.queries:
            for row in (*query["positives"], *query["candidates"]):
                text = details.passages[row[0]][1]
                row.append(utf16(text, shared.spans(query["text"], text)[:_MARKS]))
        details.common = len(shared.common)
        return details

    def _candidate(self, each: ExplainedCandidate) -> list[Any]:
        found_by = " + ".join(
            name if rank is None or name == each.retriever else f"{name} #{rank}"
            for name, rank in zip(each.retrievers, each.ranks, strict=True)
        )
        if found_by not in self._source:
            self._source[found_by] = len(self._source)
            self.details.sources.append(found_by)
        return [
            self._passage_of(each.doc_id, each.text),
            self._reason_of(each),
            each.rank,
            _rounded(each.score),
            _rounded(each.positive_similarity),
            _rounded(each.risk),
            each.position,
            self._source[found_by],
        ]

    def _reason_of(self, each: ExplainedCandidate) -> int:
        if each.reason not in self._reason:
            self._reason[each.reason] = len(self._reason)
            self.details.reasons[each.reason] = each.explanation
        return self._reason[each.reason]

    def _passage_of(self, doc_id: str, text: str) -> int:
        if doc_id not in self._passage:
            self._passage[doc_id] = len(self._passage)
            self.details.passages.append([doc_id, self._cut(text, _PASSAGE_CHARACTERS)])
        return self._passage[doc_id]

    def _cut(self, text: str, characters: int) -> str:
        """At most so many characters as people count them."""
        if len(text) <= characters:
            return text
        found = regex.match(rf"\X{{0,{characters}}}", text)
        short = found[0] if found else ""
        if len(short) == len(text):
            return text
        self.details.cut = True
        return f"{short.rstrip()} …"


def collect(
    config: Config, chosen: Sequence[Chosen], budget: int | None, tell: Callable[[int], None] = lambda done: None
) -> Details:
    """The details of the first of the ``chosen`` that fit into ``budget`` bytes (None: all), in the run's order."""
    taken, start = Collector(), 0
    while start < len(chosen) and (budget is None or taken.bytes < budget):
        some = chosen[start : start + (_MANY if start and taken.bytes < start * _SHORT_BYTES else _FEW)]
        for query, each in zip(explain(config, [each.query_id for each in some]), some, strict=True):
            if budget is None or taken.bytes < budget:
                taken.add(query, each)
        start += len(some)
        tell(len(taken.details.queries))
    details = taken.mark()
    details.queries.sort(key=lambda row: row["n"])
    return details


def shown(candidates: Sequence[ExplainedCandidate]) -> list[ExplainedCandidate]:
    """The kept ones by position, then dropped ones: the first ``DROPPED``, and the first of every other reason."""
    kept = sorted((each for each in candidates if each.position is not None), key=lambda each: each.position or 0)
    dropped = [each for each in candidates if each.position is None and each.reason not in _HIDDEN]
    first = dropped[:DROPPED]
    named = {each.reason for each in first}
    return [*kept, *first, *(each for each in _firsts(dropped[DROPPED:]) if each.reason not in named)]


def _firsts(candidates: Sequence[ExplainedCandidate]) -> list[ExplainedCandidate]:
    """The first candidate of every reason."""
    found: dict[str, ExplainedCandidate] = {}
    for each in candidates:
        found.setdefault(each.reason, each)
    return list(found.values())


def encoded_bytes(value: Any) -> int:
    """Bytes that a value takes on the page: JSON in UTF-8, in which ``<``, ``>``, ``&`` and ``'`` are escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode()) + 5 * sum(text.count(character) for character in "<>&'")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
