"""Audits of a run whose true relevance is known, repeated: do the intervals hold what they say?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from negmine.arrays import find_pairs
from negmine.config import Config
from negmine.evaluation.judged import judged_pairs
from negmine.quality.design import allocation, draw, draw_keys, strata
from negmine.quality.estimating import Rate, stratified_rate
from negmine.quality.population import Population, population
from negmine.remote.steady import steady
from negmine.stages.base import Run
from negmine.stages.final import final_reads, final_stage
from negmine.store.manifest import Manifest
from negmine.store.workdir import WorkDir


@dataclass(frozen=True)
class Design:
    """What became of the audits of one design: the share whose interval held the truth, the mean error of the
    rate, the mean width of the interval."""

    coverage: float
    bias: float
    width: float


@dataclass(frozen=True)
class Simulation:
    """Repeated audits of ``judgements`` each, beside ones with a simple random sample of as many."""

    population: int
    relevant: int
    judgements: int
    repeats: int
    stratified: Design
    simple: Design

    @property
    def rate(self) -> float:
        """The true rate of false negatives."""
        return self.relevant / self.population

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"rate": self.rate, **asdict(self)}


def simulate(config: Config, qrels: Path, judgements: int, repeats: int) -> Simulation:
    """Audit a finished run ``repeats`` times, with other seeds, on the relevance that ``qrels`` tells.

    A negative is relevant when it has a grade of ``data.min_grade`` or more; without a grade it is not.
    Raises InputError when the qrels cannot be read or are about other queries; ArtifactError when filter (or judge) has
    not finished, or a file is damaged.
    """

    def read(work: WorkDir, manifests: Mapping[str, Manifest]) -> tuple[Population, np.ndarray]:
        of = population(config, work, manifests, final_stage(config))
        return of, _among(Run(config, work), of, qrels)

    of, relevant = steady(config, *final_reads(config), read)
    return repeated(of, relevant, judgements, repeats, config.seed)


def repeated(of: Population, relevant: np.ndarray, judgements: int, repeats: int, seed: int) -> Simulation:
    """Audits with the seeds from ``seed`` on, where ``relevant`` (n,) is the truth."""
    every = np.zeros(len(of), np.int64)
    designs = [
        _simulated(of, relevant, stratum, judgements, repeats, seed)
        for stratum in (strata(of.risk, of.retriever, judgements), every)
    ]
    return Simulation(len(of), int(relevant.sum()), min(judgements, len(of)), repeats, *designs)


def _simulated(
    of: Population, relevant: np.ndarray, stratum: np.ndarray, judgements: int, repeats: int, seed: int
) -> Design:
    sizes = np.bincount(stratum)
    judged = allocation(sizes, np.bincount(stratum, weights=of.risk) / sizes, judgements)
    found: list[Rate] = []
    for number in range(repeats):
        rows = draw(stratum, judged, draw_keys(seed + number, of.query_key, of.passage_key))
        hits = np.bincount(stratum[rows], weights=relevant[rows], minlength=len(sizes))
        found.append(stratified_rate(sizes, judged, hits))
    rate, low, high = np.array([[each.rate, each.low, each.high] for each in found], np.float64).T
    truth = relevant.mean()
    return Design(
        coverage=float(((low <= truth) & (truth <= high)).mean()),
        bias=float(rate.mean() - truth),
        width=float((high - low).mean()),
    )


def _among(run: Run, of: Population, path: Path) -> np.ndarray:
    """Which negatives (n,) are relevant pairs; a chunk is when its document is."""
    judged = judged_pairs(run, path)
    known = np.unique(np.stack([judged.query, judged.passage]), axis=1)
    passages = run.manifest("ingest").counts["passages"]
    return find_pairs(of.query, of.passage, known[0], known[1], passages) >= 0
