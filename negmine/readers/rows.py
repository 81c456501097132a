"""Rows of any supported file as dictionaries, with their line (or row) numbers."""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from negmine.errors import InputError, Where
from negmine.readers.arrow import arrow_batches, arrow_schema
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import (
    NOT_UTF8,
    SAVE_AS_UTF8,
    bad_byte,
    byte_lines,
    check_file,
    cut_short,
    data_suffix,
    is_blank,
)
from negmine.readers.parquet import check_names, column_names, open_parquet, parquet_batches, readable

_ARROW_SUFFIXES = (".arrow", ".feather")
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", *_ARROW_SUFFIXES)
Row = tuple[int, dict[str, Any]]

_ROWS = 2048


class NoRowsError(InputError):
    """A file is a table without rows."""


class RowFile:
    """A data file: the names of its columns, and its rows.

    Numbers of rows are lines of the file, or row numbers (from 1) for Parquet and JSON arrays.
    JSON objects name their own columns: those of the first rows count.
    """

    def __init__(self, path: Path, columns: Sequence[str], bad_rows: BadRows, *, may_be_empty: bool = False) -> None:
        """Open the file and read its first rows; other columns than ``columns`` need not be read.

        Raises InputError when there are no rows (unless it ``may_be_empty``), or a bad one.
        """
        check_file(path)
        self.path = path
        self._columns = columns
        self._bad_rows = bad_rows
        self._counts_rows = False
        self.has_header = False
        """Whether the names of the columns are a part of the file, and hold for all its rows."""
        self.names: list[str] = []
        self.start = Where(str(path))
        """Where the names of the columns are."""
        before = len(bad_rows)
        self._rows = self._reader()
        self._first = list(itertools.islice(self._rows, _ROWS))
        if not self._first and len(bad_rows) == before and not may_be_empty:
            raise NoRowsError("this file has no rows", where=str(path), hint="Check the path, or write the file again.")
        if self._first and not self.names:
            self.names = list(dict.fromkeys(name for _, row in self._first for name in row))
            self.start = self.where(self._first[0][0])

    def where(self, number: int) -> Where:
        """The place of a row."""
        if self._counts_rows:
            return Where(str(self.path), row=number)
        return Where(str(self.path), number)

    def batches(self) -> Iterator[list[Row]]:
        """Yield the rows in lists of some thousands, once."""
        batch, self._first = self._first, []
        while batch:
            yield batch
            batch = list(itertools.islice(self._rows, _ROWS))

    def _reader(self) -> Iterator[Row]:
        suffix = data_suffix(self.path)
        if suffix == ".parquet":
            return self._parquet()
        if suffix in _ARROW_SUFFIXES:
            return self._table(arrow_schema(self.path), arrow_batches)
        if suffix in (".csv", ".tsv"):
            return self._delimited("," if suffix == ".csv" else "\t")
        if suffix == ".json":
            return self._array() if self._begins_array() else self._json_lines()
        if suffix in (".jsonl", ".ndjson"):
            return self._json_lines()
        raise InputError(
            f"files ending in '{suffix}' are not supported" if suffix else "no suffix tells the format of this file",
            where=str(self.path),
            hint=f"Use one of {', '.join(SUFFIXES)}, also with .gz or .zst.",
        )

    def _begins_array(self) -> bool:
        first = next((line for _, _, line, _ in byte_lines(self.path) if line.strip()), b"")
        return first.lstrip().startswith(b"[")

    def _json_lines(self) -> Iterator[Row]:
        for number, offset, line, ended in byte_lines(self.path):
            if not line or line.isspace():
                continue
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                self._bad_json(number, offset, line, ended, error)
                continue
            if type(value) is not dict:
                self._bad_rows.reject(self.where(number), "this line is not a JSON object")
                continue
            yield number, value

    def _bad_json(self, number: int, offset: int, line: bytes, ended: bool, error: orjson.JSONDecodeError) -> None:
        try:
            text = line.decode("utf-8").rstrip()
        except UnicodeDecodeError as bad:
            where = bad_byte(self.path, number, offset, bad)
            if not ended and bad.reason == "unexpected end of data":
                raise cut_short(where) from error
            self._bad_rows.reject(where, NOT_UTF8)
            return
        where, cause = Where(str(self.path), number, error.colno), f"this is not JSON: {error.msg}"
        if error.pos >= len(text):
            if not ended:
                raise cut_short(where) from error
            cause = f"the row ends in the middle: {error.msg}"
        self._bad_rows.reject(where, cause)

    def _array(self) -> Iterator[Row]:
        self._counts_rows = True
        # Decoded by line, so that a bad byte is found where it is.
        text = "".join(_decoded_lines(self.path)).rstrip()
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            where = Where(str(self.path), error.lineno, error.colno)
            raise InputError(f"this is not JSON: {error.msg}", where=where, hint=_ARRAY) from error
        for number, value in enumerate(values, 1):
            if type(value) is not dict:
                self._bad_rows.reject(self.where(number), "this element of the array is not an object")
            else:
                yield number, value

    def _delimited(self, separator: str) -> Iterator[Row]:
        records = self._records(separator)
        for number, header, _ in records:
            self.names, self.start, self.has_header = header, Where(str(self.path), number), True
            check_names(header, self.start)
            break
        for number, record, ended in records:
            if len(record) == len(self.names):
                yield number, dict(zip(self.names, record, strict=True))
            elif len(record) < len(self.names) and not ended:
                raise cut_short(self.where(number))
            else:
                cause = f"this row has {len(record)} fields and the header has {len(self.names)}"
                self._bad_rows.reject(self.where(number), cause)

    def _records(self, separator: str) -> Iterator[tuple[int, list[str], bool]]:
        """Lines (or several, where quotes hold them together) as fields, and whether the last had an end.

        Blank lines are left out. What cannot be read is a bad row, but for the header.
        """
        csv.field_size_limit(sys.maxsize)
        lines = _Decoded(self.path)
        reader = csv.reader(lines, delimiter=separator, strict=True)
        while True:
            start = reader.line_num + 1
            try:
                record = next(reader, None)
            except csv.Error as error:
                cause = _csv_cause(str(error))
                if not self.names or cause == _OPEN_QUOTE:
                    cause = f"this row cannot be read: {cause}"
                    raise InputError(cause, where=self.where(start), hint=_QUOTES) from error
                self._bad_rows.reject(self.where(start), f"this row cannot be read: {cause}. {_QUOTES}".rstrip("."))
                continue
            if record is None:
                return
            if lines.bad is not None:
                if not self.names:
                    raise InputError(NOT_UTF8, where=lines.bad, hint=SAVE_AS_UTF8)
                self._bad_rows.reject(lines.bad, NOT_UTF8)
                lines.bad = None
            elif len(record) > 1 or (record and record[0].strip()):
                yield start, record, lines.ended

    def _parquet(self) -> Iterator[Row]:
        with open_parquet(self.path) as file:
            schema = file.schema_arrow
        return self._table(schema, parquet_batches)

    def _table(self, schema: Any, read: Callable[[Path, Sequence[str], int], Iterator[Any]]) -> Iterator[Row]:
        self._counts_rows = True
        self.names, self.has_header = column_names(self.path, schema), True
        wanted = [name for name in self.names if name in self._columns]
        number = 0
        for batch in read(self.path, wanted or self.names[:1], _ROWS):
            with readable(self.path, "Parquet" if read is parquet_batches else "Arrow"):
                rows = batch.to_pylist()
            for row in rows:
                number += 1
                yield number, row


