"""Rows of any supported file as dictionaries, with their line (or row) numbers."""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from negmine.errors import InputError, Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import NOT_UTF8, bad_byte, byte_lines, check_file, data_suffix
from negmine.readers.parquet import check_names, column_names, open_parquet, parquet_batches, readable

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
Row = tuple[int, dict[str, Any]]

_ROWS = 2048


class RowFile:
    """A data file: the names of its columns, and its rows.

    Numbers of rows are lines of the file, or row numbers (from 1) for Parquet and JSON arrays.
    JSON objects name their own columns: those of the first rows count.
    """

    def __init__(self, path: Path, columns: Sequence[str], bad_rows: BadRows) -> None:
        """Open the file and read its first rows; other columns than ``columns`` need not be read.

        Raises InputError when there are no rows, or a bad one.
        """
        check_file(path)
        self.path = path
        self._columns = columns
        self._bad_rows = bad_rows
        self._counts_rows = False
        self.names: list[str] = []
        self.start = Where(str(path))
        """Where the names of the columns are."""
        before = len(bad_rows)
        self._rows = self._reader()
        self._first = list(itertools.islice(self._rows, _ROWS))
        if not self._first and len(bad_rows) == before:
            raise InputError("this file has no rows", where=str(path))
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
        first = next((line for _, _, line in byte_lines(self.path) if line.strip()), b"")
        return first.lstrip().startswith(b"[")

    def _json_lines(self) -> Iterator[Row]:
        for number, offset, line in byte_lines(self.path):
            if not line or line.isspace():
                continue
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                self._bad_json(number, offset, line, error)
                continue
            if type(value) is not dict:
                self._bad_rows.reject(self.where(number), "this line is not a JSON object")
                continue
            yield number, value

    def _bad_json(self, number: int, offset: int, line: bytes, error: orjson.JSONDecodeError) -> None:
        try:
            text = line.decode("utf-8").rstrip()
        except UnicodeDecodeError as bad:
            self._bad_rows.reject(bad_byte(self.path, number, offset, bad), NOT_UTF8)
            return
        cause = f"this is not JSON: {error.msg}"
        if error.pos >= len(text):
            cause = f"the row ends in the middle: {error.msg}"
        self._bad_rows.reject(Where(str(self.path), number, error.colno), cause)

    def _array(self) -> Iterator[Row]:
        self._counts_rows = True
        # Decoded by line, so that a bad byte is found where it is.
        text = "".join(_decoded_lines(self.path)).rstrip()
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            where = Where(str(self.path), error.lineno, error.colno)
            raise InputError(f"this is not JSON: {error.msg}", where=where) from error
        for number, value in enumerate(values, 1):
            if type(value) is not dict:
                self._bad_rows.reject(self.where(number), "this element of the array is not an object")
            else:
                yield number, value

    def _delimited(self, separator: str) -> Iterator[Row]:
        records = self._records(separator)
        for number, header in records:
            self.names, self.start = header, Where(str(self.path), number)
            check_names(header, self.start)
            break
        for number, record in records:
            if len(record) == len(self.names):
                yield number, dict(zip(self.names, record, strict=True))
            else:
                cause = f"this row has {len(record)} fields and the header has {len(self.names)}"
                self._bad_rows.reject(self.where(number), cause)

    def _records(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """Lines (or several, where quotes hold them together) as fields; blank ones are left out."""
        csv.field_size_limit(sys.maxsize)
        reader = csv.reader(_decoded_lines(self.path), delimiter=separator, strict=True)
        start = 1
        try:
            for record in reader:
                if len(record) > 1 or (record and record[0].strip()):
                    yield start, record
                start = reader.line_num + 1
        except csv.Error as error:
            raise InputError(
                f"this row cannot be read: {_csv_cause(str(error))}",
                where=self.where(start),
                hint='A field that begins with a quote must end with one, and quotes inside it are doubled ("").',
            ) from error

    def _parquet(self) -> Iterator[Row]:
        self._counts_rows = True
        with open_parquet(self.path) as file:
            self.names = column_names(self.path, file.schema_arrow)
        wanted = [name for name in self.names if name in self._columns]
        number = 0
        for batch in parquet_batches(self.path, wanted or self.names[:1], _ROWS):
            with readable(self.path):
                rows = batch.to_pylist()
            for row in rows:
                number += 1
                yield number, row


def _decoded_lines(path: Path) -> Iterator[str]:
    """Lines with their ends, for formats whose rows may span several: a bad one cannot be skipped alone."""
    for number, offset, line in byte_lines(path):
        try:
            yield line.decode("utf-8") + "\n"
        except UnicodeDecodeError as error:
            raise InputError(NOT_UTF8, where=bad_byte(path, number, offset, error)) from error


def _csv_cause(message: str) -> str:
    if "unexpected end" in message:
        return "the file ends inside a quoted field"
    if "new-line character" in message:
        return "there is a carriage return outside quotes"
    return message
