"""The stages that a run would bring up to date, each with its cost."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from negmine.config import Config
from negmine.errors import NegmineError
from negmine.pipeline import StageStatus, stage_status
from negmine.planning.costs import ESTIMATES, Estimate, Facts
from negmine.planning.machine import calibrate
from negmine.planning.workload import CHARACTERS_PER_TOKEN, Workload, dimension, from_files, from_run, read_model
from negmine.stages import STAGES
from negmine.store.manifest import Manifest, digest_of
from negmine.store.workdir import WorkDir

# What stays in memory of the largest stage before, when stages run in one process.
_RESIDENT = 0.85
_USUAL_DIMENSION = 384


@dataclass(frozen=True)
class PlannedStage:
    """What a run would do about one stage; None where it is not known.

    ``tasks`` are those still to be run: 0 for a stage that is current. Costs are of these.
    """

    stage: str
    state: str
    why: str
    tasks: int | None = None
    disk_bytes: int | None = None
    memory_bytes: int | None = None
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(config: Config) -> list[PlannedStage]:
    """What ``run`` would do, stage by stage, in order. Writes nothing.

    Counts are those of a current ingest; before there is one they are rows of the input files,
    an upper bound. Raises InputError when the input files cannot be read.
    """
    work = WorkDir(Path(config.work_dir))
    found: dict[str, StageStatus] = {}
    for stage in STAGES.values():
        found[stage.name] = stage_status(stage, config, work, found)
    if all(status.state == "current" for status in found.values()):
        return [_nothing(status) for status in found.values()]
    facts = _facts(config, work, found)
    steps: list[PlannedStage] = []
    for status in found.values():
        largest = max((step.memory_bytes or 0 for step in steps), default=0)
        steps.append(_step(status, facts, largest))
    return steps


def _nothing(status: StageStatus) -> PlannedStage:
    return PlannedStage(status.stage, status.state, status.why, 0, 0, 0, 0.0)


def _step(status: StageStatus, facts: Facts, largest: int) -> PlannedStage:
    if status.state == "current":
        return _nothing(status)
    if status.state == "damaged":
        return PlannedStage(status.stage, status.state, status.why)
    estimate = ESTIMATES[status.stage](facts) if status.stage in ESTIMATES else Estimate()
    left, share = _remaining(status, estimate)
    memory = estimate.memory_bytes
    why = status.why if status.stage != "ingest" or facts.work.exact else f"{status.why}; counts are upper bounds"
    return PlannedStage(
        status.stage,
        status.state,
        why,
        left,
        round(estimate.disk_bytes * share) if estimate.disk_bytes is not None else None,
        max(memory, round(_RESIDENT * largest)) if memory is not None else None,
        round(estimate.seconds * share, 2) if estimate.seconds is not None else None,
    )


def _remaining(status: StageStatus, estimate: Estimate) -> tuple[int | None, float]:
    """Tasks without a receipt, and their share of all tasks."""
    if estimate.tasks is None or status.state != "partial":
        return estimate.tasks, 1.0
    left = max(estimate.tasks - status.tasks_done, 0)
    return left, left / estimate.tasks if estimate.tasks else 1.0


def _facts(config: Config, work: WorkDir, found: Mapping[str, StageStatus]) -> Facts:
    model = read_model(config)
    limit = model.max_tokens * CHARACTERS_PER_TOKEN if model and model.max_tokens else sys.maxsize
    width = dimension(config, model, found["embed"].manifest)
    machine = calibrate(width or _USUAL_DIMENSION, config.mine.k + 16)
    workload = _workload(config, work, found["ingest"], limit)
    return Facts(config, workload, machine, model, width, _seconds_per_text(config, work, found["embed"]))


def _workload(config: Config, work: WorkDir, ingest: StageStatus, limit: int) -> Workload:
    if ingest.state == "current" and ingest.manifest is not None:
        return from_run(work.stage("ingest"), ingest.manifest, limit)
    return from_files(config, limit)


def _seconds_per_text(config: Config, work: WorkDir, embed: StageStatus) -> float | None:
    """Speed of this run's model on this machine, from tasks that it finished before.

    The first task also loads the model, so it does not count; None when there are no others.
    """
    tasks = (
        dict(embed.manifest.tasks) if embed.manifest is not None and _same_model(config, work, embed.manifest) else {}
    )
    if embed.made_from is not None:
        receipts = work.pending("embed", digest_of(embed.made_from)).receipts()
        tasks |= {name: {"counts": r.counts, "wall_seconds": r.wall_seconds} for name, r in receipts.items()}
    corpus = sorted(name for name in tasks if name.startswith("corpus/"))[1:]
    texts = sum(tasks[name]["counts"]["vectors"] - tasks[name]["counts"].get("reused", 0) for name in corpus)
    return sum(tasks[name]["wall_seconds"] for name in corpus) / texts if texts else None


def _same_model(config: Config, work: WorkDir, manifest: Manifest) -> bool:
    try:
        return STAGES["embed"].identity(config, work.digests).get("model") == manifest.made_from.get("model")
    except NegmineError:
        return False
