"""Choosing the settings of ``filter`` by what they do for a student on dev."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from negmine.config import Config
from negmine.errors import ConfigError, UsageError
from negmine.evaluation import DEV, TEST, Experiment, experiment_of
from negmine.evaluation.metrics import MAIN
from negmine.evaluation.significance import Difference, difference
from negmine.evaluation.split import SIDES
from negmine.pipeline import Reporter
from negmine.pipeline.events import Silent
from negmine.rounds.halving import WIDTH, Arm, gains, successive_halving
from negmine.rounds.maximum import best_of_many, first_best
from negmine.rounds.space import DEFAULT, Candidate, candidates
from negmine.rounds.trials import FOLDER, Difficulty, Trials
from negmine.store.files import write_json

RESULT = f"{FOLDER}/result.json"
LEVEL = 0.05
STAGE = "tune"
_TESTED = 2
"""Settings that the confirmation trains: the default and the chosen one."""


@dataclass(frozen=True)
class Tried:
    """A setting: the values it sets, how hard its negatives are, its mean nDCG@10 on dev over its ``seeds``; ``gain``
    is over the default and ``uplift`` over no hard negatives, on the same seeds; ``p`` is that of the gain, adjusted
    for all settings that were tried, None for the default."""

    name: str
    values: Mapping[str, Any]
    seeds: int
    dev: float
    gain: float
    uplift: float
    p: float | None
    difficulty: Difficulty


@dataclass(frozen=True)
class Confirmation:
    """Default and chosen setting on the test queries, which nothing was chosen by: mean nDCG@10 and the difference."""

    seeds: int
    default: float
    chosen: float
    difference: Difference


@dataclass(frozen=True)
class Tuning:
    """The settings that were tried, best gain first; ``chosen`` is None where none beats the default by more than
    luck, and ``best`` the one that came nearest. ``in_batch`` is dev without hard negatives, ``in_batch_p`` the chance
    that this is better than the default by luck alone."""

    student: str
    queries: Mapping[str, int]
    trials: int
    seconds: float
    default: Tried
    in_batch: float
    in_batch_p: float
    tried: tuple[Tried, ...]
    best: Tried
    chosen: Tried | None
    confirmation: Confirmation | None
    left_out: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


def tune(
    config: Config, *, budget: float | None = None, trials: int | None = None, reporter: Reporter | None = None
) -> Tuning:
    """Try settings on the stored candidates of a finished run, for ``budget`` seconds or so many ``trials``.

    Each trial trains the student of ``config.evaluate`` on the training queries and measures dev. Test queries, and
    their labels, are looked at once, when all is decided. Trials that were done before are read: their seconds count
    as they did then, so that an interrupted tuning goes on and ends as it would have. The result is kept as
    ``tune/result.json``.

    Raises what ``evaluate`` raises, and UsageError where the budget does not suffice for one setting.
    """
    with experiment_of(config) as experiment:
        found = _Search(experiment, budget, trials, reporter or Silent()).run()
        write_json(experiment.run.work.root / RESULT, found.as_json())
        return found


class _Search:
    def __init__(self, experiment: Experiment, budget: float | None, trials: int | None, reporter: Reporter) -> None:
        self.config = experiment.run.config
        self.trials = Trials(experiment)
        self._experiment, self._reporter = experiment, reporter
        self._budget, self._most = budget, trials
        self._spent: list[float] = []
        self._seeds = self.config.evaluate.seeds

    def run(self) -> Tuning:
        own = Candidate(DEFAULT, {}, self.config)
        reference: Arm[Candidate] = Arm(own)
        unit, total = ("trials", self._most) if self._most is not None else ("seconds", int(self._budget or 0))
        self._reporter.stage_started(STAGE, f"{total:,} {unit}")
        self._reporter.tasks_known(STAGE, unit, total or 1, 0)
        self.trials.negatives(own)  # what is wrong with the run's own settings is told before anything is trained
        arms = successive_halving(self._applicable(), reference, self._attempt, self._seeds)
        if not self._spent:
            raise ConfigError(
                "none of the settings that are tried makes a valid config with the other keys",
                where="filter",
                hint="Raise mine.k, or loosen filter.max_rank and the formats of export.",
            )
        if not arms or not reference.seeds:
            each = max(self._spent, default=0.0)
            enough = each * (2 * WIDTH + (1 + _TESTED) * self._seeds)
            raise UsageError(
                f"the budget ended before one setting was tried: a trial takes about {each:.1f} s",
                hint=f"Give it {max(round(enough / 60), 1)} minutes or more, with --budget.",
            )
        in_batch = np.stack([self._values(None, number) for number in range(reference.seeds)])
        return self._result(reference, arms, in_batch)

    def _applicable(self) -> Iterator[Candidate]:
        """Settings that the run's candidates and labels allow."""
        for candidate in candidates(self.config, self.config.seed):
            try:
                self.trials.negatives(candidate)
            except ConfigError:
                continue
            yield candidate

    def _attempt(self, setting: Candidate, number: int) -> np.ndarray | None:
        if self._is_over():
            return None
        return self._values(setting, number)

    def _is_over(self) -> bool:
        """Whether another trial would leave too little for what comes at the end."""
        if self._most is not None:
            return len(self._spent) >= self._most
        if not self._spent:
            return False
        each = sum(self._spent) / len(self._spent)
        last = each * (1 + (1 + _TESTED) * self._seeds)
        return sum(self._spent) + last > (self._budget or 0.0)

    def _values(self, setting: Candidate | None, number: int) -> np.ndarray:
        found = self.trials.run(setting, self.config.seed + number, lambda steps: None)
        before = sum(self._spent)
        self._spent.append(found.seconds)
        done = 1 if self._most is not None else int(before + found.seconds) - int(before)
        self._reporter.advanced(STAGE, done)
        return found.values

    def _result(self, reference: Arm[Candidate], arms: list[Arm[Candidate]], in_batch: np.ndarray) -> Tuning:
        material = self._experiment.material
        groups = material.groups(material.chosen(DEV))
        p = best_of_many(np.stack([gains(arm, reference) for arm in arms]), groups)
        tried = [self._tried(arm, reference, in_batch, float(each)) for arm, each in zip(arms, p, strict=True)]
        # A gain of few seeds is mostly luck: of those that were tried longest, the greatest.
        longest = max(each.seeds for each in tried)
        place = first_best([each.gain if each.seeds == longest else -np.inf for each in tried])
        best = tried[place]
        wins = best.gain > 0 and p[place] < LEVEL
        section = self.config.filter
        none: Arm[Candidate] = Arm(reference.setting, list(in_batch))
        return Tuning(
            student=self.config.evaluate.student,
            queries={name: int((material.sides == side).sum()) for side, name in enumerate(SIDES)},
            trials=len(self._spent),
            seconds=round(sum(self._spent), 1),
            default=replace(self._tried(reference, reference, in_batch, 1.0), p=None),
            in_batch=float(in_batch.mean()),
            in_batch_p=float(best_of_many(gains(none, reference)[None], groups)[0]),
            tried=tuple(sorted(tried, key=lambda each: (-each.seeds, -each.gain))),
            best=best,
            chosen=best if wins else None,
            confirmation=self._confirmed(reference.setting, arms[place].setting) if wins else None,
            left_out=("filter.max_reuse",) if section.max_reuse is not None else (),
        )

    def _tried(self, arm: Arm[Candidate], reference: Arm[Candidate], in_batch: np.ndarray, p: float) -> Tried:
        without: Arm[Candidate] = Arm(arm.setting, list(in_batch))
        return Tried(
            name=arm.setting.name,
            values=arm.setting.values,
            seeds=arm.seeds,
            dev=float(np.mean(arm.values)),
            gain=float(gains(arm, reference).mean()),
            uplift=float(gains(arm, without).mean()),
            p=p,
            difficulty=self.trials.difficulty(arm.setting),
        )

    def _confirmed(self, default: Candidate, chosen: Candidate) -> Confirmation:
        """The one look at test."""
        material = self._experiment.material
        groups = material.groups(material.chosen(TEST))
        self._reporter.note("the choice is made: default and chosen setting are trained anew, and tested")
        measure = partial(self._experiment.outcome, side=TEST)
        seeds = [self.config.seed + number for number in range(self._seeds)]
        values = [
            np.stack([measure(self.trials.negatives(setting), seed).values[:, MAIN] for seed in seeds])
            for setting in (default, chosen)
        ]
        found = difference(values[1], values[0], groups)
        return Confirmation(self._seeds, float(values[0].mean()), float(values[1].mean()), found)
