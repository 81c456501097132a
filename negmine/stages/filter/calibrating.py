"""What the rules take from the run as a whole: the risk model, its limit, the calibrated margin, the leak."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from negmine.arrays import positions
from negmine.config import Config
from negmine.errors import ConfigError
from negmine.selection.bootstrap import bootstrap_ratio
from negmine.selection.calibration import (
    calibration_half,
    calibration_needed,
    candidate_limits,
    greatest_limit,
    leak_margin,
    least_limit,
)
from negmine.selection.candidates import Candidates
from negmine.selection.hidden import Labelled
from negmine.selection.risk import FIT_DEPTH, RiskModel, features, fit, shipped_model
from negmine.selection.verdicts import KEPT, Margins, Rules, decide, survivors, verdicts
from negmine.stages.base import Run
from negmine.stages.filter.sampling import Samples

SPLITS = 5
_FILLED = 0.95
"""Share of the slots that ``as_hard_as`` leaves filled: a margin may starve queries with many positives."""
_ENOUGH_QUERIES, _ENOUGH_HIDDEN = 200, 200
"""Queries with several positives, and hidden ones among the candidates, that a model is fitted on."""
_NAMED_OTHERWISE = {"temperature": "sampling_temperature", "offset": "sampling_offset"}
_CALIBRATED = ("seed", "leak_margin", "risk_limit", "near_cosine", "of_others")


@dataclass(frozen=True)
class Calibration:
    """Numbers that the config leaves open, as ``filter/calibration.json`` holds them.

    ``risk_limit`` and ``leak_margin`` are None when the config asks for none. ``fitted_on`` counts the
    queries that the model was fitted on, 0 for the shipped one; ``calibrated_on`` those of the margin.
    ``leak`` says what became of hidden positives, None when no query has two positives. ``leak_margin`` is that of the
    scorer that decides, ``more_leak_margins`` those of the others.
    """

    model: RiskModel
    risk_limit: float | None = None
    leak_margin: float | None = None
    fitted_on: int = 0
    calibrated_on: int = 0
    leak: dict[str, Any] | None = field(default=None)
    more_leak_margins: tuple[float, ...] = ()

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        return found if self.more_leak_margins else {k: v for k, v in found.items() if k != "more_leak_margins"}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Calibration:
        model = RiskModel(tuple(data["model"]["weights"]), data["model"]["intercept"])
        return cls(**{**data, "model": model, "more_leak_margins": tuple(data.get("more_leak_margins", ()))})


def rules_of(config: Config, calibration: Calibration | None = None) -> Rules:
    """The config's filter section as ``Rules``, with what calibration found."""
    section = config.filter
    names = [name for name in Rules.__dataclass_fields__ if name not in _CALIBRATED]
    values = {name: getattr(section, _NAMED_OTHERWISE.get(name, name)) for name in names}
    near = section.near_duplicates
    leaks: tuple[float | None, ...] = calibration.more_leak_margins if calibration is not None else ()
    leaks = leaks or (None,) * (len(config.scorers) - 1)
    return Rules(
        **values,
        of_others=tuple(Margins(section.relative_margin, leak) for leak in leaks),
        near_cosine=near.cosine if near is not None else None,
        seed=config.seed,
        leak_margin=calibration.leak_margin if calibration is not None else None,
        risk_limit=calibration.risk_limit if calibration is not None else None,
    )


def risk_of(model: RiskModel, candidates: Candidates) -> np.ndarray:
    """P(relevant) of every candidate: float64 (n,)."""
    return model.probability(features(candidates))


def calibrate(run: Run) -> Calibration:
    """Fit and choose what the config leaves to the run. Raises ConfigError when the labels do not suffice."""
    return calibrated(run.config, Samples(run))


def calibrated(config: Config, samples: Samples) -> Calibration:
    """The same from samples that several configs may share, which differ in the rules' numbers only."""
    section, labelled = config.filter, samples.labelled
    found = Calibration(shipped_model())
    if section.risk is not None and section.risk.weights == "auto" and labelled is not None:
        found = samples.once("fitted", lambda: _fitted(labelled, section.reference)) or found
    if section.leak_rate is not None:
        found = _with_margin(section.leak_rate, samples, found)
    if section.risk is not None:
        found = replace(found, risk_limit=risk_limit(config, samples, rules_of(config, found), found.model))
    return found if labelled is None else replace(found, leak=_leak(config, samples, labelled, found))


def _fitted(labelled: Labelled, how: str) -> Calibration | None:
    """A model of the run's own labels, None when there are too few.

    One positive of each query is shown, the others are what is to be told from the rest.
    """
    half = labelled.calibrating
    changed, is_hidden = labelled.hide(labelled.draw(0, keep_one=True), how)
    rows = np.flatnonzero(changed.eligible & half[changed.query])
    rows = rows[positions(changed.query[rows]) < FIT_DEPTH]
    relevant = is_hidden[rows]
    if half.sum() < _ENOUGH_QUERIES or relevant.sum() < _ENOUGH_HIDDEN or relevant.all():
        return None
    model = fit(features(changed)[rows], relevant, np.zeros(len(rows), np.int64))
    return Calibration(model, fitted_on=int(half.sum()))


