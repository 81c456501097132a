"""The stages that a run would bring up to date, each with its cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from negmine.config import Config, EngineConfig
from negmine.config.models import IndexConfig
from negmine.errors import NegmineError
from negmine.pipeline import StageStatus, stage_status
from negmine.planning.asking import endpoint_embedding
from negmine.planning.costs import BASE, ESTIMATES
from negmine.planning.facts import Embedding, Estimate, Facts
from negmine.planning.judging import judge
from negmine.planning.machine import Note, machine
from negmine.planning.pace import characters_per_token, measured_pace, token_lengths
from negmine.planning.reranking import known_pairs, rerank
from negmine.planning.workload import (
    CHARACTERS_PER_TOKEN,
    Model,
    Texts,
    Workload,
    dimension,
    from_files,
    from_run,
    not_embedded,
    read_model,
)
from negmine.remote.fetching import fetch_inputs
from negmine.remote.opening import open_run
from negmine.stages import stages_of
from negmine.stages.base import Job
from negmine.stages.embed.encoding import EncoderSource, encoder_identity, model_folder, sources
from negmine.store.manifest import digest_of
from negmine.store.workdir import WorkDir

_RETAINED = 0.35
"""What stays in memory of what the largest stage before took, when stages run in one process."""
_USUAL_DIMENSION = 384
_LITTLE = 10**9
"""Products of numbers that any machine finishes in a fraction of a second."""
_SHARED = ("embed", "index", "mine", "rerank", "filter", "judge", "export")
"""Stages whose tasks several workers share."""


@dataclass(frozen=True)
class PlannedStage:
    """What a run would do about one stage; None where it is not known.

    ``tasks`` are those still to be run: 0 for a stage that is current. Costs are of these;
    ``memory_bytes`` is the peak of the process. What an endpoint is asked for: ``requests``, estimated
    ``tokens``, and their ``cost`` when its prices are given.
    """

    stage: str
    state: str
    why: str
    tasks: int | None = None
    disk_bytes: int | None = None
    memory_bytes: int | None = None
    seconds: float | None = None
    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(config: Config, *, calibrate: bool = False, note: Note = lambda text: None) -> list[PlannedStage]:
    """What ``run`` would do, stage by stage, in order. Writes nothing but what it measures of the
    machine, into the user's cache folder, and copies of inputs that are URLs.

    Counts are those of a current ingest; before there is one they are distinct rows of the input
    files, an upper bound. Times are those of a machine on which nothing else runs. ``calibrate``:
    measure anew what is known of the machine; ``note`` is told what is measured. Raises InputError
    when the input files cannot be read.
    """
    config, work = open_run(config, tell=note)
    fetch_inputs(config, note)
    found: dict[str, StageStatus] = {}
    for stage in stages_of(config).values():
        found[stage.name] = stage_status(stage, config, work, found)
    if all(status.state == "current" for status in found.values()) and not calibrate:
        return [_nothing(status) for status in found.values()]
    facts = _facts(config, work, found, calibrate, note)
    if all(status.state == "current" for status in found.values()):
        return [_nothing(status) for status in found.values()]
    steps: list[PlannedStage] = []
    stays, torch = 0, 0
    for status in found.values():
        if status.state in ("current", "damaged"):
            steps.append(_nothing(status) if status.state == "current" else _unknown(status))
            continue
        if status.stage == "rerank":
            known = known_pairs(config, work, found["mine"], status)
            estimate = rerank(facts, work.digests, note, again=calibrate, known=known)
        elif status.stage == "judge":
            estimate = judge(facts, found["filter"], work)
        else:
            estimate = ESTIMATES[status.stage](facts) if status.stage in ESTIMATES else Estimate()
        apart = config.engine.kind == "ray" and status.stage in _SHARED
        steps.append(_step(status, facts, estimate, BASE if apart else BASE + torch + round(_RETAINED * stays)))
        if status.stage == "rerank" or (status.stage == "embed" and _has_model(config)):
            torch = max(torch, estimate.memory_bytes or 0)  # a library once loaded stays
        else:
            stays = max(stays, estimate.memory_bytes or 0)
    return steps


def _has_model(config: Config) -> bool:
    return any(source.config.embed.model is not None for source in sources(config))


def _nothing(status: StageStatus) -> PlannedStage:
    return PlannedStage(status.stage, status.state, status.why, 0, 0, 0, 0.0)


def _unknown(status: StageStatus) -> PlannedStage:
    return PlannedStage(status.stage, status.state, status.why)


def _step(status: StageStatus, facts: Facts, estimate: Estimate, resident: int) -> PlannedStage:
    left, share = _remaining(status, estimate)
    why = status.why if status.stage != "ingest" or facts.work.exact else f"{status.why}; counts are upper bounds"
    seconds = _shared(facts, status.stage, estimate)
    asked = estimate.asked
    return PlannedStage(
        status.stage,
        status.state,
        why,
        left,
        round(estimate.disk_bytes * share) if estimate.disk_bytes is not None else None,
        resident + estimate.memory_bytes if estimate.memory_bytes is not None else None,
        round(seconds * share, 2) if seconds is not None else None,
        round(asked.requests * share) if asked else None,
        round(asked.tokens * share) if asked else None,
        round(asked.cost * share, 6) if asked and asked.cost is not None else None,
    )


def _remaining(status: StageStatus, estimate: Estimate) -> tuple[int | None, float]:
    """Tasks without a receipt, and their share of all tasks."""
    if estimate.tasks is None or status.state != "partial":
        return estimate.tasks, 1.0
    left = max(estimate.tasks - status.tasks_done, 0)
    return left, left / estimate.tasks if estimate.tasks else 1.0


def _shared(facts: Facts, stage: str, estimate: Estimate) -> float | None:
    """Seconds of a stage when its tasks are shared by as many workers as the config names."""
    engine = facts.config.engine
    workers = engine.workers
    if estimate.seconds is None or engine.kind == "local" or stage not in _SHARED or workers == "auto":
        return estimate.seconds
    # Besides its parts, a stage has some tasks that take next to no time.
    tasks = max(facts.parts if stage in ("mine", "filter") else estimate.tasks or 1, 1)
    return estimate.apart + (estimate.seconds - estimate.apart) * math.ceil(tasks / workers) / tasks


def _facts(config: Config, work: WorkDir, found: Mapping[str, StageStatus], calibrate: bool, note: Note) -> Facts:
    width = dimension(config, read_model(config), found["embed"].manifest)
    workload = _workload(config, work, found["ingest"])
    searched = workload.passages.count * workload.queries.count * (width or _USUAL_DIMENSION)
    rates = machine(
        work.root,
        width or _USUAL_DIMENSION,
        config.mine.k + 16,
        min(workload.queries.count, config.mine.part_queries),
        config.embed.similarity,
        _threads(config),
        note,
        again=calibrate,
        searched=searched > _LITTLE,
    )

    def of(source: EncoderSource, others: tuple[Facts, ...] = ()) -> Facts:
        model, embedding = read_model(source.config), None
        if source.config.embed.vectors is None and not source.sparse:
            embedding = _embedding(source, work, found, workload, model, calibrate, note)
        width = dimension(source.config, model, found["embed"].manifest)
        exactly = {} if source.name is None else {"index": IndexConfig()}  # so are further encoders searched
        return Facts(source.config.model_copy(update=exactly), workload, rates, model, width, embedding, others)

    main, *more = sources(config)
    return of(main, tuple(map(of, more)))


def _threads(config: Config) -> int | None:
    """Threads of a process that does tasks; None for as many as there are cores."""
    if config.engine.kind == "ray":
        return config.engine.cpus_per_worker
    return None if config.threads == "auto" else config.threads


def _workload(config: Config, work: WorkDir, ingest: StageStatus) -> Workload:
    if ingest.state == "current" and ingest.manifest is not None:
        for name in ("corpus.parquet", "queries.parquet"):
            work.file(ingest.manifest, name)  # of a URL, they may not be here yet
        return from_run(work.stage("ingest"), ingest.manifest)
    return from_files(config)


def _embedding(
    source: EncoderSource,
    work: WorkDir,
    found: Mapping[str, StageStatus],
    workload: Workload,
    model: Model | None,
    calibrate: bool,
    note: Note,
) -> Embedding:
    """What the texts that are left take: by this run's own speed where it embedded some, else by the model's."""
    status, config = found["embed"], source.config
    kinds = _left(source, work, found, workload)
    texts = sum(kind.count for kind in kinds)
    nothing = Embedding(texts, 0.0, 0.0, 0)
    if status.state == "current" or not texts:
        return nothing
    if config.embed.endpoint is not None:
        return endpoint_embedding(source, status, work, kinds)
    earlier = None if calibrate else _seconds_per_text(source, work, status)
    if earlier is not None:
        first, later = workload.passages.mean, [kind.mean for kind in kinds]
        weights = [mean / first if first else 1.0 for mean in later]
        return Embedding(texts, earlier * sum(kind.count * weight for kind, weight in zip(kinds, weights, strict=True)))
    limit = model.max_tokens if model else None
    if config.engine.kind == "ray":  # as in a worker, if this machine is like theirs
        config = config.model_copy(update={"engine": EngineConfig(), "threads": config.engine.cpus_per_worker})
    try:
        pace = measured_pace(config, encoder_identity(config, work.digests), limit, note, again=calibrate)
        folder = model_folder(config, download=False)
    except NegmineError:  # the run will say what is wrong with the model, or download it
        return Embedding(texts)
    seconds = pace.load
    for kind, prompt in zip(kinds, (config.embed.document_prompt, config.embed.query_prompt), strict=True):
        per_token = characters_per_token(folder, list(kind.sample)) or CHARACTERS_PER_TOKEN
        parts = math.ceil(kind.count / config.embed.part_rows)
        prompted = np.concatenate([np.zeros(len(prompt or "")), kind.lengths])
        seconds += pace.seconds(token_lengths(prompted, per_token, limit), max(parts, 1))
    return Embedding(texts, seconds, pace.load, round(pace.memory))


def _left(
    source: EncoderSource, work: WorkDir, found: Mapping[str, StageStatus], workload: Workload
) -> Sequence[Texts]:
    """Passages and queries that must be embedded: not those whose vectors the finished stage has."""
    embed, ingest = found["embed"], found["ingest"]
    if embed.made_from is None or embed.manifest is None or ingest.manifest is None or embed.state == "partial":
        return workload.passages, workload.queries
    job = Job(source.config, work, work.pending("embed", digest_of(embed.made_from)))
    try:
        return not_embedded(job, source)
    except NegmineError:
        return workload.passages, workload.queries


def _seconds_per_text(source: EncoderSource, work: WorkDir, embed: StageStatus) -> float | None:
    """Seconds per passage of the tasks that this run finished already.

    The first task also loads the model, so it does not count; None when there are no others.
    """
    if embed.made_from is None or embed.state != "partial":
        return None
    receipts = work.pending("embed", digest_of(embed.made_from)).receipts()
    names = sorted(name for name in receipts if name.startswith(f"{source.folder}corpus/"))[1:]
    texts = sum(receipts[name].counts["vectors"] - receipts[name].counts.get("reused", 0) for name in names)
    return sum(receipts[name].wall_seconds for name in names) / texts if texts else None
