"""Vectors that the user brings: Parquet with ids, or a ``.npy`` matrix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from negmine.errors import InputError, Where, nearest
from negmine.readers.lines import check_file


class VectorSource(Protocol):
    """A file of vectors, read by blocks."""

    file: Path
    rows: int
    dimension: int
    has_ids: bool

    def iter_blocks(self, block_rows: int) -> Iterator[tuple[list[str] | None, np.ndarray]]:
        """Yield (ids or None, float32 (b, d)) in the order of the file."""

    def iter_ids(self, block_rows: int) -> Iterator[list[str]]:
        """Yield the ids alone."""


def open_vectors(path: Path, id_column: str) -> VectorSource:
    """Open a vector file by its suffix. Raises InputError when it is no such file."""
    check_file(path)
    if path.suffix == ".parquet":
        return _ParquetVectors(path, id_column)
    if path.suffix == ".npy":
        return _NpyVectors(path)
    raise InputError(f"vectors in a '{path.suffix}' file are not supported", where=str(path), hint="Use .parquet or .npy.")


def _checked(vectors: np.ndarray, file: Path, first: int) -> np.ndarray:
    single = np.ascontiguousarray(vectors, np.float32)
    finite = np.isfinite(single).all(axis=1)
    if not finite.all():
        row = first + int(np.flatnonzero(~finite)[0]) + 1
        raise InputError("this vector has NaN or Infinity", where=Where(str(file), row=row, column="vector"))
    return single


class _NpyVectors:
    has_ids = False

    def __init__(self, path: Path) -> None:
        self.file = path
        try:
            matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            cause = "it holds Python objects" if "allow_pickle" in str(error) else str(error).splitlines()[0]
            raise InputError(f"this is no readable .npy matrix ({cause})", where=str(path)) from error
        if matrix.ndim != 2 or matrix.dtype.kind != "f" or not matrix.shape[1]:
            raise InputError(
                f"a matrix of floats (rows, dimension) is needed, and this is {matrix.dtype} of shape {matrix.shape}",
                where=str(path),
            )
        self.rows, self.dimension = matrix.shape
        self._dtype, self._fortran = matrix.dtype, not matrix.flags.c_contiguous and self.rows > 1
        if self._fortran:
            raise InputError("the matrix is in Fortran order", where=str(path), hint="Save numpy.ascontiguousarray of it.")
        self._offset = matrix.offset

    def iter_blocks(self, block_rows: int) -> Iterator[tuple[list[str] | None, np.ndarray]]:
        with self.file.open("rb") as file:
            file.seek(self._offset)
            for first in range(0, self.rows, block_rows):
                count = min(block_rows, self.rows - first)
                values = np.fromfile(file, self._dtype, count * self.dimension)
                if len(values) < count * self.dimension:
                    raise InputError("this file ends before its last vector", where=str(self.file))
                yield None, _checked(values.reshape(count, self.dimension), self.file, first)

    def iter_ids(self, block_rows: int) -> Iterator[list[str]]:
        raise TypeError("a .npy matrix has no ids")


class _ParquetVectors:
    has_ids = True

    def __init__(self, path: Path, id_column: str) -> None:
        self.file, self._id_column = path, id_column
        try:
            with pq.ParquetFile(path) as file:
                schema, self.rows = file.schema_arrow, file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"this is no readable Parquet file ({str(error).splitlines()[0]})", where=str(path)) from error
        for column in (id_column, "vector"):
            if column not in schema.names:
                raise InputError(
                    f"there is no column '{column}' (found: {', '.join(schema.names)})",
                    where=str(path),
                    hint=nearest(column, schema.names) or f"Vectors need the columns {id_column} and vector.",
                )
        kind = schema.field("vector").type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not is_list or not pa.types.is_floating(kind.value_type):
            raise InputError(f"the column 'vector' must hold lists of floats, and is {kind}", where=str(path))
        if not self.rows:
            raise InputError("this file has no rows", where=str(path))
        if pa.types.is_fixed_size_list(kind):
            self.dimension = kind.list_size
        else:
            first = next(iter(self._batches(1, ["vector"]))).column(0)[0].as_py()
            self.dimension = len(first or [])
        if not self.dimension:
            raise InputError("the vectors have no dimensions", where=str(path))

    def _batches(self, rows: int, columns: list[str]) -> Iterator[Any]:
        try:
            with pq.ParquetFile(self.file) as file:
                yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            cause = str(error).splitlines()[0]
            raise InputError(f"this Parquet file is damaged ({cause})", where=str(self.file)) from error

    def iter_blocks(self, block_rows: int) -> Iterator[tuple[list[str] | None, np.ndarray]]:
        first = 0
        for batch in self._batches(block_rows, [self._id_column, "vector"]):
            ids, column = self._ids(batch, first), batch.column("vector")
            lengths = np.full(len(column), self.dimension)
            if not pa.types.is_fixed_size_list(column.type):
                lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            if column.null_count or (lengths != self.dimension).any():
                bad = column.is_null().to_numpy(zero_copy_only=False) | (lengths != self.dimension)
                row = int(np.flatnonzero(bad)[0])
                cause = f"this vector has {lengths[row]} dimensions and the first {self.dimension}"
                if column.is_null()[row].as_py():
                    cause = "there is no vector"
                raise InputError(cause, where=Where(str(self.file), row=first + row + 1, column="vector"))
            values = column.flatten().to_numpy(zero_copy_only=False)
            yield ids, _checked(values.reshape(-1, self.dimension), self.file, first)
            first += len(column)

    def iter_ids(self, block_rows: int) -> Iterator[list[str]]:
        first = 0
        for batch in self._batches(block_rows, [self._id_column]):
            yield self._ids(batch, first)
            first += batch.num_rows

    def _ids(self, batch: Any, first: int) -> list[str]:
        column = batch.column(self._id_column)
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise InputError("there is no id", where=Where(str(self.file), row=first + row + 1, column=self._id_column))
        texts: list[str] = column.cast(pa.string()).to_pylist()
        return texts
