"""The model of a round: trained from that of the run, on its negatives, by Sentence Transformers' trainer."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from negmine.config import Config
from negmine.config.changing import with_values
from negmine.errors import ConfigError
from negmine.evaluation import Experiment, experiment_of, negatives_of
from negmine.pipeline import Reporter
from negmine.remote.opening import open_run
from negmine.stages.base import Run
from negmine.store.files import read_json, sync_folder, write_json
from negmine.training.full import check_arguments, trainer_library

STAGE = "train"
MODEL, RECORD = "model", "trained.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a training came to: the ``step`` that dev liked best (0 is the model before it), of ``steps``; its nDCG@10
    in the looks at dev during training, and that before; mean number of hard negatives of a row."""

    step: int
    steps: int
    learning_rate: float
    looked: float
    before: float
    rows: int
    negatives: float


def check_trainable(config: Config) -> None:
    """Refuse what can be seen to fail: ConfigError for vectors that come from no model that can be trained here, or an
    argument that the trainer does not know; MissingDependencyError without its packages."""
    if config.embed.model is None:
        raise ConfigError(
            "there is no model to train: the vectors come from elsewhere",
            where="embed",
            hint="Set embed.model to a model of Sentence Transformers.",
        )
    trainer_library()
    check_arguments(config.train.arguments)


def train(config: Config, folder: Path, seed: int, reporter: Reporter, start: str | None = None) -> Checkpoint:
    """Train the model of a finished run on its negatives and leave the best checkpoint in ``folder/model``.

    ``start``: the model that training starts from, that of the run unless given. What was trained before from the
    same is not trained again. ``folder/trained.json`` is written last. Raises what ``evaluate`` raises.
    """
    student = {"evaluate.student": "full", "evaluate.model": start}
    with experiment_of(with_values(config, student)) as experiment:
        taken = negatives_of(experiment.material, "run")
        digest = hashlib.sha256(taken[0].tobytes() + taken[1].tobytes()).hexdigest()
        key = hashlib.sha256(f"{experiment.key} {digest} {seed}".encode()).hexdigest()
        known = _known(folder, key)
        if known is not None:
            return known
        query = experiment.material.train[0]
        reporter.stage_started(STAGE, f"{len(query):,} rows, {experiment.plan.steps:,} steps")
        reporter.tasks_known(STAGE, "steps", experiment.steps, 0)
        best, rate = experiment.train(taken, seed, partial(reporter.advanced, STAGE))
        reporter.close()
        each = np.bincount(taken[0], minlength=experiment.material.queries)[query]
        found = Checkpoint(
            step=best.step,
            steps=experiment.plan.steps,
            learning_rate=rate,
            looked=best.dev,
            before=best.curve[0][1],
            rows=len(query),
            negatives=float(each.mean()),
        )
        _save(best.model, folder)
        write_json(folder / RECORD, {"key": key, **asdict(found)})
        return found


def measured(config: Config, side: int) -> np.ndarray:
    """What the vectors of a run, whose index has finished, are worth on a side of the queries: each metric of every
    query, float64 (q, 3)."""
    return experiment_on_vectors(config).untrained(side=side)


def experiment_on_vectors(config: Config) -> Experiment:
    """The experiment whose untrained student is the run's own vectors."""
    config = with_values(config, {"evaluate.student": "adapter", "evaluate.model": None})
    return Experiment(Run(config, open_run(config)[1]))


def _known(folder: Path, key: str) -> Checkpoint | None:
    """What an earlier training of the same came to; None where there is none that is whole."""
    try:
        record: dict[str, Any] = read_json(folder / RECORD)
        there = (folder / MODEL).is_dir() and record.pop("key") == key
        return Checkpoint(**record) if there else None
    except Exception:
        return None


def _save(model: Any, folder: Path) -> None:
    """Put the model in its place when it is whole. What is there of an earlier one goes first, with its record."""
    (folder / RECORD).unlink(missing_ok=True)
    temporary, final = folder / f".tmp-{MODEL}", folder / MODEL
    shutil.rmtree(temporary, ignore_errors=True)
    model.model.save_pretrained(str(temporary), create_model_card=False)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)
    sync_folder(folder)
