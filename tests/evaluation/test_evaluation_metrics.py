"""Metrics and rankings against brute force."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from negmine.errors import MissingDependencyError
from negmine.evaluation import metrics
from negmine.evaluation.metrics import Truth

QUERIES, PASSAGES, DIMENSION = 12, 150, 8


@pytest.fixture
def vectors() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    made = [random.standard_normal((n, DIMENSION)) for n in (QUERIES, PASSAGES)]
    queries, passages = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in made)
    return queries.astype(np.float32), passages.astype(np.float32)


def truth(pairs: list[tuple[int, int, int, int]], left_out: list[tuple[int, int]] = ()) -> Truth:  # type: ignore[assignment]
    """From (query, passage, gain, answer)."""
    query, passage, gain, answer = np.array(sorted(pairs), np.int64).T
    copies = np.array(sorted(left_out), np.int64).reshape(-1, 2).T
    return Truth(QUERIES, PASSAGES, query, passage, gain, answer, copies[0], copies[1])


def blocks_of(passages: np.ndarray, size: int = 40) -> Iterator[tuple[int, np.ndarray]]:
    for low in range(0, len(passages), size):
        yield low, passages[low : low + size]


def by_hand(order: list[int], gains: dict[int, int]) -> list[float]:
    """nDCG@10 with linear gains, MRR@10 and recall@100 of one ranking."""
    found = sum(gains.get(name, 0) / math.log2(place + 2) for place, name in enumerate(order[:10]))
    ideal = sum(gain / math.log2(place + 2) for place, gain in enumerate(sorted(gains.values(), reverse=True)[:10]))
    first = next((1 / (place + 1) for place, name in enumerate(order[:10]) if name in gains), 0.0)
    return [found / ideal, first, len(set(order[:100]) & set(gains)) / len(gains)]


def test_metrics_are_those_computed_by_hand(vectors: tuple[np.ndarray, np.ndarray]) -> None:
    """For graded relevance, over the whole corpus."""
    queries, passages = vectors
    random = np.random.default_rng(1)
    gains = [
        {int(p): int(random.integers(1, 4)) for p in random.choice(PASSAGES, 1 + q, False)} for q in range(QUERIES)
    ]
    of = truth([(q, p, gain, p) for q in range(QUERIES) for p, gain in gains[q].items()])
    values = of.scores(of.rank(queries, lambda: blocks_of(passages)))
    scores = queries.astype(np.float64) @ passages.T.astype(np.float64)
    expected = [by_hand(np.argsort(-scores[q], kind="stable").tolist(), gains[q]) for q in range(QUERIES)]
    assert values == pytest.approx(np.array(expected))


def test_copies_are_in_no_ranking(vectors: tuple[np.ndarray, np.ndarray]) -> None:
    """What is left out takes no place: the next passage moves up."""
    queries, passages = vectors
    scores = queries.astype(np.float64) @ passages.T.astype(np.float64)
    order = np.argsort(-scores, axis=1, kind="stable")
    of = truth([(q, int(order[q, 1]), 1, int(order[q, 1])) for q in range(QUERIES)], [(3, int(order[3, 0]))])
    ranking = of.rank(queries, lambda: blocks_of(passages), 10)
    values = of.scores(ranking)
    assert values[3].tolist() == [1, 1, 1]
    assert values[4, 1] == 0.5
    assert ranking.passage[ranking.query == 3].tolist() == order[3, 1:11].tolist()
    assert np.bincount(ranking.query).tolist() == [10] * QUERIES


def test_chunks_of_a_document_are_one_answer(vectors: tuple[np.ndarray, np.ndarray]) -> None:
    """The best of them counts, the others take no place, and recall asks for one."""
    queries, passages = vectors
    scores = queries.astype(np.float64) @ passages.T.astype(np.float64)
    order = np.argsort(-scores, axis=1, kind="stable").tolist()
    pairs = []
    for q in range(QUERIES):
        pairs += [
            (q, order[q][0], 1, 900),
            (q, order[q][1], 1, 900),
            (q, order[q][2], 1, 901),
            (q, order[q][120], 1, 900),
        ]
    of = truth(pairs)
    values = of.scores(of.rank(queries, lambda: blocks_of(passages)))
    assert values == pytest.approx(np.ones((QUERIES, 3)))


def test_equal_scores_keep_the_order_of_the_corpus() -> None:
    """The library would order them by name."""
    passages = np.ones((PASSAGES, 1), np.float32)
    of = truth([(q, 2, 1, 2) for q in range(QUERIES)])
    values = of.scores(of.rank(np.ones((QUERIES, 1), np.float32), lambda: blocks_of(passages)))
    assert values[:, 1] == pytest.approx(1 / 3)


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it, and exit code 8."""
    monkeypatch.setitem(__import__("sys").modules, "ir_measures", None)
    with pytest.raises(MissingDependencyError, match=r"ir-measures.*negmine\[evaluate\]") as caught:
        metrics.measures_library()
    assert caught.value.exit_code == 8
