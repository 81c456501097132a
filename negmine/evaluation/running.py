"""The evaluation of a run: every arm with every seed, compared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from negmine.config import Config
from negmine.errors import ArtifactError, UsageError
from negmine.evaluation.arms import Taken, negatives_of
from negmine.evaluation.experiment import FOLDER, Experiment, Outcome
from negmine.evaluation.metrics import MAIN, METRICS, measures_library
from negmine.evaluation.results import Evaluation, arm_result, as_metrics, comparisons, recovered
from negmine.evaluation.split import SIDES, TEST
from negmine.pipeline.events import Reporter, Silent
from negmine.remote.opening import open_run
from negmine.remote.steady import steady
from negmine.remote.stores import is_url
from negmine.stages import STAGES
from negmine.stages.base import Run
from negmine.stages.final import final_stage, final_stage_of
from negmine.stages.texts import queries_of
from negmine.store.files import read_json, replacing, write_json
from negmine.store.manifest import Manifest
from negmine.store.tables import TableWriter
from negmine.store.workdir import WorkDir

RESULT = f"{FOLDER}/result.json"
PER_QUERY = f"{FOLDER}/per_query.parquet"
_STAGES = ("filter", "mine", "index", "embed", "ingest")


def evaluate(config: Config, reporter: Reporter | None = None) -> Evaluation:
    """Train the student of ``config.evaluate`` on every arm with every seed, test, compare, and keep the result as
    ``evaluate/result.json`` and ``evaluate/per_query.parquet``.

    A training that was done before, or by a killed evaluation, is not done again. Raises UsageError for a run at a
    URL; ArtifactError when the verdicts are not finished or a file is damaged; InputError when there are too few
    queries, or judgements cannot be read; MissingDependencyError without ir-measures.
    """
    with experiment_of(config) as experiment:
        return _evaluated(experiment, reporter or Silent())


@contextlib.contextmanager
def experiment_of(config: Config) -> Iterator[Experiment]:
    """The experiment of a finished run, which this process alone may write to meanwhile; raises what ``evaluate``
    does."""
    if is_url(config.work_dir):
        raise UsageError(
            "evaluations are kept in the work_dir, and this one is a URL",
            hint="Copy the run to a folder, and evaluate it there: --set work_dir=FOLDER.",
        )
    measures_library()
    _, work = open_run(config)
    final = final_stage(config)
    if work.manifest(final) is None:
        raise ArtifactError(f"{final} has not finished in this run", where=work.name, hint="Run: negmine run -c CONFIG")

    def read(work: WorkDir, manifests: Mapping[str, Manifest]) -> Experiment:
        del manifests
        return Experiment(Run(config, work))

    stages = tuple(dict.fromkeys([final, *_STAGES, *(["rerank"] if config.rerank is not None else [])]))
    readers = dict.fromkeys([final, "filter", "mine", "index"])
    made_from = [(name, *of) for name in readers for of in STAGES[name].read_by(config).items()]
    with work.writing():
        experiment = steady(config, stages, made_from, read)
        try:
            yield experiment
        finally:
            experiment.run.close()
            experiment.run.work.digests.save()


def stored_evaluation(work: WorkDir) -> tuple[dict[str, Any], bool] | None:
    """``evaluate/result.json`` of a run, and whether it is about the verdicts as they are now; None when there is none.

    Raises ArtifactError when the file is damaged.
    """
    path = work.root / RESULT
    if not path.is_file():
        return None
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("state"), dict):
        raise ArtifactError(
            "this file is damaged", where=str(path), hint="Delete it and run: negmine evaluate -c CONFIG"
        )
    manifest = work.manifest(final_stage_of(work))
    return found, manifest is not None and found["state"].get("verdicts") == _state_of(manifest)


def _evaluated(experiment: Experiment, reporter: Reporter) -> Evaluation:
    material, section = experiment.material, experiment.run.config.evaluate
    taken: dict[str, Taken] = {arm: negatives_of(material, arm) for arm in section.compared}
    seeds = [experiment.run.config.seed + number for number in range(section.seeds)]
    wanted = [(arm, seed) for arm in taken for seed in seeds]
    done = sum(experiment.kept(taken[arm], seed) for arm, seed in wanted)
    reporter.stage_started("evaluate", f"{len(wanted)} trainings, {done} of them done before")
    reporter.tasks_known("evaluate", "steps", len(wanted) * experiment.steps, done * experiment.steps)
    outcomes: dict[str, list[Outcome]] = {arm: [] for arm in taken}
    advance = partial(reporter.advanced, "evaluate")
    for seed in seeds:  # all arms of a seed together
        for arm, of in taken.items():
            told = _ignore if experiment.kept(of, seed) else advance
            outcomes[arm].append(experiment.outcome(of, seed, advance=told))
    found = _result(experiment, taken, outcomes)
    _keep(experiment, outcomes, seeds, found)
    return found


def _result(experiment: Experiment, taken: Mapping[str, Taken], outcomes: Mapping[str, list[Outcome]]) -> Evaluation:
    material = experiment.material
    groups = material.groups(material.chosen(TEST))
    values = {arm: np.stack([outcome.values[:, MAIN] for outcome in of]) for arm, of in outcomes.items()}
    rows = material.train[0]
    counts = {arm: np.bincount(of[0], minlength=material.queries)[rows].mean() for arm, of in taken.items()}
    queries = {name: int((material.sides == side).sum()) for side, name in enumerate(SIDES)}
    return Evaluation(
        student=experiment.run.config.evaluate.student,
        seeds=experiment.run.config.evaluate.seeds,
        steps=experiment.plan.steps,
        queries={**queries, "tested": len(groups)},
        groups=len(np.unique(groups)),
        passages=material.passages,
        judged=material.judged is not None,
        untrained=as_metrics(experiment.untrained().mean(axis=0)),
        arms=tuple(arm_result(arm, of, float(counts[arm]), groups) for arm, of in outcomes.items()),
        comparisons=comparisons(values, groups),
        recovered=recovered(values, groups),
        state={
            "key": experiment.key,
            "verdicts": _state_of(experiment.run.manifest(final_stage(experiment.run.config))),
            "made_from": experiment.identity(),
        },
    )


def _keep(experiment: Experiment, outcomes: Mapping[str, list[Outcome]], seeds: list[int], found: Evaluation) -> None:
    chosen = experiment.material.chosen(TEST)
    ids = queries_of(experiment.run).take(chosen, ["query_id"])["query_id"].combine_chunks()
    fields = [pa.field("query_id", pa.string()), pa.field("arm", pa.string()), pa.field("seed", pa.int64())]
    schema = pa.schema([*fields, *(pa.field(name, pa.float64()) for name in METRICS)])
    root = experiment.run.work.root
    with replacing(root / PER_QUERY) as temporary, TableWriter(temporary, schema) as file:
        for arm, of in outcomes.items():
            for seed, outcome in zip(seeds, of, strict=True):
                columns = dict(zip(METRICS, outcome.values.T, strict=True))
                file.write({"query_id": ids, "arm": [arm] * len(chosen), "seed": [seed] * len(chosen), **columns})
    write_json(root / RESULT, found.as_json())


def _ignore(steps: int) -> None:
    """What was done before is not told again."""


def _state_of(manifest: Manifest) -> dict[str, str]:
    """What tells one set of final verdicts from another."""
    return {"fingerprint": manifest.fingerprint, "output": manifest.outputs["all"]}
