"""A look at the beginning of a file, to see what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from negmine.errors import InputError
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import byte_lines, check_file, data_suffix
from negmine.readers.rows import RowFile

_LINES = 50


@dataclass(frozen=True)
class Look:
    """The name of a file and its columns; of .tsv files also the fields of the first lines as they are."""

    name: str
    names: tuple[str, ...] = ()
    lines: tuple[tuple[str, ...], ...] = ()


def look(path: Path) -> Look:
    """The beginning of a file; bad rows are left out.

    Raises InputError when it cannot be opened or has no rows; a .tsv file needs none that make a table.
    """
    check_file(path)
    stat = path.stat()
    return _look(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)  # a stage asks more than once, and a JSON array is read whole
def _look(path: Path, size: int, changed: int) -> Look:
    lines = _first_lines(path) if data_suffix(path) == ".tsv" else ()
    try:
        return Look(path.name, tuple(RowFile(path, (), BadRows("skip")).names), lines)
    except InputError:
        if not lines:
            raise
        return Look(path.name, lines=lines)


def column_names(paths: Sequence[Path]) -> list[str]:
    """Names of the columns of the first of some files that has rows; what is wrong with them is not told here."""
    for path in paths:
        try:
            return RowFile(path, (), BadRows("skip")).names
        except InputError:
            continue
    return []


def _first_lines(path: Path) -> tuple[tuple[str, ...], ...]:
    lines = (line.decode("utf-8", "replace").rstrip("\r") for _, _, line, _ in byte_lines(path))
    return tuple(tuple(line.split("\t")) for line in islice((line for line in lines if line.strip()), _LINES))
