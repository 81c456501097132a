"""One training and one test at a time: of given negatives, with a given seed. What was done is kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from negmine.evaluation.arms import Taken, as_rows
from negmine.evaluation.material import Material
from negmine.evaluation.metrics import MAIN, METRICS, Truth
from negmine.evaluation.split import DEV, TEST
from negmine.evaluation.students import student_of
from negmine.retrieval.similarity import Blocks
from negmine.stages.base import Run
from negmine.stages.device import proposer
from negmine.store.files import replacing
from negmine.store.tables import TableWriter, to_numpy
from negmine.training.base import Advance, Model, Plan, Student, Trained

FOLDER = "evaluate"
VERSION = 1
"""Raised whenever the same run and config give another result: what was kept is then trained again."""
_LEAST_STEPS = 100
_MOST_STEPS = 2_000
_DEV_DEPTH = 10
_BLOCK = 16_384
_INFO = b"negmine"
_Looks = tuple[tuple[float, int, float], ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one training: ``values`` float64 (q, 3), the metrics of every tested query; the ``step`` (0 is
    before any) and ``learning_rate`` that dev chose, its value there, and (rate, step, dev) of all looks at dev."""

    values: np.ndarray
    step: int
    learning_rate: float
    dev: float
    looks: tuple[tuple[float, int, float], ...]


