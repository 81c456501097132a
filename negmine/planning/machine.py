"""How fast this machine is, measured in a fraction of a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_SIDE = 768
_PASSAGES = 8192
_QUERIES = 256


@dataclass(frozen=True)
class Machine:
    """Rates of this machine: ``flops`` of a float32 matrix product and of a nearest-neighbour
    search (2 per dimension and pair), both per second."""

    flops: float
    search_flops: float


def calibrate(dimension: int, depth: int) -> Machine:
    """Measure the machine for vectors of ``dimension`` and searches of ``depth`` passages."""
    import faiss

    random = np.random.default_rng(0)
    left = random.standard_normal((_SIDE, _SIDE), np.float32)
    seconds = _best(lambda: left @ left)
    passages = random.standard_normal((_PASSAGES, dimension), np.float32)
    queries = random.standard_normal((_QUERIES, dimension), np.float32)
    width = min(depth, _PASSAGES)
    search = _best(lambda: faiss.knn(queries, passages, width, metric=faiss.METRIC_INNER_PRODUCT))
    return Machine(2 * _SIDE**3 / seconds, 2 * dimension * _QUERIES * _PASSAGES / search)


def _best(work: Callable[[], object]) -> float:
    """Seconds of the faster of some runs: the first one warms up."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
