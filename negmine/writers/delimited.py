"""Rows as lines of columns with a separator between them, for readers that know no quoting."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from negmine.writers.json_lines import characters, numbers


class DelimitedFile:
    """``names`` says whether the first line has the names of the columns. No value may hold the separator."""

    def __init__(self, path: Path, separator: str, *, names: bool) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._separator, self._names = separator, names

    def encode(self, texts: pa.Array) -> pa.Array:
        return texts

    def write(self, table: pa.Table) -> None:
        if self._names:
            self._file.write((self._separator.join(table.column_names) + "\n").encode())
            self._names = False
        if not table.num_rows:
            return
        columns = [_text(column) for column in table.columns]
        columns[-1] = pc.binary_join_element_wise(columns[-1], _scalar("\n"), _scalar(""))
        lines = pc.binary_join_element_wise(*columns, _scalar(self._separator))
        for chunk in lines.chunks if isinstance(lines, pa.ChunkedArray) else [lines]:
            self._file.write(characters(chunk))

    def close(self) -> None:
        self._file.close()


def _scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.large_string())
    return pa.chunked_array([numbers(chunk) for chunk in column.chunks], pa.large_string())
