"""What the filter would do at each point of a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from negmine.config import Config
from negmine.errors import UsageError
from negmine.remote.steady import steady
from negmine.selection.reuse import over_claimed
from negmine.selection.verdicts import KEPT, Rules, Survivors, decide, reason_names, survivors
from negmine.stages import STAGES
from negmine.stages.base import Run
from negmine.stages.filter.calibrating import Calibration, calibrated, rules_of
from negmine.stages.filter.fill import random_wanted
from negmine.store.manifest import Manifest
from negmine.store.workdir import WorkDir
from negmine.sweep.grid import Axis, Setting, settings
from negmine.sweep.sample import MOST_QUERIES, Sample

_STAGES = ("mine", "index", "embed", "ingest")
_REUSE = "filter.max_reuse"


@dataclass(frozen=True)
class Point:
    """What one setting would do; names and meaning are those of ``filter/report.json``.

    ``score``, ``margin`` (reference - score) and ``risk`` are means over the mined negatives, None when
    there are none; ``risk`` is predicted by the model also where ``filter.risk`` is null. ``yield_`` is the
    share of num_negatives times queries that is filled. ``leak`` is None when no query has several positives.
    ``stops`` says that ``on_shortage: error`` would end the filter.
    """

    values: Mapping[str, float | None]
    is_current: bool
    num_negatives: int
    negatives: int
    random_negatives: int
    yield_: float
    queries_with_all: int
    queries_without_any: int
    stops: bool
    score: float | None
    margin: float | None
    risk: float | None
    risk_limit: float | None
    leak_margin: float | None
    leak: Mapping[str, Any] | None
    reasons: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """The same laid out as ``filter/report.json`` is."""
        found = asdict(self)
        found["yield"] = found.pop("yield_")
        found["score"], found["margin"] = {"mean": self.score}, {"mean": self.margin}
        found["risk"] = {"limit": found.pop("risk_limit"), "mean": self.risk}
        return found


@dataclass(frozen=True)
class Sweep:
    """The points of a grid and the config's own, over ``queries`` of the ``queries_of_run``.

    ``left_out`` names the keys of the config that were not applied.
    """

    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    current: Point
    queries: int
    queries_of_run: int
    candidates: int
    left_out: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "over": [asdict(axis) for axis in self.axes],
            "queries": self.queries,
            "queries_of_run": self.queries_of_run,
            "candidates": self.candidates,
            "left_out": list(self.left_out),
            "current": self.current.as_json(),
            "points": [point.as_json() for point in self.points],
        }


def sweep(config: Config, over: Sequence[Axis]) -> Sweep:
    """Evaluate a grid on the stored candidates of a run, whose ``mine`` has finished.

    Nothing is mined, filtered or written. Random negatives are counted and not drawn. Raises ConfigError for
    a value that is not allowed or cannot be calibrated, before any work; ArtifactError when mine has not
    finished, an earlier stage was made again since, or a file is damaged.
    """
    current, grid = settings(config, over)

    def read(work: WorkDir, manifests: Mapping[str, Manifest]) -> Sweep:
        for setting in (current, *grid):
            STAGES["filter"].check(setting.config, manifests["ingest"].counts)
        return _evaluated(Run(config, work), tuple(over), current, grid)

    made_from = [(name, *read) for name in ("mine", "index") for read in STAGES[name].reads.items()]
    if config.rerank is None:
        return steady(config, _STAGES, made_from, read)
    made_from += [("rerank", *read) for read in STAGES["rerank"].reads.items()]
    return steady(config, ("rerank", *_STAGES), made_from, read)


def _evaluated(run: Run, over: tuple[Axis, ...], current: Setting, grid: Sequence[Setting]) -> Sweep:
    sample = Sample(run)
    swept = any(axis.key == _REUSE for axis in over)
    if swept and not sample.whole:
        raise UsageError(
            f"{_REUSE} is about all queries at once: with {sample.queries_of_run:,} queries it cannot be swept",
            hint=f"Try its values with: negmine filter --set {_REUSE}=N (a sweep looks at {MOST_QUERIES:,} at most).",
        )
    points = [_point(sample, setting) for setting in grid]
    own = next((point for point in points if point.is_current), None) or _point(sample, current)
    return Sweep(
        axes=over,
        points=tuple(points),
        current=own,
        queries=sample.candidates.queries,
        queries_of_run=sample.queries_of_run,
        candidates=len(sample.candidates),
        left_out=(_REUSE,) if run.config.filter.max_reuse is not None and not sample.whole else (),
    )


@dataclass(frozen=True)
class Decided:
    """What a config's filter makes of a sample: ``reason`` (n,), ``rows`` of those it keeps, ``risk`` (n,)."""

    rules: Rules
    found: Calibration
    reason: np.ndarray
    rows: np.ndarray
    risk: np.ndarray


