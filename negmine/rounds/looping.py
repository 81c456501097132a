"""Rounds of mining, training, measuring and mining again with what was trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from negmine.config import Config
from negmine.config.changing import with_values
from negmine.errors import UsageError
from negmine.evaluation.metrics import MAIN, METRICS, measures_library
from negmine.evaluation.significance import Difference, difference
from negmine.evaluation.split import DEV, TEST
from negmine.pipeline import Reporter, run
from negmine.pipeline.events import Silent
from negmine.remote.opening import open_run
from negmine.remote.stores import is_url
from negmine.rounds.refreshing import prepare, refresh
from negmine.rounds.sibling import Sibling
from negmine.rounds.training import MODEL, Checkpoint, check_trainable, experiment_on_vectors, measured, train
from negmine.rounds.writing import plain_text, write_file
from negmine.stages.final import final_stage
from negmine.store.files import read_json, write_json
from negmine.store.lock import writing

FOLDER = "loop"
RESULT = f"{FOLDER}/result.json"
CONFIG = "negmine.yaml"


@dataclass(frozen=True)
class Mined:
    """The negatives of a round's run: how many, the share of slots filled, means of margin and risk, and how far they
    differ from those of the round before (1 - mean Jaccard index)."""

    negatives: int
    filled: float
    margin: float | None
    risk: float | None
    churn: float | None


@dataclass(frozen=True)
class Round:
    """Round 0 is the model that the config names. ``dev`` are the metrics of the round's model; ``mined`` is what it
    mined, None where dev did not improve; ``trained`` how it came to be."""

    number: int
    model: str
    work_dir: str
    dev: Mapping[str, float]
    improved: bool
    trained: Checkpoint | None
    mined: Mined | None


@dataclass(frozen=True)
class Looped:
    """All rounds; ``best`` is the number of the one that dev likes best. ``test`` has the metrics of the first model
    and of the best on the test queries, which were looked at once; the difference is that of nDCG@10, None where the
    first is the best."""

    rounds: tuple[Round, ...]
    best: int
    queries: Mapping[str, int]
    test: Mapping[str, Mapping[str, float]]
    difference: Difference | None
    stopped: str

    @property
    def checkpoint(self) -> str:
        """The model that dev likes best."""
        return self.rounds[self.best].model

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {**asdict(self), "checkpoint": self.checkpoint}


def loop(config: Config, rounds: int, *, start: str = "last", reporter: Reporter | None = None) -> Looped:
    """Mine, train, measure dev, and mine again with the new model, up to ``rounds`` times or until dev no longer
    improves.

    ``start``: training goes on from the ``last`` model, or begins from the ``first`` one every time. Everything is kept
    in ``<work_dir>/loop``: ``round-N/model`` is the checkpoint, ``round-N/run`` what it mined, with a config in
    ``round-N/negmine.yaml``. A killed loop goes on with the part of the round that it was in. Test queries are never
    trained on; they are measured once, at the end.

    Raises ConfigError where the vectors come from no model, UsageError for a run at a URL, and what ``run`` and
    ``evaluate`` raise.
    """
    check_trainable(config)
    if is_url(config.work_dir):
        raise UsageError(
            "rounds are kept in the work_dir, and this one is a URL", hint="Use a folder: --set work_dir=FOLDER."
        )
    measures_library()
    folder = open_run(config)[1].root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with writing(folder):
        return _Loop(config, folder, start, reporter or Silent()).run(rounds)


class _Loop:
    def __init__(self, config: Config, folder: Path, start: str, reporter: Reporter) -> None:
        self.config, self.folder, self.start, self.reporter = config, folder, start, reporter

    def run(self, most: int) -> Looped:
        run(self.config, reporter=self.reporter)
        rounds = [self._first()]
        config, stopped = self.config, f"all {most} rounds were done"
        configs = [config]
        for number in range(1, most + 1):
            made, config = self._round(number, config, rounds[-1])
            rounds.append(made)
            configs.append(config)
            if not made.improved:
                stopped = f"dev did not improve in round {number}"
                break
        best = max(range(len(rounds)), key=lambda number: (rounds[number].dev[METRICS[MAIN]], -number))
        found = self._tested(rounds, best, configs, stopped)
        write_json(self.folder.parent / RESULT, found.as_json())
        return found

    def _first(self) -> Round:
        return Round(
            number=0,
            model=str(self.config.embed.model),
            work_dir=self.config.work_dir,
            dev=_as_metrics(self._measure(self.config, DEV, 0)),
            improved=True,
            trained=None,
            mined=_mined(self.config, None),
        )

    def _round(self, number: int, before: Config, last: Round) -> tuple[Round, Config]:
        folder = self.folder / f"round-{number}"
        folder.mkdir(exist_ok=True)
        self.reporter.note(f"round {number}: training on the negatives in {before.work_dir}")
        start = None if self.start == "last" else str(self.config.embed.model)
        trained = train(before, folder, self.config.seed + number, self.reporter, start)
        model = str(folder / MODEL)
        if trained.step == 0 and self.start == "last":  # the very model of the round before
            return Round(number, last.model, before.work_dir, last.dev, False, trained, None), before
        config = _with_model(before, model, str(folder / "run"))
        write_file(folder / CONFIG, plain_text(config, f"Written by negmine loop, round {number}"), config)
        sibling = Sibling(before, config, f"round-{number}")
        prepare(sibling, reporter=self.reporter)
        run(config, until="index", reporter=self.reporter)
        dev = _as_metrics(self._measure(config, DEV, number))
        improved = dev[METRICS[MAIN]] > last.dev[METRICS[MAIN]]
        if not improved:
            return Round(number, model, config.work_dir, dev, False, trained, None), config
        refreshed = refresh(sibling, reporter=self.reporter)
        mined = _mined(config, refreshed.comparison.churn.churn)
        return Round(number, model, config.work_dir, dev, True, trained, mined), config

    def _tested(self, rounds: list[Round], best: int, configs: list[Config], stopped: str) -> Looped:
        """The one look at test."""
        experiment = experiment_on_vectors(self.config)
        material = experiment.material
        groups = material.groups(material.chosen(TEST))
        values = {number: self._measure(configs[number], TEST, number) for number in dict.fromkeys([0, best])}
        found = None
        if best:
            found = difference(values[best][None, :, MAIN], values[0][None, :, MAIN], groups)
        return Looped(
            rounds=tuple(rounds),
            best=best,
            queries={name: len(material.chosen(side)) for name, side in (("dev", DEV), ("test", TEST))},
            test={name: _as_metrics(values[number]) for name, number in (("first", 0), ("best", best))},
            difference=found,
            stopped=stopped,
        )

    def _measure(self, config: Config, side: int, number: int) -> np.ndarray:
        """``measured``, kept by what decides it."""
        experiment = experiment_on_vectors(config)
        inputs = {name: dict(experiment.run.manifest(name).outputs) for name in ("ingest", "embed")}
        section = config.evaluate
        decided = [inputs, side, section.dev, section.test, str(section.judged), config.seed]
        key = hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()
        path = self.folder / "measured" / f"round-{number}-{'dev' if side == DEV else 'test'}.json"
        return np.array(_kept(path, key, lambda: measured(config, side).tolist()))


def _kept(path: Path, key: str, build: Callable[[], Any]) -> Any:
    """The value of a file that was made from the same, else one that is built and kept."""
    try:
        record = read_json(path)
        if record["key"] == key:
            return record["value"]
    except Exception:
        pass
    value = build()
    write_json(path, {"key": key, "value": value})
    return value


def _with_model(config: Config, model: str, work_dir: str) -> Config:
    values: dict[str, Any] = {"embed.model": model, "work_dir": work_dir}
    values |= {"embed.revision": None} if config.embed.revision is not None else {}
    values |= {"publish": None} if config.publish is not None else {}
    return with_values(config, values)


def _mined(config: Config, churn: float | None) -> Mined:
    work = open_run(config)[1]
    manifest = work.manifest(final_stage(config))
    assert manifest is not None
    report = read_json(work.file(manifest, "report.json"))
    return Mined(report["negatives"], report["yield"], report["margin"]["mean"], report["risk"]["mean"], churn)


def _as_metrics(values: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(METRICS, values.mean(axis=0), strict=True)}