class Experiment:
    """A run, its split and its student: what is the same for all negatives that are compared.

    Meant to be used under the run's lock (``WorkDir.writing``).
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.material = Material(run)
        self.folder = run.work.root / FOLDER
        self._truths: dict[int, Truth] = {}

    @cached_property
    def student(self) -> Student:
        return student_of(self.run)

    @cached_property
    def rates(self) -> tuple[float, ...]:
        """Learning rates that every training tries."""
        return self.run.config.evaluate.learning_rates or self.student.rates

    @cached_property
    def plan(self) -> Plan:
        """How a student is trained, but for seed and rate."""
        section, rows = self.run.config.evaluate, len(self.material.train[0])
        wished = math.ceil(self.student.epochs * rows / section.batch_size)
        steps = section.steps or min(max(wished, _LEAST_STEPS), _MOST_STEPS)
        return Plan(steps, section.batch_size, 0.0, 0, min(section.checkpoints, steps), section.temperature)

    @property
    def steps(self) -> int:
        """Steps of one ``outcome``, over all rates."""
        return self.plan.steps * len(self.rates)

    def outcome(self, taken: Taken, seed: int, *, side: int = TEST, advance: Advance = lambda steps: None) -> Outcome:
        """Train on negatives, and measure on the queries of a side: read where that was done before."""
        negatives = self._negatives(taken)
        path = self._path(negatives, seed, side)
        kept = _read(path)
        if kept is not None:
            advance(self.steps)
            return kept
        found = self._trained(negatives, seed, side, advance)
        _write(path, self.material.chosen(side), found)
        return found

    def kept(self, taken: Taken, seed: int, *, side: int = TEST) -> bool:
        """Whether ``outcome`` would only read."""
        return _read(self._path(self._negatives(taken), seed, side)) is not None

    def untrained(self, *, side: int = TEST) -> np.ndarray:
        """The metrics of every query of a side before any training: float64 (q, 3)."""
        return self._measured(self.student.untrained(), side)

    def identity(self) -> dict[str, Any]:
        """All that decides an outcome beside negatives, seed and side."""
        run, section = self.run, self.run.config.evaluate
        read = ("ingest", "embed", "mine")
        keys = section.model_dump(mode="json", exclude={"arms", "seeds", "judged", "steps", "learning_rates", "model"})
        judged = run.work.digests.digest(Path(section.judged)) if section.judged is not None else None
        return {
            "version": VERSION,
            "inputs": {name: dict(run.manifest(name).outputs) for name in read},
            "pairs": run.config.pairs.model_dump(mode="json"),
            "seed": run.config.seed,
            "evaluate": keys,
            "judged": judged,
            "rates": list(self.rates),
            "steps": self.plan.steps,
            "student": self.student.identity(),
            "train": run.config.train.model_dump(mode="json") if section.student == "full" else None,
        }

    @cached_property
    def key(self) -> str:
        """``identity`` as a digest."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def _negatives(self, taken: Taken) -> np.ndarray:
        return as_rows(taken, self.material.train[0])

    def _path(self, negatives: np.ndarray, seed: int, side: int) -> Path:
        content = json.dumps([self.key, seed, side, negatives.shape]).encode() + negatives.tobytes()
        return self.folder / "trained" / f"{hashlib.sha256(content).hexdigest()[:32]}.parquet"

    def train(self, taken: Taken, seed: int, advance: Advance = lambda steps: None) -> tuple[Trained, float]:
        """Train on negatives, keeping nothing: what came out of the learning rate that dev likes best, and that one."""
        found, rate, _ = self._best(self._negatives(taken), seed, advance)
        return found, rate

    def _trained(self, negatives: np.ndarray, seed: int, side: int, advance: Advance) -> Outcome:
        best, rate, looks = self._best(negatives, seed, advance)
        return Outcome(self._measured(best.model, side), best.step, rate, best.dev, looks)

    def _best(self, negatives: np.ndarray, seed: int, advance: Advance) -> tuple[Trained, float, _Looks]:
        rows = self.material.rows(negatives)
        looks, best, rate_of_best = [], None, self.rates[0]
        for rate in self.rates:
            plan = replace(self.plan, seed=seed, learning_rate=rate)
            found = self.student.train(rows, plan, self._validate, advance)
            looks += [(rate, step, dev) for step, dev in found.curve]
            if best is None or found.dev > best.dev:
                best, rate_of_best = found, rate
        assert best is not None
        return best, rate_of_best, tuple(looks)

    @cached_property
    def _dev(self) -> tuple[np.ndarray, np.ndarray, Truth]:
        """Queries and passages that training looks at."""
        chosen = self.material.chosen(DEV)
        pool = self.material.pool(chosen, self.student.dev_passages)
        truth = self.material.truth(chosen, pool)
        return chosen, np.arange(self.material.passages) if pool is None else pool, truth

    def _validate(self, model: Model) -> float:
        """nDCG@10 on dev."""
        chosen, pool, truth = self._dev
        with self._embedded(model, pool) as blocks:
            ranking = truth.rank(model.queries(chosen), blocks, _DEV_DEPTH, proposer(self.run.config))
        return float(truth.scores(ranking)[:, MAIN].mean())

    def _measured(self, model: Model, side: int) -> np.ndarray:
        chosen = self.material.chosen(side)
        if side not in self._truths:
            self._truths[side] = self.material.truth(chosen)
        truth = self._truths[side]
        with self._embedded(model, np.arange(self.material.passages)) as blocks:
            ranking = truth.rank(model.queries(chosen), blocks, propose=proposer(self.run.config))
        return truth.scores(ranking)

    @contextlib.contextmanager
    def _embedded(self, model: Model, numbers: np.ndarray) -> Iterator[Blocks]:
        """Vectors of passages, embedded once; on disk where they would take too much memory."""
        first = model.passages(numbers[:_BLOCK])
        shape = (len(numbers), first.shape[1])
        with contextlib.ExitStack() as stack:
            if 4 * shape[0] * shape[1] <= self.run.config.memory_limit / 4:
                matrix = np.empty(shape, np.float32)
            else:
                self.folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(tempfile.TemporaryFile(dir=self.folder))
                matrix = np.memmap(file, np.float32, "w+", shape=shape)
            matrix[: len(first)] = first
            for low in range(_BLOCK, len(numbers), _BLOCK):
                matrix[low : low + _BLOCK] = model.passages(numbers[low : low + _BLOCK])

            def blocks() -> Iterator[tuple[int, np.ndarray]]:
                for low in range(0, len(matrix), _BLOCK):
                    yield low, np.asarray(matrix[low : low + _BLOCK])

            yield blocks


def _schema(info: bytes) -> pa.Schema:
    columns = [pa.field("query", pa.int64(), nullable=False)]
    columns += [pa.field(name, pa.float64(), nullable=False) for name in METRICS]
    return pa.schema(columns, {_INFO: info})


def _write(path: Path, chosen: np.ndarray, found: Outcome) -> None:
    info = {"step": found.step, "learning_rate": found.learning_rate, "dev": found.dev, "looks": found.looks}
    columns = dict(zip(METRICS, found.values.T, strict=True))
    with (
        replacing(path) as temporary,
        TableWriter(temporary, _schema(json.dumps(info, sort_keys=True).encode())) as file,
    ):
        file.write({"query": chosen, **columns})


def _read(path: Path) -> Outcome | None:
    """None where there is nothing, or a file that cannot be read: it is made again."""
    try:
        table = pq.read_table(path)
        info = json.loads(table.schema.metadata[_INFO])
        values = np.stack([to_numpy(table[name]) for name in METRICS], axis=1)
        looks = tuple((rate, step, dev) for rate, step, dev in info["looks"])
        return Outcome(values, info["step"], info["learning_rate"], info["dev"], looks)
    except (OSError, ValueError, KeyError, TypeError):
        return None
