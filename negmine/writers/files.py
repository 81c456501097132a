"""Tables as bytes: Parquet, JSON, or columns with a separator; in one file or in shards."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from negmine.config.exporting import EXPORT_SUFFIXES
from negmine.writers.delimited import DelimitedFile
from negmine.writers.json_lines import JsonDocumentFile, JsonLinesFile

_ROW_GROUP = 4096


class RowFile(Protocol):
    """A file that tables are appended to."""

    def write(self, table: pa.Table) -> None:
        """Append rows; texts are as ``encode`` left them."""

    def close(self) -> None:
        """No more rows."""

    def encode(self, texts: pa.Array) -> pa.Array:
        """Texts in the form ``write`` expects, so that a text used in many rows is encoded once."""


class ParquetFile:
    """Rows as Parquet, in row groups that do not depend on how the rows come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def encode(self, texts: pa.Array) -> pa.Array:
        return texts

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= _ROW_GROUP:
            self._flush(self._rows - self._rows % _ROW_GROUP)

    def _flush(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting)
        if self._writer is not None and rows:
            self._writer.write_table(table.slice(0, rows), row_group_size=_ROW_GROUP)
        self._waiting, self._rows = [table.slice(rows)], table.num_rows - rows

    def close(self) -> None:
        if self._writer is not None:
            self._flush(self._rows)
            self._writer.close()


class Sharded:
    """Rows over one or several files: ``train.jsonl``, or ``train-00000-of-00002.jsonl`` and so on."""

    def __init__(self, paths: list[Path], shard_rows: int | None, frame: tuple[str, str] | None = None) -> None:
        self._open: Callable[[Path], RowFile] = lambda path: open_rows(path, frame)
        self._paths = paths
        self._shard_rows = shard_rows
        self.rows = [0] * len(paths)
        self._number = 0
        self._last: pa.Table | None = None
        self._current = self._open(paths[0])

    def encode(self, texts: pa.Array) -> pa.Array:
        return self._current.encode(texts)

    def write(self, table: pa.Table) -> None:
        while self._shard_rows is not None and table.num_rows > self._shard_rows - self.rows[self._number]:
            room = self._shard_rows - self.rows[self._number]
            self._append(table.slice(0, room))
            table = table.slice(room)
            self._current.close()
            self._number += 1
            self._current = self._open(self._paths[self._number])
        self._append(table)

    def _append(self, table: pa.Table) -> None:
        # A table without rows only stands in for a file that would stay without any.
        self._last = table
        if table.num_rows:
            self._current.write(table)
            self.rows[self._number] += table.num_rows

    def __enter__(self) -> Sharded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.rows[self._number] and self._last is not None:
            self._current.write(self._last)
        self._current.close()


def open_rows(path: Path, frame: tuple[str, str] | None = None) -> RowFile:
    """A file of the kind its name asks for (its temporary name ends the same way); with ``frame`` a JSON document."""
    if frame is not None:
        return JsonDocumentFile(path, frame)
    if path.suffix == ".parquet":
        return ParquetFile(path)
    if path.suffix == ".tsv":
        return DelimitedFile(path, "\t", names=True)
    if path.suffix in (".trec", ".run", ".txt"):
        return DelimitedFile(path, " ", names=False)
    return JsonLinesFile(path)


def in_shards(path: str, name: str, shard_rows: int | None) -> bool:
    """Whether a file is an export of this ``name``, or one of its shards."""
    if shard_rows is None:
        return path == name
    ending = _ending(name)
    shard = rf"{re.escape(name.removesuffix(ending))}-\d{{5,}}-of-\d{{5,}}{re.escape(ending)}"
    return re.fullmatch(shard, path) is not None


def shard_names(name: str, rows: int, shard_rows: int | None) -> list[str]:
    """File names of an export of ``rows`` rows."""
    if shard_rows is None:
        return [name]
    ending = _ending(name)
    stem, count = name.removesuffix(ending), max(-(-rows // shard_rows), 1)
    return [f"{stem}-{number:05d}-of-{count:05d}{ending}" for number in range(count)]


def _ending(name: str) -> str:
    return next(each for each in EXPORT_SUFFIXES if name.endswith(each))
