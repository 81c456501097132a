"""Rows, batches and the loss of students, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmine.training.adapter import Adapter
from negmine.training.base import Model, Plan, Rows

PASSAGES = 20


def rows(*, shared: bool = False) -> Rows:
    """Queries 0, 1, 2; query 0 knows passages 3 and 7, the others their positives alone."""
    return Rows(
        query=np.array([0, 1, 2]),
        positive=np.array([3, 7, 5]),
        negatives=np.array([[9, -1], [3, 8], [-1, -1]]),
        known_query=np.array([0, 0, 1, 2]),
        known_passage=np.array([3, 7, 7, 5]),
        passages=PASSAGES,
        shared=shared,
    )


@pytest.mark.parametrize("shared", [False, True])
def test_a_batch_compares_what_may_be_wrong(shared: bool) -> None:
    """A query sees all positives but those it knows, its own negatives, and those of others only where shared."""
    of = rows(shared=shared)
    taken = np.array([1, 0, 2])
    batch = of.batch(taken)
    known = set(zip(of.known_query.tolist(), of.known_passage.tolist(), strict=True))
    compared = {(i, int(batch.passage[j]), j) for i, j in zip(*np.nonzero(batch.allowed), strict=True)}
    expected = set()
    for i, row in enumerate(taken):
        for j, other in enumerate(taken):
            passage = int(of.positive[other])
            if i == j or (int(of.query[row]), passage) not in known:
                expected.add((i, passage, j))
            for place, negative in enumerate(of.negatives[other].tolist()):
                here = negative >= 0 and (int(of.query[row]), negative) not in known
                if here and (shared or i == j):
                    expected.add((i, negative, 3 + 2 * j + place))
    assert compared == expected


@given(st.integers(2, 70), st.integers(1, 30), st.integers(2, 16), st.integers(0, 3))
def test_batches_are_the_same_for_every_arm(count: int, steps: int, size: int, seed: int) -> None:
    """They depend on the number of rows and the seed; an epoch shows no row twice."""
    plan = Plan(steps, size, 0.1, seed, 1, 0.05)
    batches = list(plan.batches(count))
    assert len(batches) == steps
    assert all(len(batch) == min(size, count) for batch in batches)
    per_epoch = count // min(size, count)
    for first in range(0, steps, per_epoch):
        seen = np.concatenate(batches[first : first + per_epoch])
        assert len(np.unique(seen)) == len(seen)
    assert all(np.array_equal(a, b) for a, b in zip(batches, plan.batches(count), strict=True))


def test_checkpoints_end_with_the_last_step() -> None:
    """And are spread evenly."""
    assert sorted(Plan(100, 8, 0.1, 0, 4, 0.05).looks()) == [25, 50, 75, 100]
    assert max(Plan(7, 8, 0.1, 0, 3, 0.05).looks()) == 7


def vectors(seed: int, count: int) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def by_hand(weights: np.ndarray, of: Rows, queries: np.ndarray, passages: np.ndarray) -> float:
    """The mean loss of all rows as one batch."""
    total = 0.0
    for i in range(len(of)):
        query = queries[of.query[i]] @ weights
        query = query / np.linalg.norm(query)
        known = set(of.known_passage[of.known_query == of.query[i]].tolist())
        others = [int(p) for j, p in enumerate(of.positive) if j != i and int(p) not in known]
        others += [int(p) for p in of.negatives[i] if p >= 0 and int(p) not in known]
        logits = np.array([query @ passages[p] for p in (of.positive[i], *others)]) / 0.05
        total += float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[0])
    return total / len(of)


def test_one_step_goes_down_the_slope_of_the_loss() -> None:
    """Adam's first step is the sign of the gradient, which is that of the loss computed by hand."""
    queries, passages, of = vectors(1, 3), vectors(2, PASSAGES), rows()
    adapter = Adapter(queries.__getitem__, passages.__getitem__)
    rate = 1e-3
    seen: list[Model] = []

    def last(model: Model) -> float:
        seen.append(model)
        return float(len(seen))

    adapter.train(of, Plan(1, 3, rate, 0, 1, 0.05), last, lambda steps: None)
    moved = seen[-1]._weights - np.eye(6)  # type: ignore[attr-defined]
    slope = np.empty((6, 6))
    for i in range(6):
        for j in range(6):
            change = np.zeros((6, 6))
            change[i, j] = 1e-4
            above, below = (by_hand(np.eye(6) + sign * change, of, queries, passages) for sign in (1, -1))
            slope[i, j] = (above - below) / 2e-4
    clear = np.abs(slope) > 1e-3
    assert clear.sum() > 20
    assert moved[clear] == pytest.approx(-rate * np.sign(slope[clear]), rel=1e-2)


def test_the_best_checkpoint_is_kept_the_start_too() -> None:
    """The earliest among equals; what is trained later does not change it."""
    queries, passages = vectors(1, 3), vectors(2, PASSAGES)
    adapter = Adapter(queries.__getitem__, passages.__getitem__)
    for scores, step in (((3, 1, 2), 0), ((1, 3, 3), 5), ((1, 2, 3), 10)):
        left = list(scores)
        found = adapter.train(rows(), Plan(10, 3, 0.01, 0, 2, 0.05), lambda model, of=left: of.pop(0), lambda n: None)
        assert (found.step, found.dev) == (step, 3)
        assert [at for at, _ in found.curve] == [0, 5, 10]
        start = np.allclose(found.model.queries(np.arange(3)), queries, atol=1e-6)
        assert start == (step == 0)
