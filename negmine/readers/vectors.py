"""Vectors that the user brings: Parquet with ids, or a matrix as ``.npy`` or in a ``.safetensors`` file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from negmine.errors import InputError, Where, nearest
from negmine.readers.lines import check_file
from negmine.readers.matrices import MAKE_AGAIN, Matrix, open_npy, open_tensor
from negmine.readers.parquet import column_names, open_parquet, parquet_batches, readable


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
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _ParquetVectors(path, id_column)
    if suffix == ".npy":
        return _MatrixVectors(open_npy(path))
    if suffix == ".safetensors":
        return _MatrixVectors(open_tensor(path, "corpus" if id_column == "doc_id" else "queries"))
    raise InputError(
        f"vectors in a '{suffix}' file are not supported",
        where=str(path),
        hint="Use .parquet, .npy or .safetensors.",
    )


def _checked(vectors: np.ndarray, file: Path, first: int) -> np.ndarray:
    """The vectors as float32. Raises InputError for one that is not finite there."""
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(vectors, np.float32)
    finite = np.isfinite(single).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        cause = "this vector has NaN or Infinity"
        if np.isfinite(vectors[row]).all():
            cause = "this vector has a number that is too large for float32"
        raise InputError(cause, where=Where(str(file), row=first + row + 1, column="vector"), hint=MAKE_AGAIN)
    return single


class _MatrixVectors:
    """A matrix in a file: a row for each text, in the order of the input."""

    has_ids = False

    def __init__(self, matrix: Matrix) -> None:
        self.file, self._matrix = matrix.file, matrix
        self.rows, self.dimension = matrix.rows, matrix.dimension

    def iter_blocks(self, block_rows: int) -> Iterator[tuple[list[str] | None, np.ndarray]]:
        for first, values in self._matrix.blocks(block_rows):
            yield None, _checked(values, self.file, first)

    def iter_ids(self, block_rows: int) -> Iterator[list[str]]:
        raise TypeError("a matrix has no ids")


class _ParquetVectors:
    has_ids = True

    def __init__(self, path: Path, id_column: str) -> None:
        self.file, self._id_column = path, id_column
        with open_parquet(path) as file:
            schema, self.rows = file.schema_arrow, file.metadata.num_rows
        names = column_names(path, schema)
        for column in (id_column, "vector"):
            if column not in names:
                raise InputError(
                    f"there is no column '{column}' (found: {', '.join(names)})",
                    where=str(path),
                    hint=nearest(column, names) or f"Vectors need the columns {id_column} and vector.",
                )
        _check_types(path, id_column, schema.field(id_column).type, schema.field("vector").type)
        if not self.rows:
            raise InputError("this file has no rows", where=str(path), hint=MAKE_AGAIN)
        self.dimension = self._first_dimension(schema.field("vector").type)
        if not self.dimension:
            where = Where(str(path), row=1, column="vector")
            raise InputError("the first vector has no dimensions", where=where, hint=MAKE_AGAIN)

    def _first_dimension(self, kind: Any) -> int:
        if pa.types.is_fixed_size_list(kind):
            return int(kind.list_size)
        for batch in parquet_batches(self.file, ["vector"], 1):
            return len(batch.column(0)[0].as_py() or [])
        return 0

    def iter_blocks(self, block_rows: int) -> Iterator[tuple[list[str] | None, np.ndarray]]:
        first = 0
        for batch in parquet_batches(self.file, [self._id_column, "vector"], block_rows):
            ids, column = self._ids(batch, first), batch.column("vector")
            self._check_lengths(column, first)
            values = column.flatten().to_numpy(zero_copy_only=False)
            yield ids, _checked(values.reshape(-1, self.dimension), self.file, first)
            first += len(column)

    def _check_lengths(self, column: Any, first: int) -> None:
        missing = column.is_null().to_numpy(zero_copy_only=False)
        lengths = np.full(len(column), self.dimension)
        if not pa.types.is_fixed_size_list(column.type):
            lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        bad = np.flatnonzero(missing | (lengths != self.dimension))
        if len(bad):
            row = int(bad[0])
            cause = f"this vector has {lengths[row]} dimensions and the first has {self.dimension}"
            raise InputError(
                "there is no vector" if missing[row] else cause,
                where=Where(str(self.file), row=first + row + 1, column="vector"),
                hint=MAKE_AGAIN,
            )

    def iter_ids(self, block_rows: int) -> Iterator[list[str]]:
        first = 0
        for batch in parquet_batches(self.file, [self._id_column], block_rows):
            yield self._ids(batch, first)
            first += batch.num_rows

    def _ids(self, batch: Any, first: int) -> list[str]:
        column = batch.column(self._id_column)
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            where = Where(str(self.file), row=first + row + 1, column=self._id_column)
            raise InputError("there is no id", where=where, hint="Give every row the id of its text.")
        with readable(self.file):
            texts: list[str] = column.cast(pa.string()).to_pylist()
        return texts


def _check_types(path: Path, id_column: str, id_type: Any, vector_type: Any) -> None:
    """Refuse ids that are no texts or whole numbers, and vectors that are no lists of floats."""
    plain = id_type.value_type if pa.types.is_dictionary(id_type) else id_type
    if not (pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_integer(plain)):
        cause = f"ids must be texts or whole numbers, and are {id_type}"
        raise InputError(cause, where=Where(str(path), column=id_column), hint="Write them as texts.")
    is_list = (
        pa.types.is_list(vector_type) or pa.types.is_large_list(vector_type) or pa.types.is_fixed_size_list(vector_type)
    )
    if not is_list or not pa.types.is_floating(vector_type.value_type):
        cause = f"vectors must be lists of floats, and are {vector_type}"
        raise InputError(cause, where=Where(str(path), column="vector"), hint="Write list<float32>.")
