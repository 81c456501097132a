"""Small candidate lists for tests: per query a list of rows, turned into ``Candidates``."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from negmine.selection.candidates import Candidates
from negmine.selection.random import mix


@dataclass
class Row:
    """One candidate; ``passage`` also seeds its key."""

    passage: int
    score: float
    similarity: float = 0.0
    excluded: int = 0
    same: tuple[bool, ...] = ()
    risk: float = 0.0
    near: bool = False


@dataclass
class Query:
    """One query with its candidates, best first; ``key`` stands for its id."""

    key: int
    rows: list[Row] = field(default_factory=list)
    reference: float = 1.0
    positive_rank: float = 1.0


def build(queries: list[Query], columns: int = 0) -> Candidates:
    """The queries as arrays; ``columns`` is how many ``same`` masks there are."""
    rows = [row for query in queries for row in query.rows]
    sizes = [len(query.rows) for query in queries]
    return Candidates(
        query=np.repeat(np.arange(len(queries)), sizes),
        passage=np.array([row.passage for row in rows], np.int64),
        rank=np.array([place + 1 for size in sizes for place in range(size)], np.int32),
        score=np.array([row.score for row in rows], np.float64),
        positive_similarity=np.array([row.similarity for row in rows], np.float64),
        excluded=np.array([row.excluded for row in rows], np.int64),
        passage_key=mix(12, np.array([row.passage for row in rows], np.int64)),
        reference=np.array([query.reference for query in queries], np.float64),
        positive_rank=np.array([query.positive_rank for query in queries], np.float64),
        query_key=mix(11, np.array([query.key for query in queries], np.int64)),
        same=tuple(np.array([row.same[c] for row in rows], bool) for c in range(columns)),
    )


def risks(queries: list[Query]) -> np.ndarray:
    """``risk`` of every candidate (n,)."""
    return np.array([row.risk for query in queries for row in query.rows], np.float64)


def eighths(low: int, high: int) -> st.SearchStrategy[float]:
    """Numbers that are exact in binary and often equal, so that < and <= are told apart."""
    return st.integers(low, high).map(lambda n: n / 8)


@st.composite
def query_lists(draw: st.DrawFn, columns: int = 0, most: int = 14) -> list[Query]:
    """Some queries; a query may have no candidates, and lists may have ties."""
    queries = []
    for key in draw(st.lists(st.integers(0, 1000), unique=True, min_size=1, max_size=4)):
        passages = draw(st.lists(st.integers(0, 40), unique=True, max_size=most))
        scores = sorted((draw(eighths(-8, 8)) for _ in passages), reverse=True)
        rows = [
            Row(
                passage,
                score,
                similarity=draw(eighths(-8, 8)),
                excluded=draw(st.sampled_from([0, 0, 0, 0, 1, 2, 3])),
                same=tuple(draw(st.sampled_from([False, False, True])) for _ in range(columns)),
                risk=draw(eighths(0, 8)),
                near=draw(st.sampled_from([False, False, True])),
            )
            for passage, score in zip(passages, scores, strict=True)
        ]
        queries.append(Query(key, rows, draw(eighths(-8, 8)), draw(st.sampled_from([1.0, 3.0, np.inf]))))
    return queries
