"""Tables as bytes: Parquet, or JSON Lines plain or compressed."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}


class RowFile(Protocol):
    """A file that tables are appended to."""

    def write(self, table: pa.Table) -> None:
        """Append rows; texts are as ``encode`` left them."""

    def close(self) -> None:
        """No more rows."""

    def encode(self, texts: pa.Array) -> pa.Array:
        """Texts in the form ``write`` expects, so that a text used in many rows is encoded once."""


class ParquetFile:
    """Rows as Parquet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def encode(self, texts: pa.Array) -> pa.Array:
        return texts

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class JsonLinesFile:
    """Rows as one JSON object a line, assembled column by column."""

    def __init__(self, path: Path, suffix: str) -> None:
        self._file = pa.OSFile(str(path), "wb")
        compression = _COMPRESSION.get(suffix)
        self._stream = pa.CompressedOutputStream(self._file, compression) if compression else self._file

    def encode(self, texts: pa.Array) -> pa.Array:
        """Each text as a JSON string."""
        return pa.array([orjson.dumps(text).decode() for text in texts.to_pylist()], pa.large_string())

    def write(self, table: pa.Table) -> None:
        if not table.num_rows:
            return
        pieces: list[pa.Array | pa.Scalar] = []
        opening = "{"
        for name in table.column_names:
            pieces.append(_scalar(f'{opening}"{name}":'))
            pieces.append(_fragments(table[name]))
            opening = ","
        lines = pc.binary_join_element_wise(*pieces, _scalar("}\n"), _scalar(""))
        for chunk in lines.chunks if isinstance(lines, pa.ChunkedArray) else [lines]:
            self._stream.write(_bytes(chunk))

    def close(self) -> None:
        if self._stream is not self._file:
            self._stream.close()
        self._file.close()


def _scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _fragments(column: pa.ChunkedArray) -> pa.Array:
    """A column as JSON: encoded texts as they are, numbers as text, lists in brackets."""
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    kind = values.type
    if pa.types.is_large_list(kind):
        empty = not len(values.values)
        inner = values.values.cast(pa.large_string()) if empty else _fragments(pa.chunked_array([values.values]))
        joined = pc.binary_join(pa.LargeListArray.from_arrays(values.offsets, inner), _scalar(","))
        return pc.binary_join_element_wise(_scalar("["), joined, _scalar("]"), _scalar(""))
    return values if pa.types.is_large_string(kind) else values.cast(pa.large_string())


def _bytes(strings: pa.Array) -> memoryview:
    """The characters of a large_string array, one string after the other."""
    offsets = memoryview(strings.buffers()[1]).cast("q")
    first, last = offsets[strings.offset], offsets[strings.offset + len(strings)]
    return memoryview(strings.buffers()[2])[first:last]


class Sharded:
    """Rows over one or several files: ``train.jsonl``, or ``train-00000-of-00002.jsonl`` and so on."""

    def __init__(self, paths: list[Path], shard_rows: int | None) -> None:
        self._paths = paths
        self._shard_rows = shard_rows
        self.rows = [0] * len(paths)
        self._number = 0
        self._last: pa.Table | None = None
        self._current = open_rows(paths[0])

    def encode(self, texts: pa.Array) -> pa.Array:
        return self._current.encode(texts)

    def write(self, table: pa.Table) -> None:
        while self._shard_rows is not None and table.num_rows > self._shard_rows - self.rows[self._number]:
            room = self._shard_rows - self.rows[self._number]
            self._append(table.slice(0, room))
            table = table.slice(room)
            self._current.close()
            self._number += 1
            self._current = open_rows(self._paths[self._number])
        self._append(table)

    def _append(self, table: pa.Table) -> None:
        # A table without rows may lack columns that others have; it only stands in for a file
        # that would stay without any.
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


def open_rows(path: Path) -> RowFile:
    """A file of the kind its name asks for (its temporary name ends the same way)."""
    if path.suffix == ".parquet":
        return ParquetFile(path)
    return JsonLinesFile(path, path.suffix)


def shard_names(name: str, rows: int, shard_rows: int | None) -> list[str]:
    """File names of an export of ``rows`` rows."""
    if shard_rows is None:
        return [name]
    stem, dot, suffix = name.partition(".jsonl") if ".jsonl" in name else name.rpartition(".parquet")
    if not dot:
        stem, dot, suffix = name.removesuffix(".parquet"), ".parquet", ""
    count = max(-(-rows // shard_rows), 1)
    return [f"{stem}-{number:05d}-of-{count:05d}{dot}{suffix}" for number in range(count)]