def row_batches(
    paths: Sequence[Path], columns: Sequence[str], bad_rows: BadRows
) -> Iterator[tuple[RowFile, list[Row]]]:
    """Yield the rows of the files of one table in lists of some thousands, one file after the other.

    No list is empty. Files that name their columns (CSV, Parquet, ...) must all name the same; JSON objects name
    their own, so what is looked for has to be checked whenever the ``RowFile`` is another one.
    Some of several files may have no rows. Raises InputError when none has, and for bad rows unless they are skipped.
    """
    several, first = len(paths) > 1, None
    before, found = len(bad_rows), False
    for path in paths:
        if several and is_blank(path):
            continue
        file = RowFile(path, columns, bad_rows, may_be_empty=several)
        if file.has_header:
            first = first or file
            check_same_columns(first, file)
        for batch in file.batches():
            found = True
            yield file, batch
    if not found and len(bad_rows) == before:
        raise none_has_rows(paths)


def none_has_rows(paths: Sequence[Path]) -> InputError:
    """The error for files that are all without rows."""
    cause = f"none of these {len(paths)} files has rows"
    return InputError(cause, where=f"{paths[0]} ...", hint="Check the path, or write the files again.")


def check_same_columns(first: RowFile, file: RowFile) -> None:
    """Raise InputError unless two files that name their columns name the same."""
    missing = [name for name in first.names if name not in file.names]
    added = [name for name in file.names if name not in first.names]
    if missing or added:
        what = [f"there is no '{name}'" for name in missing[:3]] + [f"'{name}' is only here" for name in added[:3]]
        raise InputError(
            f"the columns are not those of {first.path}: {', '.join(what)}",
            where=file.start,
            hint="Files that are read as one table have the same columns.",
        )


def _decoded_lines(path: Path) -> Iterator[str]:
    """Lines with their ends, for formats whose rows may span several: a bad one cannot be skipped alone."""
    for number, offset, line, _ in byte_lines(path):
        try:
            yield line.decode("utf-8") + "\n"
        except UnicodeDecodeError as error:
            raise InputError(NOT_UTF8, where=bad_byte(path, number, offset, error), hint=SAVE_AS_UTF8) from error


class _Decoded:
    """Lines with their ends, for rows that may span several; ``bad`` is where the first bad byte was."""

    def __init__(self, path: Path) -> None:
        self.bad: Where | None = None
        self.ended = True
        self._path = path
        self._lines = byte_lines(path)

    def __iter__(self) -> _Decoded:
        return self

    def __next__(self) -> str:
        number, offset, line, self.ended = next(self._lines)
        try:
            return line.decode("utf-8") + "\n"
        except UnicodeDecodeError as error:
            self.bad = self.bad or bad_byte(self._path, number, offset, error)
            return line.decode("utf-8", "replace") + "\n"


_ARRAY = "A .json file is one array of objects: write it again, or as .jsonl with an object on each line."
_OPEN_QUOTE = "the file ends inside a quoted field"
_QUOTES = 'A field that begins with a quote must end with one, and quotes inside it are doubled ("").'


def _csv_cause(message: str) -> str:
    if "unexpected end" in message:
        return _OPEN_QUOTE
    if "new-line character" in message:
        return "there is a carriage return outside quotes"
    return message.replace("'\t'", "a tab")
