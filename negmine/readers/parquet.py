"""Parquet files of the user, by batches of the columns that are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from negmine.errors import InputError, Where
from negmine.readers.lines import AGAIN, byte_blocks, first_line, is_compressed

# Damaged files surface as any of these, depending on the byte that is wrong.
_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, OverflowError)


def open_parquet(path: Path) -> Any:
    """An open ``ParquetFile``; one that is compressed as a whole is unpacked in memory."""
    source = pa.BufferReader(b"".join(byte_blocks(path))) if is_compressed(path) else path
    try:
        file = pq.ParquetFile(source)
        groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    except _ERRORS as error:
        raise InputError(
            f"this is no readable Parquet file ({first_line(error)})", where=str(path), hint=AGAIN
        ) from error
    if min(groups, default=0) < 0 or sum(groups) != file.metadata.num_rows:
        problem = f"its row groups have {sum(groups)} rows and its footer says {file.metadata.num_rows}"
        raise InputError(f"this Parquet file is damaged ({problem})", where=str(path), hint=AGAIN)
    return file


@contextlib.contextmanager
def readable(path: Path, kind: str = "Parquet") -> Iterator[None]:
    """Turn what Arrow raises about the contents of ``path`` into InputError."""
    try:
        yield
    except _ERRORS as error:
        raise InputError(
            f"this {kind} file is damaged ({first_line(error)})",
            where=str(path),
            hint=AGAIN,
        ) from error


def column_names(path: Path, schema: Any) -> list[str]:
    """Names of the columns. Raises InputError when two have the same name."""
    names: list[str] = schema.names
    check_names(names, Where(str(path)))
    return names


def check_names(names: Sequence[str], where: Where) -> None:
    """Raise InputError when two columns of the table at ``where`` have the same name."""
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        raise InputError(f"the column '{twice}' is there twice", where=where, hint="Rename one of the two.")


def parquet_batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[Any]:
    """Yield record batches of at most ``rows`` rows. Raises InputError for a damaged file."""
    with open_parquet(path) as file:
        batches = file.iter_batches(batch_size=rows, columns=list(columns), use_threads=False)
        found = 0
        while True:
            with readable(path):
                batch = next(batches, None)
            if batch is None:
                break
            found += batch.num_rows
            yield batch
        if found != file.metadata.num_rows:
            problem = f"{found} of its {file.metadata.num_rows} rows are there"
            raise InputError(f"this Parquet file is damaged ({problem})", where=str(path), hint=AGAIN)
