"""What a stage is: a list of independent tasks, each of which publishes its own files.

Everything about resuming, progress, distribution and staleness lives around this protocol,
in the executors and the pipeline; a stage only says what its tasks are and does one of them.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from negmine.config import Config
from negmine.store.digests import DigestCache
from negmine.store.files import replacing
from negmine.store.manifest import Manifest, Part, Receipt, output_digest
from negmine.store.usage import cpu_seconds, peak_rss_bytes
from negmine.store.workdir import Pending, WorkDir, damaged

T = TypeVar("T")

OPTIONAL = ("rerank", "judge")
"""Stages that a run has only where the section of the config by their name is there."""


@dataclass(frozen=True)
class Task:
    """A piece of a stage that can be done alone, anywhere, given the run's folder.

    ``name`` is unique in its stage; ``args`` are JSON values (row ranges, names of parts);
    ``size`` is how many units of progress it is worth.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    size: int = 1


@dataclass
class Output:
    """A file being written: the path to write to, and the number of rows to be filled in."""

    path: Path
    rows: int = 0


class Run:
    """What a finished or unfinished run holds: its config, the files of its finished stages."""

    def __init__(self, config: Config, work: WorkDir) -> None:
        self.config = config
        self.work = work
        self._upstream: dict[str, Manifest] = {}
        self._resources: dict[str, Any] = {}

    def manifest(self, stage: str) -> Manifest:
        """The manifest of a finished stage. Raises ArtifactError when it is not there."""
        if stage not in self._upstream:
            manifest = self.work.manifest(stage)
            if manifest is None:
                raise damaged(stage, self.work.stage(stage) / "manifest.json", "it is missing")
            self._upstream[stage] = manifest
        return self._upstream[stage]

    def file(self, stage: str, path: str) -> Path:
        """A file of a finished stage, verified."""
        return self.work.file(self.manifest(stage), path)

    def files(self, stage: str, prefix: str) -> list[Path]:
        """The files of a finished stage whose path starts with ``prefix``, in order, verified."""
        return self.work.files(self.manifest(stage), prefix)

    def resource(self, name: str, build: Callable[[], T]) -> T:
        """Something expensive that tasks of one process share, such as a loaded model."""
        if name not in self._resources:
            self._resources[name] = build()
        value: T = self._resources[name]
        return value

    def give_back(self, name: str) -> None:
        """Let go of a resource that is not needed any more, if there is one of that name."""
        value = self._resources.pop(name, None)
        if callable(close := getattr(value, "close", None)):
            close()

    def close(self) -> None:
        """Give back what resources hold beside memory, such as processes."""
        for value in self._resources.values():
            if callable(close := getattr(value, "close", None)):
                close()
        self._resources.clear()


class Job(Run):
    """One stage of one run under construction: what its tasks may read and where they publish."""

    def __init__(self, config: Config, work: WorkDir, pending: Pending) -> None:
        super().__init__(config, work)
        self.pending = pending
        self.progress: Callable[[int], None] = lambda units: None
        self.facts: dict[str, Any] = {}
        """What a task found out that is no sum, such as a dimension; the same in all tasks."""
        self._parts: list[Part] = []
        self._task = ""

    def own(self, path: str) -> Path:
        """A file that an earlier phase of this stage published."""
        return self.pending.path / path

    @contextlib.contextmanager
    def publish(self, path: str) -> Iterator[Output]:
        """Write one file of the current task; it appears under its name when it is whole."""
        final = self.pending.path / path
        with replacing(final) as temporary:
            output = Output(temporary)
            yield output
        size = final.stat().st_size
        self._parts.append(Part(path, output.rows, size, self.work.digests.digest(final), self._task))

    def execute(self, stage: Stage, task: Task) -> Receipt:
        """Do one task and keep its receipt."""
        self._task, self._parts, self.facts = task.name, [], {}
        wall, cpu = time.perf_counter(), cpu_seconds()
        counts = stage.execute(task, self)
        receipt = Receipt(
            task=task.name,
            parts=tuple(self._parts),
            counts=dict(counts),
            facts=dict(self.facts),
            cpu_seconds=round(cpu_seconds() - cpu, 3),
            wall_seconds=round(time.perf_counter() - wall, 3),
            peak_rss_bytes=peak_rss_bytes(),
        )
        self.pending.keep(receipt)
        return receipt


class Stage(ABC):
    """A step of the pipeline. Instances hold no state."""

    name: ClassVar[str]
    unit: ClassVar[str]
    """What progress counts, in the plural."""
    keys: ClassVar[tuple[str, ...]]
    """The config keys (or sections) whose values decide this stage's output."""
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Earlier stages it reads, and which of their outputs."""

    def wanted(self, config: Config) -> bool:
        """Whether a run has this stage."""
        return True

    def read_by(self, config: Config) -> Mapping[str, tuple[str, ...]]:
        """Those of ``reads`` that a run has."""
        left_out = {name for name in OPTIONAL if getattr(config, name) is None}
        return {name: outputs for name, outputs in self.reads.items() if name not in left_out}

    def keys_used(self, config: Config) -> tuple[str, ...]:
        """Those of ``keys`` that this config makes use of: changing another changes nothing."""
        return self.keys

    def inputs(self, config: Config) -> Mapping[str, Path]:
        """Files of the user that this stage reads, by config key."""
        return {}

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        """Further facts that decide the output, such as a model's weights."""
        return {}

    def decided(self, config: Config, upstream: Mapping[str, Manifest]) -> Mapping[str, Mapping[str, Any]]:
        """What the manifests of earlier stages (``upstream``) decide about the output beside their files."""
        return {}

    def lasting(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
        """Beginnings of the names of tasks whose files the finished stage has already, as they would come out again.

        ``before`` and ``now`` are what that one was made from, and what this one is.
        """
        return ()

    def check(self, config: Config, counts: Mapping[str, Any] | None) -> None:  # noqa: B027  most need none
        """Refuse what can be seen to fail before long work starts.

        ``counts`` are those of a current ingest, None before there is one.
        """

    def notes(self, config: Config) -> Sequence[str]:
        """What people are told when the stage is about to run."""
        return ()

    def runs_model(self, config: Config) -> bool:
        """Whether its tasks run a model: they belong where there is a GPU, if anywhere."""
        return False

    @abstractmethod
    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        """Lists of independent tasks; a list is asked for when the one before is done."""

    @abstractmethod
    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        """Do one task: publish its files, return what it counted (summed over tasks)."""

    def outputs(self, receipts: Sequence[Receipt]) -> dict[str, str]:
        """Digests of what later stages read, by name; ``all`` covers every file."""
        return {"all": output_digest([part for receipt in receipts for part in receipt.parts])}


def ranges(rows: int, size: int, prefix: str) -> list[Task]:
    """Tasks ``<prefix>-00000`` ... over [0, rows) in pieces of ``size``."""
    return [
        Task(f"{prefix}-{number:05d}", {"start": low, "stop": min(low + size, rows)}, min(size, rows - low))
        for number, low in enumerate(range(0, rows, size))
    ]
