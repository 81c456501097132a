"""What an evaluation found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from negmine.config.evaluating import BASELINE, ORACLE
from negmine.evaluation.experiment import Outcome
from negmine.evaluation.metrics import MAIN, METRICS
from negmine.evaluation.significance import (
    Difference,
    Verdict,
    difference,
    holm,
    interval,
    share_interval,
    verdict,
)

NAMES = {
    "in_batch": "in-batch negatives only",
    "random": "random negatives",
    "naive": "naive top-k",
    "peer": "relative_margin 0.05",
    "run": "this run's negatives",
    "oracle": "the hardest true negatives",
}
_OF_RUN = ("random", "naive", "peer")


@dataclass(frozen=True)
class ArmResult:
    """Means of the metrics over seeds and queries; the interval is that of nDCG@10. ``negatives`` is the mean
    number that a training row has; ``steps``, ``learning_rates`` and ``dev`` are what dev chose for each seed."""

    arm: str
    metrics: Mapping[str, float]
    interval: tuple[float, float]
    negatives: float
    steps: tuple[int, ...]
    learning_rates: tuple[float, ...]
    dev: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """One arm against another by nDCG@10: ``p`` is adjusted for all comparisons (Holm)."""

    arm: str
    against: str
    effect: float
    interval: tuple[float, float]
    p_alone: float
    p: float
    verdict: Verdict

    @property
    def sentence(self) -> str:
        """The finding in words."""
        low, high = self.interval
        arm, against = NAMES[self.arm], NAMES[self.against]
        than = "from" if self.verdict == "no different" else "than"
        chance = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return (
            f"{arm[0].upper()}{arm[1:]}: {self.verdict} {than} {against}"
            f" ({self.effect:+.4f} nDCG@10, 95% {low:+.4f} to {high:+.4f}, {chance})."
        )


@dataclass(frozen=True)
class Recovered:
    """The share of what an oracle gains over naive negatives that the run gains."""

    share: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Evaluation:
    """The result of ``negmine evaluate``. ``state`` tells which data, settings and filter it is about."""

    student: str
    seeds: int
    steps: int
    queries: Mapping[str, int]
    groups: int
    passages: int
    judged: bool
    untrained: Mapping[str, float]
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    recovered: Recovered | None
    state: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        found = asdict(self)
        for row, comparison in zip(found["comparisons"], self.comparisons, strict=True):
            row["sentence"] = comparison.sentence
        return found

    def arm(self, name: str) -> ArmResult:
        """The result of one arm."""
        return next(arm for arm in self.arms if arm.arm == name)

    def comparison(self, arm: str, against: str) -> Comparison:
        """One arm against another."""
        return next(each for each in self.comparisons if (each.arm, each.against) == (arm, against))


def arm_result(arm: str, outcomes: Sequence[Outcome], negatives: float, groups: np.ndarray) -> ArmResult:
    """Outcomes of all seeds as one result."""
    values = np.stack([outcome.values for outcome in outcomes])
    return ArmResult(
        arm=arm,
        metrics=as_metrics(values.mean(axis=(0, 1))),
        interval=interval(values[:, :, MAIN], groups),
        negatives=negatives,
        steps=tuple(outcome.step for outcome in outcomes),
        learning_rates=tuple(outcome.learning_rate for outcome in outcomes),
        dev=tuple(outcome.dev for outcome in outcomes),
    )


def as_metrics(values: np.ndarray) -> dict[str, float]:
    """Metrics (3,) by name."""
    return {name: float(value) for name, value in zip(METRICS, values, strict=True)}


def compared(arms: Sequence[str]) -> list[tuple[str, str]]:
    """Which arms are compared: each with in-batch negatives, and the run with the other recipes."""
    if BASELINE not in arms and "run" not in arms:
        return [(arm, other) for other, arm in pairwise(arms)]
    pairs = [(arm, BASELINE) for arm in arms if arm != BASELINE] if BASELINE in arms else []
    others = _OF_RUN if BASELINE in arms else (*_OF_RUN, ORACLE)
    return pairs + [("run", arm) for arm in arms if arm in others and "run" in arms]


def comparisons(values: Mapping[str, np.ndarray], groups: np.ndarray) -> tuple[Comparison, ...]:
    """All comparisons of arms whose nDCG@10 of each seed and query is ``values``, (s, q) each."""
    pairs = compared(list(values))
    found: list[Difference] = [difference(values[arm], values[against], groups) for arm, against in pairs]
    adjusted = holm(np.array([each.p for each in found]))
    return tuple(
        Comparison(arm, against, of.effect, (of.low, of.high), of.p, float(p), verdict(of.effect, float(p)))
        for (arm, against), of, p in zip(pairs, found, adjusted, strict=True)
    )


def recovered(values: Mapping[str, np.ndarray], groups: np.ndarray) -> Recovered | None:
    """(run - naive) / (oracle - naive), with a bootstrap interval; None where the oracle may gain nothing."""
    if not {"run", "naive", ORACLE} <= set(values):
        return None
    part, whole = values["run"] - values["naive"], values[ORACLE] - values["naive"]
    if interval(whole, groups)[0] <= 0:
        return None
    return Recovered(float(part.mean() / whole.mean()), share_interval(part, whole, groups))
