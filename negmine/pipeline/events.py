"""What a run tells while it goes, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from negmine.remote.publishing import Published
from negmine.store.manifest import Manifest


@dataclass(frozen=True)
class StageResult:
    """What a run did about one stage."""

    stage: str
    state: Literal["current", "done"]
    why: str
    tasks: int
    tasks_run: int
    wall_seconds: float
    manifest: Manifest


@dataclass(frozen=True)
class RunResult:
    """What a run did; ``exports`` are the files it leaves, as absolute paths, ``published`` their copy on a store."""

    stages: tuple[StageResult, ...]
    exports: tuple[Path, ...] = ()
    published: Published | None = None

    @property
    def verdicts(self) -> str:
        """The last of the stages that decide what is a negative: what comes after it changes no verdict."""
        return "judge" if any(stage.stage == "judge" for stage in self.stages) else "filter"


class Reporter(Protocol):
    """Is told what happens during a run."""

    def note(self, text: str) -> None: ...
    def stage_started(self, stage: str, why: str) -> None: ...
    def tasks_known(self, stage: str, unit: str, total: int, done: int) -> None: ...
    def advanced(self, stage: str, units: int) -> None: ...
    def stage_finished(self, result: StageResult) -> None: ...
    def close(self) -> None: ...


@dataclass
class Silent:
    """Reports nothing."""

    def note(self, text: str) -> None:
        pass

    def stage_started(self, stage: str, why: str) -> None:
        pass

    def tasks_known(self, stage: str, unit: str, total: int, done: int) -> None:
        pass

    def advanced(self, stage: str, units: int) -> None:
        pass

    def stage_finished(self, result: StageResult) -> None:
        pass

    def close(self) -> None:
        pass
