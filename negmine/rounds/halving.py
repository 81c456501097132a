"""The order of trials: brackets of settings, of which the better half goes on with twice as many seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")
WIDTH = 8
"""Settings of a bracket."""

Try = Callable[[T, int], np.ndarray | None]
"""Values (q,) of a setting with the seed of a number; None where there is no budget for it."""


@dataclass
class Arm(Generic[T]):
    """A setting and what is known of it: values (q,) for each of the first seeds."""

    setting: T
    values: list[np.ndarray] = field(default_factory=list)

    @property
    def seeds(self) -> int:
        return len(self.values)


def successive_halving(
    settings: Iterator[T], reference: Arm[T], attempt: Try[T], most_seeds: int, width: int = WIDTH
) -> list[Arm[T]]:
    """Arms in the order they were begun, without the reference.

    Brackets of ``width`` settings follow one another: all are tried with one seed, the better half of them with two,
    and so on up to ``most_seeds`` (Jamieson and Talwalkar 2016; the brackets as in Li et al. 2018). They are compared
    with the ``reference`` on the same seeds, which is tried first. A bracket ends with one arm; the best so far of all
    brackets takes part in the next. The order depends on the values alone: so many trials are always the same ones.
    """
    arms: list[Arm[T]] = []
    champion: Arm[T] | None = None
    while True:
        fresh = [Arm(setting) for _, setting in zip(range(width), settings, strict=False)]
        if not fresh:
            return arms
        arms += fresh
        racing = [*([champion] if champion is not None else []), *fresh]
        seeds = 1
        while True:
            if not all(_bring(arm, seeds, attempt) for arm in (reference, *racing)):
                return [arm for arm in arms if arm.seeds]
            racing = sorted(racing, key=lambda arm: -gain(arm, reference))  # stable: of equal ones the earlier
            if seeds >= most_seeds:
                break
            racing, seeds = racing[: (len(racing) + 1) // 2], min(2 * seeds, most_seeds)
        champion = racing[0]


def gain(arm: Arm[T], reference: Arm[T]) -> float:
    """Mean of an arm minus that of the reference, on the seeds that both have."""
    return float(gains(arm, reference).mean())


def gains(arm: Arm[T], reference: Arm[T]) -> np.ndarray:
    """The same for each query (q,)."""
    both = min(arm.seeds, reference.seeds)
    found: np.ndarray = np.mean(arm.values[:both], axis=0) - np.mean(reference.values[:both], axis=0)
    return found


def _bring(arm: Arm[T], seeds: int, attempt: Try[T]) -> bool:
    """Have the values of the first seeds; False when the budget ended."""
    while arm.seeds < seeds:
        values = attempt(arm.setting, arm.seeds)
        if values is None:
            return False
        arm.values.append(values)
    return True