def decided(sample: Sample, config: Config) -> Decided:
    """Decide about the candidates of a sample. ``max_reuse`` is left out where not all queries are looked at."""
    candidates, section = sample.candidates, config.filter
    found = calibrated(config, sample.calibration)
    rules, risk = rules_of(config, found), sample.risk(found.model)
    if not sample.whole:
        rules = replace(rules, max_reuse=None)
    near = section.near_duplicates
    rule = sample.near_duplicates(near.jaccard) if near is not None and near.jaccard is not None else None
    left = survivors(rules, candidates, risk, rule)
    reason = decide(rules, candidates.query, left, _rejected(sample, rules, left))
    return Decided(rules, found, reason, np.flatnonzero(reason == KEPT), risk)


def _point(sample: Sample, setting: Setting) -> Point:
    section, candidates = setting.config.filter, sample.candidates
    made = decided(sample, setting.config)
    rules, found, reason, rows, risk = made.rules, made.found, made.reason, made.rows, made.risk
    mined = np.bincount(candidates.query[rows], minlength=candidates.queries)
    wanted = random_wanted(rules, mined)
    random = np.minimum(wanted, sample.left_to_draw) if wanted.any() else wanted
    kept, names = mined + random, reason_names(section.exclude_same)
    reasons = dict(zip(names, np.bincount(reason, minlength=len(names)).tolist(), strict=True))
    reasons["kept"] += int(random.sum())
    score = candidates.score[rows]
    return Point(
        values=setting.values,
        is_current=setting.is_current,
        num_negatives=rules.num_negatives,
        negatives=int(kept.sum()),
        random_negatives=int(random.sum()),
        yield_=float(np.minimum(kept, rules.num_negatives).sum() / (len(kept) * rules.num_negatives)),
        queries_with_all=int((kept >= rules.num_negatives).sum()),
        queries_without_any=int((kept == 0).sum()),
        stops=rules.on_shortage == "error" and bool((mined < rules.mined_negatives).any()),
        score=_mean(score),
        margin=_mean(candidates.reference[candidates.query[rows]] - score),
        risk=_mean(risk[rows]),
        risk_limit=found.risk_limit,
        leak_margin=found.leak_margin,
        leak=found.leak,
        reasons=reasons,
    )


def _rejected(sample: Sample, rules: Rules, left: Survivors) -> np.ndarray | None:
    """Survivors that ``max_reuse`` forbids (n,); None where it does not apply."""
    if rules.max_reuse is None:
        return None
    of, rows = sample.candidates, np.flatnonzero(left.reason < 0)
    rejected = np.zeros(len(of), bool)
    rejected[rows] = over_claimed(
        of.query[rows],
        of.passage[rows],
        of.score[rows],
        left.place[rows],
        rules.mined_negatives,
        rules.max_reuse,
        sample.passages,
    )
    return rejected


def _mean(values: np.ndarray) -> float | None:
    """The mean, summed exactly: the same whatever the order."""
    return math.fsum(values) / len(values) if len(values) else None
