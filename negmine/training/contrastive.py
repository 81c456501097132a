"""Training in steps of our own, for students that are small enough to need no trainer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

from negmine.training.base import Advance, Batch, Model, Plan, Rows, Trained, Validate


class Learner(Protocol):
    """A student in training."""

    def optimizer(self, rate: float) -> Any:
        """A torch optimizer over what is learnt."""

    def cosines(self, batch: Batch) -> Any:
        """Similarities of queries and passages: a torch tensor (b, c)."""

    def model(self) -> Model:
        """What it is now; later steps must not change it."""


def learn(learner: Learner, rows: Rows, plan: Plan, validate: Validate, advance: Advance) -> Trained:
    """Minimise the softmax cross-entropy of each query's positive among the passages of its batch.

    That is InfoNCE (van den Oord et al. 2018) over in-batch and hard negatives, as the
    MultipleNegativesRankingLoss of Sentence Transformers, but that passages known to be right are left out. The rate
    rises over the first tenth of the steps and then falls to zero in a line.
    """
    import torch

    with one_thread():
        torch.manual_seed(plan.seed)
        optimizer = learner.optimizer(plan.learning_rate)
        warm = max(plan.steps // 10, 1)
        looks = plan.looks()
        best, step = learner.model(), 0
        curve = [(0, validate(best))]
        best_dev = curve[0][1]
        for number, taken in enumerate(plan.batches(len(rows)), 1):
            share = number / warm if number <= warm else (plan.steps - number + 1) / (plan.steps - warm + 1)
            for group in optimizer.param_groups:
                group["lr"] = plan.learning_rate * share
            batch = rows.batch(taken)
            logits = learner.cosines(batch) / plan.temperature
            logits = logits.masked_fill(~torch.from_numpy(batch.allowed), float("-inf"))
            loss = torch.nn.functional.cross_entropy(logits, torch.arange(len(taken)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            advance(1)
            if number in looks:
                now = learner.model()
                curve.append((number, validate(now)))
                if curve[-1][1] > best_dev:
                    best, step, best_dev = now, number, curve[-1][1]
    return Trained(best, step, best_dev, tuple(curve))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums in another order would train another model."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
