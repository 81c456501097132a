"""The run that a report is about: the state of its stages, and what of it can be read together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from negmine.config import Config
from negmine.errors import ArtifactError, ConfigError, UsageError
from negmine.pipeline import StageStatus
from negmine.stages import STAGES
from negmine.stages.base import Run
from negmine.stages.final import final_stage
from negmine.store.manifest import Manifest
from negmine.store.workdir import WorkDir

T = TypeVar("T")
_AGAIN = "Run: negmine run -c CONFIG"


@dataclass(frozen=True)
class Section(Generic[T]):
    """What a part of the page tells: its ``value``, or the ``gap`` in words that is there instead.

    ``notices`` are what a reader must know beside the numbers: which of them are not the config's.
    """

    value: T | None
    gap: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment: ``stages`` in order, and the manifests of those that have finished."""

    config: Config
    work: WorkDir
    stages: tuple[StageStatus, ...]
    manifests: Mapping[str, Manifest]

    @property
    def run(self) -> Run:
        return Run(self.config, self.work)

    @property
    def final(self) -> str:
        """The stage with the final verdicts."""
        return final_stage(self.config)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The stages that final verdicts, and what they are about, are read from."""
        return tuple(dict.fromkeys((self.final, "filter", "mine", "ingest")))

    @property
    def scorers(self) -> tuple[str, ...]:
        """Whose scores filter decided by, the first for all but margins."""
        facts = self.manifests["filter"].facts if "filter" in self.manifests else {}
        return tuple(facts.get("scorers", ["dense"]))

    def file(self, stage: str, path: str) -> Path:
        """A file of a finished stage, verified."""
        return self.work.file(self.manifests[stage], path)

    def has(self, stage: str, path: str) -> bool:
        """Whether a finished stage has a file."""
        return stage in self.manifests and any(part.path == path for part in self.manifests[stage].parts)

    def state(self, stage: str) -> str:
        """The state of a stage; of one that the config has no more: stale."""
        return next((each.state for each in self.stages if each.stage == stage), "stale")

    def gap(self, *names: str) -> str:
        """Why the files of these stages cannot be read together, in words; '' when they can."""
        for name in names:
            if name not in self.manifests:
                why = next((each.why for each in self.stages if each.stage == name and each.state == "damaged"), "")
                return f"{name} is damaged ({why})." if why else f"{name} has not finished in this run. {_AGAIN}"
        for name in names:
            used = self.manifests[name].made_from["upstream"]
            for earlier in (each for each in names if each in STAGES[name].reads):
                there = self.manifests[earlier].outputs
                if any(used.get(f"{earlier} {output}") != there.get(output) for output in STAGES[name].reads[earlier]):
                    return f"{name} was made from an earlier {earlier} than the one that is there. {_AGAIN}"
        return ""

    def notices(self, *names: str) -> tuple[str, ...]:
        """Which of these stages do not have what the config asks for now."""
        known = {each.stage for each in self.stages}
        return tuple(
            f"{each.stage} is {each.state} ({each.why}): this is the run as it was."
            for each in self.stages
            if each.stage in names and each.state != "current" and each.manifest is not None
        ) + tuple(
            f"the config has no {name} any more: this is the run as it was." for name in names if name not in known
        )

    def section(self, names: tuple[str, ...], build: Callable[[], T]) -> Section[T]:
        """What ``build`` makes of the files of some stages, or why there is nothing."""
        gap = self.gap(*names)
        if gap:
            return Section(None, gap)
        try:
            return Section(build(), notices=self.notices(*names))
        except (ArtifactError, ConfigError, UsageError) as error:  # a part that is not there is told on the page
            return Section(None, str(error))
