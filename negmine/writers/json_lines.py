"""Rows as JSON, assembled column by column: one object a line, or the rows of one document."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}


class JsonLinesFile:
    """One JSON object a line, plain or compressed."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path), "wb")
        compression = _COMPRESSION.get(path.suffix)
        self._stream = pa.CompressedOutputStream(self._file, compression) if compression else self._file

    def encode(self, texts: pa.Array) -> pa.Array:
        """Each text as a JSON string."""
        return pa.array([orjson.dumps(text).decode() for text in texts.to_pylist()], pa.large_string())

    def write(self, table: pa.Table) -> None:
        if table.num_rows:
            rows = pa.StructArray.from_arrays([_one_array(column) for column in table.columns], table.column_names)
            self._write_rows(_fragments(rows))

    def close(self) -> None:
        if self._stream is not self._file:
            self._stream.close()
        self._file.close()

    def _write_rows(self, rows: pa.Array) -> None:
        self._put(_joined(rows, _scalar("\n")))

    def _put(self, strings: pa.Array) -> None:
        for chunk in strings.chunks if isinstance(strings, pa.ChunkedArray) else [strings]:
            self._stream.write(characters(chunk))


class JsonDocumentFile(JsonLinesFile):
    """One JSON document: ``frame`` is what comes before the first and after the last row, between which are commas."""

    def __init__(self, path: Path, frame: tuple[str, str]) -> None:
        super().__init__(path)
        opening, self._closing = frame
        self._stream.write(opening.encode())
        self._empty = True

    def _write_rows(self, rows: pa.Array) -> None:
        first, rest = (rows[:1], rows[1:]) if self._empty else (rows[:0], rows)
        self._empty = False
        self._put(first)
        self._put(_joined(_scalar(",\n"), rest))

    def close(self) -> None:
        self._stream.write(self._closing.encode())
        super().close()


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    values = column.combine_chunks()
    return pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values


def _scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _joined(*pieces: pa.Array | pa.Scalar) -> pa.Array:
    """Texts put together element by element."""
    return pc.binary_join_element_wise(*pieces, _scalar(""))


def _fragments(values: pa.Array) -> pa.Array:
    """Values as JSON: encoded texts as they are, numbers as text, lists, objects and maps of them."""
    kind = values.type
    if pa.types.is_large_string(kind):
        return values
    if pa.types.is_struct(kind):
        return _joined(*_members(kind, values.flatten()), _scalar("}"))
    if pa.types.is_large_list(kind):
        return _joined(_scalar("["), _within(values, values.values), _scalar("]"))
    if pa.types.is_map(kind):
        keys, items = values.keys, values.items
        if len(keys):
            keys = _joined(keys, _scalar(":"), _fragments(items))
        return _joined(_scalar("{"), _within(values, keys), _scalar("}"))
    return numbers(values)


def _members(kind: pa.StructType, arrays: list[pa.Array]) -> list[pa.Array | pa.Scalar]:
    """The pieces of objects but for the closing brace."""
    pieces: list[pa.Array | pa.Scalar] = []
    opening = "{"
    for number, array in enumerate(arrays):
        pieces += [_scalar(f'{opening}"{kind.field(number).name}":'), _fragments(array)]
        opening = ","
    return pieces


def _within(whole: pa.Array, values: pa.Array) -> pa.Array:
    """The values of each list, with commas between; only those that the lists reach are looked at."""
    offsets = whole.offsets.to_numpy().astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    inner = pa.array([], pa.large_string()) if first == last else _fragments(values.slice(first, last - first))
    return pc.binary_join(pa.LargeListArray.from_arrays(pa.array(offsets - first), inner), _scalar(","))


def numbers(values: pa.Array) -> pa.Array:
    """Numbers as text that reads back as the same number; a float keeps its point."""
    text = values.cast(pa.large_string())
    if not pa.types.is_floating(values.type):
        return text
    if not pc.any(pc.equal(pc.floor(values), values)).as_py():
        return text
    return pc.if_else(pc.match_substring_regex(text, "^-?[0-9]+$"), _joined(text, _scalar(".0")), text)


def characters(strings: pa.Array) -> memoryview:
    """The characters of a large_string array, one string after the other."""
    offsets = memoryview(strings.buffers()[1]).cast("q")
    first, last = offsets[strings.offset], offsets[strings.offset + len(strings)]
    return memoryview(strings.buffers()[2])[first:last]
