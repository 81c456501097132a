"""Readers of one file, used on the several files of one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import data_suffix, is_blank
from negmine.readers.rows import NoRowsError, RowFile, check_same_columns, none_has_rows

_WITH_HEADER = (".csv", ".parquet", ".arrow", ".feather")
Batch = TypeVar("Batch")


def read_each(paths: Sequence[Path], read: Callable[[Path], Iterator[Batch]]) -> Iterator[Batch]:
    """Yield what ``read`` yields of each of some files, one after the other; several may include some without rows.

    Raises InputError when none has rows, or files that name their columns name different ones.
    """
    several, first, empty = len(paths) > 1, None, 0
    for path in paths:
        if several and is_blank(path):
            empty += 1
            continue
        if several and data_suffix(path) in _WITH_HEADER:
            file = RowFile(path, (), BadRows("skip"), may_be_empty=True)
            first = first or file
            check_same_columns(first, file)
        try:
            yield from read(path)
        except NoRowsError:
            empty += 1
            if not several:
                raise
    if several and empty == len(paths):
        raise none_has_rows(paths)
