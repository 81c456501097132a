"""Bringing stages up to date."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import negmine
from negmine.config import Config
from negmine.errors import InputError, NegmineError, StaleError
from negmine.executors import Executor, engine
from negmine.pipeline.events import Reporter, RunResult, Silent, StageResult
from negmine.pipeline.recording import record
from negmine.pipeline.states import StageStatus, made_from, stage_status
from negmine.remote.fetching import fetch_inputs
from negmine.remote.opening import open_run
from negmine.remote.publishing import Destination
from negmine.stages import STAGES, Stage, stages_of
from negmine.stages.base import Job, Task
from negmine.store.files import link_or_copy
from negmine.store.manifest import Manifest, Part, Receipt, differences, digest_of
from negmine.store.usage import peak_rss_bytes, reset_peak_rss
from negmine.store.workdir import Pending, WorkDir, damaged

_LIBRARIES = ("numpy", "pyarrow", "faiss-cpu", "sentence-transformers", "transformers", "torch")


def run(
    config: Config,
    *,
    until: str = "export",
    only: bool = False,
    repair: bool = False,
    verify: bool = False,
    reporter: Reporter | None = None,
    executor: Executor | None = None,
) -> RunResult:
    """Bring stages up to date, in order, through ``until``.

    ``only``: earlier stages must be current already, else StaleError. ``repair``: rebuild files of
    ``until`` that are damaged or missing. ``verify``: read every file of finished stages.
    ``executor``: what runs the tasks instead of what ``config.engine`` says. A current export is copied
    to ``config.publish``.

    Raises the errors of ``negmine.errors``; whatever was finished before one stays finished.
    """
    reporter, given = reporter or Silent(), config
    config, work = open_run(config, verify=verify, repair=repair, tell=reporter.note)
    try:
        work.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"work_dir cannot be created ({error.strerror})", where=str(work.root)) from error
    if work.name != str(work.root):
        reporter.note(f"work_dir: {work.name}, worked on in {work.root}")
    chosen = engine(config) if executor is None else contextlib.nullcontext(executor)
    with work.writing(), chosen as running_on:
        try:
            work.settle()
            destination = Destination(config.publish) if config.publish is not None and until == "export" else None
            fetch_inputs(config, reporter.note)
            if destination is not None:
                destination.check()
            runner = _Runner(config, work, reporter, running_on)
            result = runner.run(until, only, repair)
            record(work, given, {stage.stage: stage.manifest for stage in result.stages})
            if destination is not None:
                copied = destination.publish(work, result.stages[-1].manifest, reporter.note)
                result = replace(result, published=copied)
            return result
        finally:
            work.digests.save()


@dataclass
class _Runner:
    config: Config
    work: WorkDir
    reporter: Reporter
    executor: Executor
    found: dict[str, StageStatus] = field(default_factory=dict)

    def run(self, until: str, only: bool, repair: bool) -> RunResult:
        here = list(stages_of(self.config))
        if until not in here:
            STAGES[until].check(self.config, None)  # it says what is not configured
        wanted = here[: here.index(until) + 1]
        asked = [until] if only else wanted
        for name in asked:
            STAGES[name].inputs(self.config)  # a missing data file is told before a missing model
        for name in asked:
            STAGES[name].check(self.config, None)
        results = []
        for name in wanted:
            status = stage_status(STAGES[name], self.config, self.work, self.found)
            if status.state == "damaged" and not (repair and name == until):
                path, _, problem = status.why.partition(": ")
                raise damaged(name, self.work.shown(name, path), problem)
            if status.state == "current":
                result = StageResult(name, "current", status.why, status.tasks_done, 0, 0.0, _there(status))
                self.reporter.stage_finished(result)
            elif only and name != until:
                raise StaleError(
                    f"{name} is {status.state} ({status.why}), and {until} needs it",
                    hint=f"Run: negmine {until} --with-upstream -c CONFIG",
                )
            else:
                result = self._build(STAGES[name], status)
                status = stage_status(STAGES[name], self.config, self.work, self.found)
            self.found[name] = status
            if name == "ingest":
                for later in asked:
                    STAGES[later].check(self.config, result.manifest.counts)
            results.append(result)
        exports: tuple[Path, ...] = ()
        if until == "export":
            files = [part.path for part in results[-1].manifest.parts if part.task.startswith("file-")]
            exports = tuple(self.work.shown("export", path) for path in files)
        return RunResult(tuple(results), exports)

    def _build(self, stage: Stage, status: StageStatus) -> StageResult:
        if status.made_from is None:
            # What could not be determined raises here what is wrong with it.
            upstream = {name: _there(known) for name, known in self.found.items()}
            now = made_from(stage, self.config, self.work, upstream)
        else:
            now = dict(status.made_from)
        fingerprint = digest_of(now)
        pending = self.work.pending(stage.name, fingerprint)
        pending.path.mkdir(parents=True, exist_ok=True)
        self.reporter.stage_started(stage.name, status.why)
        for note in stage.notes(self.config):
            self.reporter.note(note)
        if status.manifest is not None:
            lasting = ("",) if status.state == "damaged" else stage.lasting(status.manifest.made_from, now)
            _reuse(self.work, status.manifest, pending, lasting)
        self.work.resume(pending)
        if self.config.engine.kind == "ray":
            self.work.bring(
                [*stage.read_by(self.config), stage.name]
            )  # what workers read, and vectors that they take over
        started = time.perf_counter()
        reset_peak_rss()
        job = Job(self.config, self.work, pending)
        with contextlib.closing(job):
            receipts, ran = self._tasks(stage, job, now)
        self._unchanged(stage, pending, now)
        manifest = self._manifest(stage, fingerprint, now, receipts, time.perf_counter() - started)
        self.work.commit(pending, manifest)
        result = StageResult(
            stage.name, "done", status.why, len(receipts), ran, time.perf_counter() - started, manifest
        )
        self.reporter.stage_finished(result)
        return result

    def _tasks(self, stage: Stage, job: Job, now: Mapping[str, Any]) -> tuple[list[Receipt], int]:
        """Do the tasks that are missing, phase by phase; all receipts in task order."""
        before = job.pending.receipts()
        receipts: list[Receipt] = []
        total = done = ran = 0
        for tasks in stage.phases(job):
            missing = [task for task in tasks if task.name not in before]
            total += sum(task.size for task in tasks)
            done += sum(task.size for task in tasks if task.name in before)
            self.reporter.tasks_known(stage.name, stage.unit, total, done)
            finished = {task.name: before[task.name] for task in tasks if task.name in before}
            within = _Within(self.reporter, stage.name)
            job.progress = within.progress
            for task, receipt in _naming(job.pending.path, self.executor.run(stage, missing, job)):
                self._unchanged(stage, job.pending, now)
                self.work.share(job.pending, receipt)
                finished[task.name] = receipt
                within.task_done(task.size)
                ran += 1
            receipts += [finished[task.name] for task in tasks]
        return receipts, ran

    def _unchanged(self, stage: Stage, pending: Pending, before: Mapping[str, Any]) -> None:
        """Refuse what was made from files that changed meanwhile, and forget it: should the files
        change back, it would be taken for something made from them."""
        upstream = {name: _there(known) for name, known in self.found.items()}
        try:
            changes = differences(before, made_from(stage, self.config, self.work, upstream))
        except NegmineError:
            pending.drop()
            raise
        if changes:
            pending.drop()
            raise InputError(
                f"the input changed while {stage.name} was running: {'; '.join(changes)}",
                hint="Nothing was committed. Run the command again when the files are final.",
            )

    def _manifest(
        self, stage: Stage, fingerprint: str, now: Mapping[str, Any], receipts: Sequence[Receipt], seconds: float
    ) -> Manifest:
        counts: dict[str, int] = {}
        facts: dict[str, Any] = {}
        for receipt in receipts:
            facts |= receipt.facts
            for key, value in receipt.counts.items():
                counts[key] = counts.get(key, 0) + value
        return Manifest(
            stage=stage.name,
            fingerprint=fingerprint,
            made_from=now,
            parts=tuple(part for receipt in receipts for part in receipt.parts),
            outputs=stage.outputs(receipts),
            tasks={
                r.task: {
                    "counts": dict(r.counts),
                    "facts": dict(r.facts),
                    "cpu_seconds": r.cpu_seconds,
                    "wall_seconds": r.wall_seconds,
                    "peak_rss_bytes": r.peak_rss_bytes,
                }
                for r in receipts
            },
            counts=counts,
            facts=facts,
            seed=self.config.seed,
            wall_seconds=round(sum(r.wall_seconds for r in receipts), 3),
            cpu_seconds=round(sum(r.cpu_seconds for r in receipts), 3),
            peak_rss_bytes=max([peak_rss_bytes(), *(r.peak_rss_bytes for r in receipts)]),
            tool_version=negmine.__version__,
            libraries=dict(_versions()),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _there(status: StageStatus) -> Manifest:
    assert status.manifest is not None
    return status.manifest


def _versions() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _naming(folder: Path, done: Iterator[tuple[Task, Receipt]]) -> Iterator[tuple[Task, Receipt]]:
    """Pass on what is done; an error of the file system that names no file names ``folder``."""
    try:
        yield from done
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(folder)) from error


class _Within:
    """Progress inside tasks: what a task reported itself is not counted again at its end."""

    def __init__(self, reporter: Reporter, stage: str) -> None:
        self._reporter, self._stage, self._units = reporter, stage, 0

    def progress(self, units: int) -> None:
        self._units += units
        self._reporter.advanced(self._stage, units)

    def task_done(self, size: int) -> None:
        if size > self._units:
            self._reporter.advanced(self._stage, size - self._units)
        self._units = 0


def _reuse(work: WorkDir, manifest: Manifest, pending: Pending, lasting: tuple[str, ...]) -> None:
    """Take over tasks of a finished stage: those whose names begin so, and whose files are all as they were written."""
    known = pending.receipts() if lasting else {}
    wanted = [name for name in manifest.tasks if name.startswith(lasting) and name not in known]
    if not wanted:
        return
    bad = {part.task for part, _ in work.damage(manifest)}
    by_task: dict[str, list[Part]] = {}
    for part in manifest.parts:
        by_task.setdefault(part.task, []).append(part)
    for name in wanted:
        if name in bad:
            continue
        parts = by_task.get(name, [])
        for part in parts:
            link_or_copy(work.file(manifest, part.path), pending.path / part.path)
        pending.keep(Receipt(task=name, parts=tuple(parts), **manifest.tasks[name]))