def _with_margin(rate: float, samples: Samples, found: Calibration) -> Calibration:
    key, of_scorers = samples.hidden_scores
    half = calibration_half(key)
    needed = calibration_needed(rate)
    if half.sum() < needed:
        raise too_few_labelled(rate, len(key))
    margin, *more = (leak_margin(reference[half], score[half], rate) for reference, score in of_scorers)
    return replace(found, leak_margin=margin, more_leak_margins=tuple(more), calibrated_on=int(half.sum()))


def too_few_labelled(rate: float, several: int) -> ConfigError:
    """The error for a leak rate that needs more queries with several positives than there are."""
    needed = 2 * calibration_needed(rate) - 1
    return ConfigError(
        f"a leak rate of {rate:g} is calibrated and checked on queries with at least two positives: it needs"
        f" {needed} of them and there are {several}",
        where="filter.leak_rate",
        hint=f"Label {needed - several} more, choose a higher rate, or set filter.leak_rate: null.",
    )


def risk_limit(config: Config, samples: Samples, rules: Rules, model: RiskModel) -> float:
    """The strictest of the limits that ``filter.risk`` sets."""
    section = config.filter.risk
    assert section is not None
    limits = [1.0 if section.max is None else section.max]
    if section.as_hard_as is not None or section.target_fnr is not None:
        sample = samples.candidates
        risk = samples.once(("risk", model), lambda: risk_of(model, sample))
        values = samples.once(("limits", model), lambda: candidate_limits(risk))

        def taken(limit: float) -> np.ndarray:
            return verdicts(replace(rules, risk_limit=limit), sample, risk) == KEPT

        if section.as_hard_as is not None:
            # Of the score that decides: those of others may have no scale.
            margin = replace(rules, risk_limit=None, relative_margin=section.as_hard_as)
            goal = _mean(sample.score[verdicts(margin, sample) == KEPT])
            slots = _FILLED * np.count_nonzero(taken(math.inf))

            def enough(limit: float) -> bool:
                chosen = taken(limit)
                return bool(np.count_nonzero(chosen) >= slots) and _mean(sample.score[chosen]) >= goal

            limits.append(least_limit(values, enough))
        if section.target_fnr is not None:
            most = section.target_fnr
            limits.append(greatest_limit(values, lambda limit: _mean(risk[taken(limit)]) <= most))
    return max(min(limits), 0.0)


def _mean(values: np.ndarray) -> float:
    """The mean, minus infinity for nothing: nothing is as easy and as safe as can be."""
    return math.fsum(values) / len(values) if len(values) else -math.inf


def _leak(config: Config, samples: Samples, labelled: Labelled, found: Calibration) -> dict[str, Any]:
    """What becomes of hidden positives: of each query one is hidden, in ``SPLITS`` ways.

    Queries that the model was fitted on or the margin calibrated on are not measured on.
    """
    candidates = labelled.candidates
    measured = np.ones(candidates.queries, bool)
    if found.fitted_on or found.calibrated_on:
        measured = ~labelled.calibrating
    rules = rules_of(config, found)
    per_query = np.zeros((candidates.queries, 4))
    for split in range(SPLITS):
        changed, is_hidden, risk = samples.once(
            ("split", split, found.model), partial(_split, config, labelled, found.model, split)
        )
        left = survivors(rules, changed, risk)
        kept = decide(rules, changed.query, left) == KEPT
        rows = np.flatnonzero(is_hidden)
        query = changed.query[rows]
        counted = (np.ones(len(rows)), left.reason[rows] < 0, kept[rows])
        for column, weights in enumerate(counted, 1):
            per_query[:, column] += np.bincount(query, weights=weights, minlength=candidates.queries)
        per_query[:, 0] += 1
    per_query = per_query[measured]
    hidden_count, exposed, survived, chosen = (int(total) for total in per_query.sum(axis=0))
    low, high = bootstrap_ratio(per_query[:, 3], per_query[:, 1])
    return {
        "queries": int(measured.sum()),
        "splits": SPLITS,
        "hidden": hidden_count,
        "exposed": exposed,
        "survived": survived,
        "chosen": chosen,
        "rate": chosen / exposed if exposed else None,
        "interval": [low, high] if exposed else None,
    }


def _split(
    config: Config, labelled: Labelled, model: RiskModel, split: int
) -> tuple[Candidates, np.ndarray, np.ndarray]:
    """Candidates with a positive of each query hidden, which are the hidden ones (n,), and their risk (n,)."""
    changed, is_hidden = labelled.hide(labelled.draw(split + 1, keep_one=False), config.filter.reference)
    return changed, is_hidden, risk_of(model, changed)
