"""What every student has in common: the rows it is trained on, the plan, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from negmine.arrays import find_pairs

MISSING = -1


@dataclass(frozen=True)
class Rows:
    """Training rows by number: ``query`` and ``positive`` (n,), ``negatives`` (n, m), where -1 is none.

    ``known_query`` and ``known_passage`` (k,), sorted and distinct, are all pairs that are known to belong together
    among the ``passages`` of a corpus: in a batch such a passage is nobody's negative.
    """

    query: np.ndarray
    positive: np.ndarray
    negatives: np.ndarray
    known_query: np.ndarray
    known_passage: np.ndarray
    passages: int
    shared: bool = False
    """Whether the negatives of a row count for the other queries of its batch too."""

    def __len__(self) -> int:
        return len(self.query)

    @cached_property
    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct queries, and distinct passages, of the rows, ascending."""
        every = np.concatenate([self.positive, self.negatives.ravel()])
        return np.unique(self.query), np.unique(every[every != MISSING])

    def batch(self, rows: np.ndarray) -> Batch:
        """Some rows as a batch."""
        passage = np.concatenate([self.positive[rows], self.negatives[rows].ravel()])
        query, here = self.query[rows], passage != MISSING
        b, c = len(rows), len(passage)
        pairs = np.repeat(query, c), np.tile(passage, b)
        known = find_pairs(*pairs, self.known_query, self.known_passage, self.passages).reshape(b, c) >= 0
        allowed = here[None, :] & ~known
        if not self.shared:
            allowed[:, b:] &= np.repeat(np.eye(b, dtype=bool), self.negatives.shape[1], axis=1)
        allowed[np.arange(b), np.arange(b)] = True
        return Batch(query, np.where(here, passage, 0), allowed)


@dataclass(frozen=True)
class Batch:
    """``query`` (b,) and ``passage`` (c,), whose first b are the queries' positives; ``allowed`` (b, c) says which
    passages are compared with a query: its positive, and all that are not known to be right as well."""

    query: np.ndarray
    passage: np.ndarray
    allowed: np.ndarray


@dataclass(frozen=True)
class Plan:
    """How a student is trained: the same for every arm. ``checkpoints`` counts the looks at dev after the start."""

    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    checkpoints: int
    temperature: float

    def batches(self, rows: int) -> Iterator[np.ndarray]:
        """Numbers of the rows of each step: every epoch in a new order, without the rest of an epoch."""
        random = np.random.default_rng([self.seed, 1])
        size, done = min(self.batch_size, rows), 0
        while True:
            order = random.permutation(rows)
            for low in range(0, rows - size + 1, size):
                yield order[low : low + size]
                done += 1
                if done == self.steps:
                    return

    def looks(self) -> set[int]:
        """Steps after which dev is looked at."""
        return {-(-self.steps * (i + 1) // self.checkpoints) for i in range(self.checkpoints)}


class Model(Protocol):
    """Something that embeds queries and passages of a run by their numbers."""

    def queries(self, numbers: np.ndarray) -> np.ndarray:
        """Unit vectors float32 (n, d)."""

    def passages(self, numbers: np.ndarray) -> np.ndarray:
        """Unit vectors float32 (n, d)."""


Validate = Callable[[Model], float]
"""How good a model is on dev; higher is better."""

Advance = Callable[[int], None]
"""Is told of steps that were done."""


@dataclass(frozen=True)
class Trained:
    """The best of the checkpoints: ``step`` 0 is the student before any training. ``curve`` holds (step, dev)."""

    model: Model
    step: int
    dev: float
    curve: tuple[tuple[int, float], ...]


class Student(Protocol):
    """A kind of model that can be trained from the same start again and again."""

    name: str
    rates: tuple[float, ...]
    """Learning rates that suit it."""
    epochs: int
    """How often it should see each row."""
    dev_passages: int
    """So many passages it can embed at every checkpoint."""

    def identity(self) -> dict[str, str]:
        """What decides the result beside rows and plan."""

    def untrained(self) -> Model:
        """The student before any training."""

    def train(self, rows: Rows, plan: Plan, validate: Validate, advance: Advance) -> Trained:
        """Train a fresh one and keep the checkpoint that ``validate`` likes best, the earliest among equals."""
