"""Rows of any supported file as dictionaries, with their line (or row) numbers."""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from negmine.errors import InputError, Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import byte_lines, check_file, data_suffix, text_lines

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
Row = tuple[int, dict[str, Any]]

_ROWS = 4096


class RowFile:
    """A data file: its columns where the format names them up front, and its rows.

    Numbers of rows are lines of the file, or row numbers (from 1) for Parquet and JSON arrays.
    """

    def __init__(self, path: Path, bad_rows: BadRows) -> None:
        check_file(path)
        self.path = path
        self._bad_rows = bad_rows
        self._suffix = data_suffix(path)
        if self._suffix not in SUFFIXES:
            raise InputError(
                f"files ending in '{path.suffix}' are not supported",
                where=str(path),
                hint=f"Use one of {', '.join(SUFFIXES)}, also with .gz or .zst.",
            )
        self.counts_rows = self._suffix == ".parquet"

    def where(self, number: int, column: str | None = None) -> Where:
        """The place of a field in a row."""
        if self.counts_rows:
            return Where(str(self.path), row=number, column=column)
        return Where(str(self.path), number, column)

    def batches(self) -> Iterator[list[Row]]:
        """Yield rows in lists of some thousands. Raises InputError when there are none."""
        rows = self._rows()
        empty = True
        while batch := list(itertools.islice(rows, _ROWS)):
            empty = False
            yield batch
        if empty and not len(self._bad_rows):
            raise InputError("this file has no rows", where=str(self.path))

    def _rows(self) -> Iterator[Row]:
        if self._suffix == ".parquet":
            return self._parquet()
        if self._suffix in (".csv", ".tsv"):
            return self._delimited("," if self._suffix == ".csv" else "\t")
        if self._suffix == ".json":
            first = next((line.lstrip()[:1] for _, _, line in byte_lines(self.path) if line.strip()), b"")
            if first == b"[":
                return self._array()
        return self._json_lines()

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
                self._bad_rows.reject(Where(str(self.path), number), "this line is not a JSON object")
                continue
            yield number, value

    def _bad_json(self, number: int, offset: int, line: bytes, error: orjson.JSONDecodeError) -> None:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as bad:
            column = len(line[: bad.start].decode("utf-8", "replace")) + 1
            where = Where(str(self.path), number, column, byte=offset + bad.start)
            self._bad_rows.reject(where, "this is not UTF-8 text")
            return
        where = Where(str(self.path), number, error.colno)
        cause = error.msg.split(":")[0]
        if error.pos >= len(line.decode("utf-8").rstrip()) - 1 and not line.rstrip().endswith(b"}"):
            cause = f"the row ends in the middle ({cause})"
        self._bad_rows.reject(where, f"this is not JSON: {cause}")

    def _array(self) -> Iterator[Row]:
        data = b"\n".join(line for _, _, line in byte_lines(self.path))
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise InputError(
                f"this is not JSON: {error.msg.split(': line')[0]}", where=Where(str(self.path), error.lineno, error.colno)
            ) from error
        self.counts_rows = True
        for number, value in enumerate(values, 1):
            if type(value) is not dict:
                self._bad_rows.reject(self.where(number), "this element of the array is not an object")
            else:
                yield number, value

    def _delimited(self, separator: str) -> Iterator[Row]:
        csv.field_size_limit(sys.maxsize)
        lines = _decoded(self.path)
        reader = csv.reader(lines, delimiter=separator, strict=True)
        header: list[str] | None = None
        start = 1
        try:
            for record in reader:
                number, start = start, reader.line_num + 1
                if not record or record == [""]:
                    continue
                if header is None:
                    header = record
                    twice = next((name for name in header if header.count(name) > 1), None)
                    if twice is not None:
                        raise InputError(f"the column '{twice}' is there twice", where=Where(str(self.path), number))
                    continue
                if len(record) != len(header):
                    cause = f"this row has {len(record)} fields and the header {len(header)}"
                    self._bad_rows.reject(Where(str(self.path), number), cause)
                    continue
                yield number, dict(zip(header, record, strict=True))
        except csv.Error as error:
            cause = "the file ends inside a quoted field" if "unexpected end" in str(error) else str(error)
            raise InputError(f"this row cannot be read: {cause}", where=Where(str(self.path), start)) from error

    def _parquet(self) -> Iterator[Row]:
        try:
            file = pq.ParquetFile(self.path)
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"this is no readable Parquet file ({str(error).splitlines()[0]})", where=str(self.path)
            ) from error
        number = 0
        with file:
            try:
                for batch in file.iter_batches(batch_size=_ROWS, use_threads=False):
                    for value in batch.to_pylist():
                        number += 1
                        yield number, value
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                cause = str(error).splitlines()[0]
                raise InputError(f"this Parquet file is damaged ({cause})", where=str(self.path)) from error


def _decoded(path: Path) -> Iterator[str]:
    for number, offset, line in byte_lines(path):
        try:
            yield line.decode("utf-8") + "\n"
        except UnicodeDecodeError as error:
            # A quoted field may span lines, so a bad line cannot be skipped alone.
            column = len(line[: error.start].decode("utf-8", "replace")) + 1
            where = Where(str(path), number, column, byte=offset + error.start)
            raise InputError("this is not UTF-8 text", where=where) from error


def tab_separated(path: Path, bad_rows: BadRows) -> Iterator[tuple[int, Sequence[str]]]:
    """Lines cut at tabs, or at any white space when there is no tab; quotes mean nothing."""
    for number, text in text_lines(path, bad_rows):
        fields = text.split("\t") if "\t" in text else text.split()
        yield number, [field.strip() for field in fields]


