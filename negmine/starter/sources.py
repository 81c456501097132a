"""The tables that lie in a folder: files, shards of one table, folders of shards, saved datasets."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from negmine.errors import InputError
from negmine.readers.files import natural, table_files
from negmine.readers.lines import data_suffix
from negmine.readers.peeking import look
from negmine.readers.rows import SUFFIXES

_NUMBERED = re.compile(r"(?P<name>.*?)(?P<number>[0-9]+)(?P<of>-of-[0-9]+)?")
_QRELS_SUFFIXES = ("", ".txt", ".qrels", ".trec")
_NO_DATA = (".", "_", "readme", "license")
_STATE, _SPLITS = "state.json", "dataset_dict.json"  # what `datasets` writes beside the rows
_COMPARED = 4  # shards at either end whose columns are compared


@dataclass(frozen=True)
class Source:
    """A table: ``value`` is what a config key is set to, ``paths`` are its files in order.

    ``splits`` are those of a saved dataset; ``paths`` are then the files of ``split``, which is '' when it is
    not clear which one to take.
    """

    value: str
    paths: tuple[Path, ...]
    nested: bool = False
    splits: tuple[str, ...] = ()
    split: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether ``value`` names a folder, and neither a file nor a glob."""
        return "*" not in self.value and not self.value.endswith(self.paths[0].name)


def sources_in(folder: Path) -> list[Source]:
    """The tables of a folder and of the folders in it, by name. Raises InputError for a damaged saved dataset."""
    if is_saved(folder):
        return [_saved(folder, ".")]
    found = _tables(folder)
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if inner.name.lower().startswith(_NO_DATA):
            continue
        found += [_saved(inner, inner.name)] if is_saved(inner) else _whole_or_parts(inner)
    return found


def file_source(path: Path) -> Source:
    """A single file as a table."""
    return Source(path.name, (path,))


def is_saved(folder: Path) -> bool:
    """Whether the folder is a dataset that ``save_to_disk`` wrote."""
    return (folder / _STATE).is_file() or (folder / _SPLITS).is_file()


def _saved(folder: Path, value: str) -> Source:
    splits = sorted(path.parent.name for path in folder.glob(f"*/{_STATE}")) if (folder / _SPLITS).is_file() else []
    split = "train" if "train" in splits or not splits else splits[0] if len(splits) == 1 else ""
    paths = table_files(str(folder), "data.pairs", split or splits[0]).paths
    return Source(value, paths, value != ".", tuple(splits), split)


def _whole_or_parts(folder: Path) -> list[Source]:
    """The tables of a folder in the folder; the folder itself when all its files are one."""
    found = [Source(f"{folder.name}/{source.value}", source.paths, nested=True) for source in _tables(folder)]
    if len(found) == 1 and len(found[0].paths) > 1:
        try:
            whole = table_files(str(folder), "data.pairs", "train").paths
        except InputError:
            return found
        if whole == found[0].paths:
            return [Source(folder.name, whole, nested=True)]
    return found


def _tables(folder: Path) -> list[Source]:
    """The tables among the files of a folder."""
    groups: dict[tuple[str, str, str], list[Path]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural(path.name)):
        if path.is_file() and not path.name.lower().startswith(_NO_DATA) and _may_be_table(path):
            groups.setdefault(_family(path), []).append(path)
    found = [source for family, paths in groups.items() for source in _grouped(folder, family, paths)]
    return sorted(found, key=lambda source: source.value)


def _may_be_table(path: Path) -> bool:
    return data_suffix(path) in SUFFIXES or (data_suffix(path) in _QRELS_SUFFIXES and "qrel" in path.name.lower())


def _family(path: Path) -> tuple[str, str, str]:
    """What shards of one table have in common: the text before their number, ``-of-N``, the ending."""
    suffix = data_suffix(path)
    at = path.name.lower().rindex(suffix) if suffix else len(path.name)
    match = _NUMBERED.fullmatch(path.name[:at])
    if match is None:
        return path.name, "", ""
    return match["name"], match["of"] or "", path.name[at:]


def _grouped(folder: Path, family: tuple[str, str, str], paths: list[Path]) -> Iterator[Source]:
    """Files with the same name but for a number, as one table if they have the same columns, or else apart."""
    name, of, ending = family
    if len(paths) > 1 and (of or _alike(paths)):
        for number in ("*", "[0-9]*"):
            pattern = f"{glob.escape(name)}{number}{of}{ending}"
            if sorted(folder.glob(pattern)) == sorted(paths):
                yield Source(pattern, tuple(paths))
                return
    for path in paths:
        yield file_source(path)


def _alike(paths: Iterable[Path]) -> bool:
    """Whether files have the same columns, as far as one looks."""
    listed = list(paths)
    try:
        columns = {tuple(sorted(look(path).names)) for path in (*listed[:_COMPARED], *listed[-_COMPARED:])}
    except InputError:
        return False
    return len(columns) == 1
