"""What a pass over all verdicts of a run counts, and the scores of the kinds of passages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc

from negmine.report.snapshot import Snapshot
from negmine.stages.account import every_score, scores_by_kind
from negmine.stages.final import kept_rows
from negmine.store.tables import to_numpy
from negmine.writers.histogram import KINDS, Histogram, count_scores


@dataclass(frozen=True)
class Tally:
    """Counts over all verdicts: negatives of each query ``kept`` (q,), the greatest predicted ``risk`` among them
    (q,), -inf where none is known, and how many queries each passage serves as a negative, ``used`` (p,)."""

    kept: np.ndarray
    risk: np.ndarray
    used: np.ndarray


def tally(snapshot: Snapshot) -> Tally:
    """Look at every verdict once. Raises ArtifactError when a file is damaged."""
    counts = snapshot.manifests["ingest"].counts
    kept = np.zeros(counts["distinct_queries"], np.int64)
    risk = np.full(len(kept), -np.inf)
    used = np.zeros(counts["passages"], np.int64)
    for path in snapshot.run.files(snapshot.final, "part-"):
        for rows in kept_rows(path, ["query", "passage", "risk"]):
            query = to_numpy(rows["query"])
            kept += np.bincount(query, minlength=len(kept))
            used += np.bincount(to_numpy(rows["passage"]), minlength=len(used))
            known = to_numpy(pc.is_valid(rows["risk"]))
            np.maximum.at(risk, query[known], to_numpy(pc.drop_null(rows["risk"])))
    return Tally(kept, risk, used)


@dataclass
class Range:
    """How many scores there are, the least, the mean and the greatest."""

    count: int = 0
    least: float = float("inf")
    greatest: float = float("-inf")
    total: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.count

    def add(self, scores: np.ndarray) -> None:
        if len(scores):
            self.count += len(scores)
            self.least, self.greatest = min(self.least, float(scores.min())), max(self.greatest, float(scores.max()))
            self.total += float(scores.sum())


@dataclass(frozen=True)
class Scores:
    """The scores of positives, negatives and dropped candidates: counted in bins, and their ranges by kind."""

    histogram: Histogram
    ranges: dict[str, Range] = field(default_factory=dict)


def scores(snapshot: Snapshot) -> Scores:
    """Read all scores of a run, twice. Raises ArtifactError when a file is damaged."""
    found = {kind: Range() for kind in KINDS}
    run, scorer = snapshot.run, snapshot.scorers[0]

    def by_kind() -> Iterator[tuple[str, np.ndarray]]:
        for kind, values in scores_by_kind(run, scorer):
            found[kind].add(values)
            yield kind, values

    return Scores(count_scores(every_score(run, scorer), by_kind()), found)


def doubling(counts: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Positive ``counts`` (n,) in groups 1, 2, 3-4, 5-8 and so on: (from, to, how many, their sum)."""
    groups, low, high = [], 1, 1
    while low <= counts.max(initial=0):
        here = counts[(counts >= low) & (counts <= high)]
        groups.append((low, high, len(here), int(here.sum())))
        low, high = high + 1, high * 2
    return groups
