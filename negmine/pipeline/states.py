"""Which stages are current, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from negmine.config import Config, all_keys, get
from negmine.errors import ArtifactError, NegmineError
from negmine.remote.fetching import fetch_inputs, unused
from negmine.remote.opening import open_run
from negmine.remote.stores import Tell
from negmine.schemas import SCHEMA_VERSION
from negmine.stages import Stage, stages_of
from negmine.stages.base import Job
from negmine.store.lock import writer_of
from negmine.store.manifest import Manifest, differences, digest_of
from negmine.store.workdir import WorkDir

_INTERRUPTED = "interrupted"
State = Literal["current", "stale", "partial", "missing", "damaged"]


@dataclass(frozen=True)
class StageStatus:
    """What is known of one stage. ``made_from`` is None while earlier stages are not current."""

    stage: str
    state: State
    why: str
    tasks_done: int = 0
    tasks: int | None = None
    manifest: Manifest | None = None
    made_from: Mapping[str, Any] | None = None


def made_from(stage: Stage, config: Config, work: WorkDir, upstream: Mapping[str, Manifest]) -> dict[str, Any]:
    """Everything that decides a stage's output. Raises InputError for files that are not there."""
    return {
        "schema": {"version": SCHEMA_VERSION},
        "config": {
            key: get(config, key)
            for key in all_keys()
            if any(key == own or key.startswith(f"{own}.") for own in stage.keys_used(config))
        },
        "inputs": {key: work.digests.digest(path) for key, path in stage.inputs(config).items()},
        "upstream": {
            f"{name} {output}": upstream[name].outputs[output]
            for name, outputs in stage.read_by(config).items()
            for output in outputs
        }
        # What later stages know from no file: equal vectors may have to be compared otherwise.
        | {
            f"{name} {fact}": value
            for name in stage.read_by(config)
            for fact, value in upstream[name].facts.items()
            if not isinstance(value, Mapping)  # ingest's digests of texts, which are outputs already
        },
        **stage.identity(config, work.digests),
        **stage.decided(config, upstream),
    }


def status(config: Config, *, verify: bool = False, note: Tell = lambda text: None) -> list[StageStatus]:
    """The state of every stage, in order.

    Changes nothing but the memory of digests, and the copies of inputs that are URLs; ``note`` is told
    of those that are fetched.
    """
    config, work = open_run(config, verify=verify, fetch=False, tell=note)
    fetch_inputs(config, note)
    found: dict[str, StageStatus] = {}
    writer = writer_of(work.root)
    for stage in stages_of(config).values():
        found[stage.name] = state = stage_status(stage, config, work, found)
        if state.state == "partial" and writer is not None:
            found[stage.name] = replace(state, why=state.why.replace(_INTERRUPTED, f"being made by {writer}", 1))
    work.digests.save()
    return list(found.values())


def stage_status(stage: Stage, config: Config, work: WorkDir, found: Mapping[str, StageStatus]) -> StageStatus:
    """The state of one stage, given those of the stages before it (``found``)."""
    name = stage.name
    try:
        manifest = work.manifest(name)
    except ArtifactError as error:
        return StageStatus(name, "damaged", f"manifest.json: {error.cause}")
    waiting = [upstream for upstream in stage.read_by(config) if found[upstream].state != "current"]
    if waiting:
        state: State = "stale" if manifest else "missing"
        return StageStatus(name, state, f"waits for {waiting[-1]}", manifest=manifest)
    upstream = {name: status.manifest for name, status in found.items() if status.manifest is not None}
    try:
        now = made_from(stage, config, work, upstream)
    except NegmineError as error:
        return StageStatus(name, "stale" if manifest else "missing", str(error), manifest=manifest)
    return _compared(stage, config, work, manifest, now)


def _compared(
    stage: Stage, config: Config, work: WorkDir, manifest: Manifest | None, now: Mapping[str, Any]
) -> StageStatus:
    """What is on disk of a stage against what it would be made from now."""
    name, fingerprint = stage.name, digest_of(now)
    if manifest is not None and manifest.fingerprint == fingerprint:
        problems = work.damage(manifest)
        if problems:
            part, problem = problems[0]
            return StageStatus(name, "damaged", f"{part.path}: {problem}", manifest=manifest, made_from=now)
        return StageStatus(name, "current", "nothing changed", len(manifest.tasks), len(manifest.tasks), manifest, now)
    receipts = work.pending(name, fingerprint).receipts()
    changes = "; ".join(differences(manifest.made_from, now)) if manifest else ""
    if receipts:
        total = _count_tasks(stage, config, work, fingerprint, len(receipts))
        why = f"{_INTERRUPTED}{f' ({changes})' if changes else ''}"
        return StageStatus(name, "partial", why, len(receipts), total, manifest, now)
    if manifest is not None:
        return StageStatus(name, "stale", changes, manifest=manifest, made_from=now)
    return StageStatus(name, "missing", "never run", made_from=now)


def _count_tasks(stage: Stage, config: Config, work: WorkDir, fingerprint: str, done: int) -> int | None:
    """Tasks of the phases that can be listed before they are reached: at least those of the first."""
    total = 0
    try:
        for tasks in stage.phases(Job(config, work, work.pending(stage.name, fingerprint))):
            total += len(tasks)
    except (NegmineError, OSError):  # a later phase may need to see what an earlier one made
        if not total:
            return None
    return max(total, done)


def leftovers(config: Config) -> list[Any]:
    """What no manifest names and no interrupted stage could still use: paths, and ``RemoteFolder``s of a URL."""
    current = {s.stage: digest_of(s.made_from) for s in status(config) if s.made_from is not None}
    config, work = open_run(config)
    return [*work.leftovers(current), *unused(config)]


def clean(config: Config, paths: Iterable[Any]) -> None:
    """Delete ``paths`` (from ``leftovers``) under the lock."""
    _, work = open_run(config)
    with work.writing():
        work.settle()  # files that users put into a replaced stage are not left in its trash
        for path in paths:
            work.remove(path)
