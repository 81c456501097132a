"""The runs that people name: a work_dir or its URL, or a config."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from negmine.config import Config, load_config
from negmine.errors import ArtifactError, UsageError
from negmine.pipeline import status
from negmine.remote.opening import open_folder, open_run
from negmine.remote.steady import steady
from negmine.remote.stores import is_url, redacted
from negmine.stages import STAGES
from negmine.stages.final import final_stage, final_stage_of
from negmine.store.files import read_json
from negmine.store.manifest import Manifest
from negmine.store.workdir import MANIFEST, WorkDir

T = TypeVar("T")
_OPTIONAL = ("rerank", "judge")
_MADE_FROM = (("judge", "filter", ("all",)), ("filter", "ingest", ("corpus", "queries")))


@dataclass(frozen=True)
class Named:
    """A run as it was named: what to call it, what opens it, and its config where one was given."""

    name: str
    opened: Callable[[], WorkDir]
    config: Config | None = None

    def read(self, read: Callable[[WorkDir, Mapping[str, Manifest]], T]) -> T:
        """What ``read`` makes of one state of the run: of the stages with its verdicts (filter, and judge where there
        is one) and ingest. Raises ArtifactError when one has not finished there, or they do not belong together."""
        final = final_stage(self.config) if self.config is not None else final_stage_of(self.opened())
        stages = ("judge", "filter", "ingest") if final == "judge" else ("filter", "ingest")
        return steady(self.opened, stages, [each for each in _MADE_FROM if each[0] in stages], read)

    def warnings(self) -> tuple[str, ...]:
        """What is not as it should be about the run: stages that are stale or unfinished.

        With a config against that, else by what the stages say of each other.
        """
        if self.config is not None:
            stages = [stage for stage in status(self.config) if stage.state != "current"]
            return tuple(f"{stage.stage} is {stage.state} ({stage.why})" for stage in stages[:1])
        return tuple(_broken_chain(self.opened()))


def named(run: Config | str | os.PathLike[str]) -> Named:
    """The run of a config, of a config file, or in a work_dir given by path or URL.

    Raises UsageError when it is none of these, ConfigError when the config is not valid.
    """
    if isinstance(run, Config):
        return _of_config(run, redacted(run.work_dir))
    text = os.fspath(run)
    if is_url(text):
        return Named(redacted(text), lambda: open_folder(text))
    path = Path(text)
    if path.is_file():
        return _of_config(load_config(path), text)
    if not path.is_dir():
        raise UsageError("there is no such run", where=text, hint="Name a work_dir, its URL, or a config file.")
    if not (path / "filter").is_dir() and not (path / "ingest").is_dir():
        raise UsageError("this folder is no work_dir of a run", where=text, hint=_instead(path))
    return Named(text, lambda: open_folder(text))


def _of_config(config: Config, name: str) -> Named:
    return Named(name, lambda: open_run(config)[1], config)


def _instead(path: Path) -> str:
    """What was probably meant by a folder that is no run."""
    if (path / "negmine.yaml").is_file():
        return f"There is a config in it: {path / 'negmine.yaml'}"
    try:
        if read_json(path / MANIFEST).get("stage") == "export":
            return "It has training files: name the folder of their run, which negmine history --of finds."
    except (OSError, ArtifactError, AttributeError):
        pass
    return "Name the folder that is work_dir in a config."


def _broken_chain(work: WorkDir) -> list[str]:
    """The first stage that is not made from the others as they are."""
    manifests: dict[str, Manifest | None] = {}
    for name in STAGES:
        try:
            manifests[name] = work.manifest(name)
        except ArtifactError as error:
            return [f"{name} is damaged ({error.cause})"]
    for name, manifest in manifests.items():
        if manifest is None:
            if name not in _OPTIONAL:
                return [f"{name} has not finished"]
            continue
        for key, digest in manifest.made_from["upstream"].items():
            stage, _, output = key.partition(" ")
            earlier = manifests.get(stage)
            if earlier is not None and earlier.outputs.get(output, digest) != digest:
                return [f"{name} was made from an earlier {stage} than the one that is there"]
    return []
