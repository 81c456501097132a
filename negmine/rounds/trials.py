"""One trial of a tuning: a setting and a seed, trained on the training queries and measured on dev."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from negmine.evaluation import DEV, TRAIN, Experiment, Taken
from negmine.evaluation.arms import random_negatives
from negmine.evaluation.metrics import MAIN
from negmine.rounds.space import Candidate
from negmine.stages.filter.fill import random_wanted
from negmine.store.files import read_json, write_json
from negmine.sweep.evaluating import decided
from negmine.sweep.sample import Sample
from negmine.training.base import Advance

FOLDER = "tune"


@dataclass(frozen=True)
class Difficulty:
    """The mined negatives that a setting gives to the training queries: how many a query has of those wanted, means
    of the margin (reference - score) and of the risk, which the model of the run predicts."""

    negatives: float
    filled: float
    margin: float | None
    risk: float | None


@dataclass(frozen=True)
class Trial:
    """nDCG@10 of every dev query (q,), and the seconds that it took when it was done."""

    values: np.ndarray
    seconds: float


class Trials:
    """What settings do to the student of an experiment, kept in ``<work_dir>/tune``.

    Nothing here sees a label of a test query: limits are calibrated on training queries, of which the negatives are
    taken, and dev measures.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.material = experiment.material
        self.folder = experiment.run.work.root / FOLDER
        self._train = self.material.sides == TRAIN
        self._sample: Sample | None = None
        self._taken: dict[str, Taken] = {}

    @property
    def sample(self) -> Sample:
        """The candidates of the training queries."""
        if self._sample is None:
            self._sample = Sample(self.experiment.run, self._train)
        return self._sample

    def negatives(self, setting: Candidate | None) -> Taken:
        """What a setting trains on; None is no hard negatives. Raises ConfigError where it cannot be applied."""
        if setting is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        key = _digest(setting)
        if key not in self._taken:
            made, of = decided(self.sample, setting.config), self.sample.candidates
            query, passage = self.sample.numbers[of.query[made.rows]], of.passage[made.rows]
            mined = np.bincount(query, minlength=self.material.queries)
            wanted = np.where(self._train, random_wanted(made.rules, mined), 0)
            drawn = random_negatives(self.material, wanted)
            every = np.concatenate([query, drawn[0]]), np.concatenate([passage, drawn[1]])
            order = np.argsort(every[0], kind="stable")
            self._taken[key] = every[0][order], every[1][order]
        return self._taken[key]

    def difficulty(self, setting: Candidate) -> Difficulty:
        """How hard and how risky the negatives of a setting are."""
        made, of = decided(self.sample, setting.config), self.sample.candidates
        margin = of.reference[of.query[made.rows]] - of.score[made.rows]
        each = np.bincount(of.query[made.rows], minlength=of.queries)
        wanted = made.rules.mined_negatives
        return Difficulty(
            negatives=float(each.mean()),
            filled=float(np.minimum(each, wanted).mean() / wanted) if wanted else 1.0,
            margin=float(margin.mean()) if len(margin) else None,
            risk=float(made.risk[made.rows].mean()) if len(margin) else None,
        )

    def run(self, setting: Candidate | None, seed: int, advance: Advance) -> Trial:
        """Do a trial, or read what it came to."""
        began = time.monotonic()
        taken = self.negatives(setting)
        known = self.experiment.kept(taken, seed, side=DEV)
        found = self.experiment.outcome(taken, seed, side=DEV, advance=advance)
        path = self._path(setting, seed)
        record = _read(path) if known else None
        if record is None:
            record = {"seconds": round(time.monotonic() - began, 3), "dev": float(found.values[:, MAIN].mean())}
            record |= {"setting": None if setting is None else setting.name, "seed": seed}
            write_json(path, record)
        return Trial(found.values[:, MAIN], float(record["seconds"]))

    def _path(self, setting: Candidate | None, seed: int) -> Path:
        name = hashlib.sha256(json.dumps([self.experiment.key, _digest(setting), seed]).encode()).hexdigest()[:24]
        return self.folder / "trials" / f"{name}.json"


def _digest(setting: Candidate | None) -> str:
    return "" if setting is None else setting.config.filter.model_dump_json()


def _read(path: Path) -> dict[str, Any] | None:
    """A record, None where there is none that can be read."""
    try:
        found: dict[str, Any] = read_json(path)
    except (OSError, ValueError):
        return None
    return found
