"""The files of one table: a file, a glob, a folder of shards, or a dataset that was saved to disk."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negmine.errors import InputError, nearest
from negmine.readers.lines import AGAIN, data_suffix, is_compressed

_PATTERN = re.compile(r"[*?\[]")
_NO_DATA = re.compile(r"[._].*|(README|LICENSE)(\..*)?|(dataset_infos?|dataset_dict|state)\.json", re.IGNORECASE)
_SHOWN = 6  # names in a message
_SAVED, _SPLITS = "state.json", "dataset_dict.json"


@dataclass(frozen=True)
class Found:
    """The files of a table, in the order in which they are read, and whether the split decided which they are."""

    paths: tuple[Path, ...]
    by_split: bool = False


def table_files(text: str, key: str, split: str) -> Found:
    """The files that ``text``, the value of the config ``key``, names on this machine.

    A path that is there is never a glob. Raises InputError when a folder or glob holds no files of one kind.
    """
    path = Path(text)
    if os.path.isdir(text):  # noqa: PTH112 (unlike Path.is_dir, false for what no file system could hold)
        return _in_folder(path, key, split)
    if _PATTERN.search(text) and not os.path.lexists(text):
        return Found(_matches(text, key))
    return Found((path,))


def is_pattern(text: str) -> bool:
    """Whether this may be a glob."""
    return bool(_PATTERN.search(text))


def natural(path: str) -> list[tuple[list[tuple[str, int]], str]]:
    """A key that sorts paths as people do, folder by folder: ``part-2`` before ``part-10``."""
    return [(_numbers(name), name) for name in path.split("/")]


def _numbers(name: str) -> list[tuple[str, int]]:
    return [(text, int(number or -1)) for text, number in re.findall(r"([^0-9]*)([0-9]*)", name)]


def check_one_kind(paths: Sequence[Path], where: str, key: str) -> None:
    """Raise InputError unless the files of a folder or glob are of one kind, each there once."""
    by_kind: dict[str, Path] = {}
    by_name: dict[str, Path] = {}
    for path in paths:
        by_kind.setdefault(data_suffix(path), path)
        plain = str(path.with_suffix("")) if is_compressed(path) else str(path)
        if plain in by_name:
            cause = f"{by_name[plain].name} and {path.name} seem to be the same data"
            raise InputError(cause, where=where, hint=f"Remove one of them, or list the files in {key}.")
        by_name[plain] = path
    if len(by_kind) > 1:
        cause = f"there are files of {len(by_kind)} kinds: {_names([path.name for path in by_kind.values()])}"
        place = where if is_pattern(where) else f"{where}/*{next(iter(by_kind))}"
        hint = f"Name those that are meant in {key} by a narrower pattern or as a list."
        if place != where:
            hint = f"Name those that are meant, such as {key}: {place}, or move the others elsewhere."
        raise InputError(cause, where=where, hint=hint)


def _matches(pattern: str, key: str) -> tuple[Path, ...]:
    found = [Path(name) for name in glob.glob(pattern, recursive=True) if os.path.isfile(name)]  # noqa: PTH113, PTH207
    paths = sorted((path for path in found if not _NO_DATA.fullmatch(path.name)), key=_order)
    if not paths:
        raise InputError("no file matches this pattern", where=pattern, hint=_instead(pattern, key))
    check_one_kind(paths, pattern, key)
    return tuple(paths)


def _order(path: Path) -> Any:
    return natural(str(path))


def _instead(pattern: str, key: str) -> str:
    """What there is where a glob finds nothing."""
    folder = Path(pattern)
    while is_pattern(str(folder)):
        missing, folder = folder.name, folder.parent
    if not folder.is_dir():
        return f"The folder {folder} does not exist. Check {key}."
    there = sorted((path.name for path in folder.iterdir()), key=natural)
    close = nearest(missing, there)
    return f"{close or f'{folder} holds: {_names(there)}.'} Check {key}." if there else f"{folder} is empty."


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _in_folder(folder: Path, key: str, split: str) -> Found:
    if (folder / _SPLITS).is_file():
        splits = [str(name) for name in _listed(folder / _SPLITS, "splits")]
        if split not in splits:
            there = f"There are: {_names(splits)}. Set data.split, or {key} to the folder of one of them."
            hint = " ".join(filter(None, [nearest(split, splits), there]))
            raise InputError(f"there is no split '{split}'", where=str(folder), hint=hint)
        return Found(_saved(folder / split), by_split=True)
    if (folder / _SAVED).is_file():
        return Found(_saved(folder))
    entries = sorted((path for path in _entries(folder, key) if not _NO_DATA.fullmatch(path.name)), key=_order)
    folders = [f"{path.name}/" for path in entries if path.is_dir()]
    if not entries:
        cause = "there are no data files in this folder"
        raise InputError(cause, where=str(folder), hint=f"Check {key}.")
    if folders:
        raise InputError(
            f"there are folders in this folder: {_names(folders)}",
            where=str(folder),
            hint=f"Name the files that are meant, such as {key}: {folder}/**/*.jsonl.",
        )
    check_one_kind(entries, str(folder), key)
    return Found(tuple(entries))


def _entries(folder: Path, key: str) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        cause = f"this folder cannot be read: {error.strerror}"
        raise InputError(cause, where=str(folder), hint=f"Check {key}.") from error


def _saved(folder: Path) -> tuple[Path, ...]:
    """The files of a dataset that ``Dataset.save_to_disk`` wrote, in order."""
    state = folder / _SAVED
    if not state.is_file():
        raise InputError(f"there is no {_SAVED} in this split of a dataset", where=str(folder), hint=AGAIN)
    if _listed(state, "_indices_data_files") or _listed(state, "_indices_files"):
        raise InputError(
            "this dataset was saved with a selection of its rows apart from them",
            where=str(folder),
            hint="Call flatten_indices() on the dataset before save_to_disk().",
        )
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in _listed(state, "_data_files")]
    if not names or not all(isinstance(name, str) for name in names):
        raise InputError("it names no data files", where=str(state), hint="Save the dataset again.")
    paths = tuple(folder / str(name) for name in names)
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        cause = f"{missing.name} is not there, which {_SAVED} names"
        raise InputError(cause, where=str(folder), hint="Copy the whole folder again.")
    return paths


def _listed(file: Path, name: str) -> list[Any]:
    """A list in a JSON file of metadata; empty when it is not there."""
    try:
        value = json.loads(file.read_bytes()).get(name)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError("this is not the JSON that datasets writes", where=str(file), hint=AGAIN) from error
    return value if isinstance(value, list) else []
