"""Arrow tables in Parquet, written the same way everywhere so that equal rows are equal bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 16_384
_ROW_GROUP_BYTES = 64_000_000
"""Long texts make smaller row groups. Only tables of texts are cut by bytes: they come in
batches whose size is a constant, where others come as the memory limit allows."""


class TableWriter:
    """Writes record batches of one schema, in row groups that do not depend on how they come."""

    def __init__(self, path: Path, schema: pa.Schema, *, row_group: int = ROW_GROUP) -> None:
        self.rows = 0
        self._schema = schema
        self._row_group = row_group
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._texts = any(pa.types.is_large_string(field.type) for field in schema)
        vector = any(pa.types.is_fixed_size_list(field.type) for field in schema)
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="none" if vector else "zstd",
            use_dictionary=False,  # zstd finds repeated names by itself, in less time and space
            # Rows are looked up by numbers alone.
            write_statistics=[field.name for field in schema if pa.types.is_integer(field.type)],
            column_encoding={field.name: how for field in schema if (how := _encoding(field.type)) is not None},
        )

    def write(self, columns: dict[str, Any]) -> None:
        """Append rows given as one array or list per column."""
        arrays = [_array(columns[field.name], field.type) for field in self._schema]
        self.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def write_table(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        self.rows += table.num_rows
        self._waiting_bytes += table.nbytes if self._texts else 0
        if self._waiting_bytes >= _ROW_GROUP_BYTES:
            self._flush(min(self._waiting_rows, self._row_group))
        while self._waiting_rows >= self._row_group:
            self._flush(self._row_group)

    def _flush(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting)
        self._writer.write_table(table.slice(0, rows), row_group_size=rows)
        self._waiting = [table.slice(rows)]
        self._waiting_rows = table.num_rows - rows
        self._waiting_bytes = self._waiting[0].nbytes if self._texts else 0

    def close(self) -> None:
        if self._waiting_rows:
            self._flush(self._waiting_rows)
        self._writer.close()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.close()


def _encoding(kind: pa.DataType) -> str | None:
    """What makes the values of a column smaller before they are compressed."""
    if pa.types.is_floating(kind):
        return "BYTE_STREAM_SPLIT"  # the first bytes of neighbouring scores are alike
    if pa.types.is_int64(kind):
        return "DELTA_BINARY_PACKED"  # numbers of rows are far from filling their bits
    return None


def _array(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return values if values.type == kind else values.cast(kind)
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind)
    return pa.array(values, type=kind)


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a whole file."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=list(columns), use_threads=False)  # on two cores threads cost more than they give


def iter_batches(path: Path, columns: Sequence[str], rows: int = ROW_GROUP) -> Iterator[pa.RecordBatch]:
    """Some columns of a file, by batches of at most ``rows``."""
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=rows, columns=list(columns), use_threads=False)


def to_numpy(column: Any) -> np.ndarray:
    """A numeric column without nulls as an array (n,), a vector column as (n, d)."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
        return values.reshape(-1, width)
    plain: np.ndarray = column.to_numpy(zero_copy_only=False)
    return plain


def rows_between(path: Path, key: str, low: int, high: int, columns: Sequence[str]) -> pa.Table:
    """Rows whose integer column ``key`` (ascending in the file) lies in [low, high).

    Only row groups whose statistics overlap the interval are read.
    """
    return _rows(path, key, np.array([low]), np.array([high]), columns)


def rows_with(path: Path, key: str, values: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """Rows whose integer column ``key`` (ascending in the file) is one of ``values`` (ascending).

    A row group is read once, and only if it can have some of them.
    """
    return _rows(path, key, values, values + 1, columns)


def _rows(path: Path, key: str, low: np.ndarray, high: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """Rows whose ``key`` lies in one of the intervals [low, high), which ascend and do not overlap."""
    pieces = []
    with pq.ParquetFile(path) as file:
        wanted = list(dict.fromkeys([*columns, key]))
        position = file.schema_arrow.get_field_index(key)
        schema = pa.schema([file.schema_arrow.field(name) for name in wanted])
        for group in range(file.num_row_groups):
            statistics = file.metadata.row_group(group).column(position).statistics
            here = slice(None)
            if statistics is not None:
                here = slice(int((high <= statistics.min).sum()), int((low <= statistics.max).sum()))
            if not len(low[here]):
                continue
            table = file.read_row_group(group, columns=wanted, use_threads=False)
            values = to_numpy(table[key])
            starts, stops = np.searchsorted(values, low[here]), np.searchsorted(values, high[here])
            for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
                if stop > start:
                    pieces.append(table.select(wanted).slice(start, stop - start))
    return pa.concat_tables(pieces) if pieces else schema.empty_table()
