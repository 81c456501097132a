"""Datasets that the ``datasets`` library loads: its Arrow files, kept with a run."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from negmine.config.datasets import DatasetConfig
from negmine.errors import ArtifactError, InputError, MissingDependencyError, NegmineError, nearest
from negmine.remote.stores import Fetched, Tell, redacted
from negmine.store.files import read_json, write_json

_COMMIT = re.compile("[0-9a-f]{40}")
_SHOWN = 300  # characters of what the library said
_QUOTED = re.compile("'([^']+)'")


class LoadedDataset:
    """The copy of a dataset in ``folder``: the files of its splits, and a record of which they are."""

    def __init__(self, dataset: DatasetConfig, folder: Path) -> None:
        self._dataset, self._folder = dataset, folder
        self._files = folder / "files"
        self._record = folder / "versions.json"

    def paths(self, split: str) -> tuple[Path, ...]:
        """The Arrow files of a split, in order. Raises InputError when it was not loaded."""
        names = [name for name, _ in self._known().get(split, [])]
        if not names:
            raise InputError("this was not loaded yet", where=self._dataset.name, hint="Run: negmine run -c CONFIG")
        return tuple(
            Fetched.of(self._files / name, f"{self._dataset.name}/{name.rpartition('/')[2]}") for name in names
        )

    def update(self, split: str, tell: Tell) -> None:
        """Load the split unless it is there and cannot be another version by now.

        Raises InputError when there is no such split or dataset, MissingDependencyError without ``datasets``.
        """
        if self._is_fixed() and split in self._known():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a command that loads the same is waited for
            if self._known() != self._recorded():  # the library would trust what is left
                shutil.rmtree(self._files, ignore_errors=True)
            if split not in self._known():
                tell(f"loading {self._dataset.name} ({split})")
            with _errors_told(self._dataset, split):
                paths = _load(self._dataset, split, self._files)
            found = [[path.relative_to(self._files).as_posix(), path.stat().st_size] for path in paths]
            folders = {path.parent for path in paths}
            earlier = {
                other: files for other, files in self._known().items() if (self._files / files[0][0]).parent in folders
            }
            write_json(self._record, {"dataset": self._dataset.name, "splits": {**earlier, split: found}})
            self._remove_earlier(folders)

    def _is_fixed(self) -> bool:
        return _COMMIT.fullmatch(self._dataset.revision or "") is not None

    def _known(self) -> dict[str, list[Any]]:
        """Name and size of the files of each split that is there, and whole."""
        return {split: files for split, files in self._recorded().items() if files and all(map(self._is_whole, files))}

    def _recorded(self) -> dict[str, list[Any]]:
        with suppress(OSError, ArtifactError, KeyError, TypeError):
            return dict(read_json(self._record)["splits"])
        return {}

    def _is_whole(self, file: Any) -> bool:
        path = self._files / file[0]
        return path.is_file() and path.stat().st_size == file[1]

    def _remove_earlier(self, current: set[Path]) -> None:
        """Delete the files of versions that the dataset had before."""
        for folder in {path.parent for path in self._files.rglob("*.arrow")} - current:
            shutil.rmtree(folder, ignore_errors=True)


def _load(dataset: DatasetConfig, split: str, cache: Path) -> list[Path]:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError(
            f"it needs a package that is not installed ({error})",
            where="data.dataset",
            hint='Run: pip install "negmine[datasets]"',
        ) from None
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(
            dataset.name, dataset.config, split=split, revision=dataset.revision, cache_dir=os.fspath(cache)
        )
    finally:
        if shown:
            datasets.enable_progress_bars()
    return [Path(file["filename"]) for file in loaded.cache_files]


@contextmanager
def _errors_told(dataset: DatasetConfig, split: str) -> Iterator[None]:
    """Turn what the library raises into InputError; a full disk stays an OSError."""
    try:
        yield
    except NegmineError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        cause, hint = _told(error, dataset, split)
        raise InputError(cause, where=redacted(dataset.name), hint=hint) from error


def _told(error: Exception, dataset: DatasetConfig, split: str) -> tuple[str, str]:
    """What happened, and what to do about it."""
    said = redacted(" ".join(str(error).split("\nExample")[0].split()))
    names = {kind.__name__ for kind in type(error).__mro__}
    if "save_to_disk" in said:
        return "save_to_disk wrote this folder", f"Set data.pairs: {dataset.name} instead of data.dataset."
    if said.startswith("Unknown split"):
        splits = _QUOTED.findall(said)
        there = f"There are: {', '.join(splits)}. Set data.split." if splits else "Check data.split."
        return f"there is no split '{split}'", f"{nearest(split, splits)} {there}".strip()
    if "Config name is missing" in said or said.startswith("BuilderConfig"):
        there = ", ".join(_QUOTED.findall(said.rpartition("vailable")[2]))
        cause = "it has several configurations" if dataset.config is None else f"it has no config '{dataset.config}'"
        return cause, f"There are: {there}. Set data.dataset.config."
    cause, hint = f"datasets cannot load it ({type(error).__name__}: {said[:_SHOWN]})", "Check data.dataset."
    if "ConnectionError" in names or "OfflineModeIsEnabled" in names:
        cause = f"it cannot be reached ({said[:_SHOWN]})"
        hint = "Check the network, or data.dataset.name, and run the command again."
    elif "DatasetNotFoundError" in names or isinstance(error, FileNotFoundError):
        cause, hint = said.rstrip("."), "Check data.dataset.name."
    elif "DatasetBuildError" in names:
        inner = " ".join(str(error.__cause__ or error).split())
        cause = f"its files cannot be read as one table ({redacted(inner)[:_SHOWN]})"
        hint = "Fix them, or set data.pairs to those that are meant."
    return cause, hint
