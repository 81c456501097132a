"""The smallest student: a linear map of the query vectors that a run has stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from negmine.training.base import Advance, Batch, Model, Plan, Rows, Trained, Validate
from negmine.training.contrastive import learn

Vectors = Callable[[np.ndarray], np.ndarray]
"""Vectors (n, d) of given numbers."""


class Adapter:
    """A ``Student``: q -> qW, from W = 1. Passages stay as they are, so nothing has to be embedded again."""

    name = "adapter"
    rates: tuple[float, ...] = (3e-4, 1e-3)
    epochs = 10
    dev_passages = 20_000

    def __init__(self, queries: Vectors, passages: Vectors) -> None:
        self._queries, self._passages = _unit(queries), _unit(passages)

    def identity(self) -> dict[str, str]:
        return {}

    def untrained(self) -> Model:
        return _Adapted(self._queries, self._passages, None)

    def train(self, rows: Rows, plan: Plan, validate: Validate, advance: Advance) -> Trained:
        return learn(_Learner(self._queries, self._passages, rows), rows, plan, validate, advance)


class _Adapted:
    def __init__(self, queries: Vectors, passages: Vectors, weights: np.ndarray | None) -> None:
        self._queries, self._weights = queries, weights
        self.passages = passages

    def queries(self, numbers: np.ndarray) -> np.ndarray:
        vectors = self._queries(numbers)
        if self._weights is None:
            return vectors
        with threadpool_limits(1):  # on any number of threads the same sums
            return normalised(vectors @ self._weights)


class _Learner:
    def __init__(self, queries: Vectors, passages: Vectors, rows: Rows) -> None:
        import torch

        self._of = queries, passages
        self._numbers = rows.numbers
        self._held = tuple(torch.from_numpy(of(n)) for of, n in zip(self._of, self._numbers, strict=True))
        self._start = torch.eye(self._held[0].shape[1])
        self._change = torch.zeros_like(self._start, requires_grad=True)

    def optimizer(self, rate: float) -> Any:
        import torch

        return torch.optim.Adam([self._change], lr=rate)

    def cosines(self, batch: Batch) -> Any:
        import torch

        rows = [np.searchsorted(of, n) for of, n in zip(self._numbers, (batch.query, batch.passage), strict=True)]
        queries, passages = self._held[0][rows[0]], self._held[1][rows[1]]
        return torch.nn.functional.normalize(queries @ (self._start + self._change), dim=1) @ passages.T

    def model(self) -> Model:
        return _Adapted(*self._of, (self._start + self._change).detach().numpy().copy())


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32 (n, d); a row of zeros stays one."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    scaled: np.ndarray = (vectors / np.maximum(norms, 1e-12)[:, None]).astype(np.float32)
    return scaled


def _unit(of: Vectors) -> Vectors:
    return lambda numbers: normalised(of(numbers))
