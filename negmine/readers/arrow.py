"""Arrow files of the user: streams as ``datasets`` saves them, and IPC files (Feather 2)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import ipc

from negmine.errors import InputError
from negmine.readers.lines import AGAIN, byte_blocks, check_file, is_compressed
from negmine.readers.parquet import readable

_FILE, _FEATHER_1, _STREAM_END = b"ARROW1", b"FEA1", b"\xff\xff\xff\xff\0\0\0\0"
_KIND = "Arrow"


def arrow_schema(path: Path) -> Any:
    """The schema of the file. Raises InputError when it is no Arrow file."""
    return _open(path, None)[1].schema


def arrow_batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[Any]:
    """Yield record batches of at most ``rows`` rows; what is not looked at is not read from disk.

    Raises InputError for a damaged file.
    """
    schema = arrow_schema(path)
    source, reader = _open(path, [schema.get_field_index(name) for name in columns])
    number = 0
    while True:
        with readable(path, _KIND):
            batch = _batch(reader, number)
            if batch is not None:
                batch.validate(full=True)  # offsets are trusted from here on
        if batch is None:
            break
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows).select(list(columns))
        number += 1
    if isinstance(reader, ipc.RecordBatchStreamReader):
        end = source.tell()
        source.seek(max(0, end - len(_STREAM_END)))
        if source.read(len(_STREAM_END)) != _STREAM_END:
            raise InputError("this Arrow file is damaged (the stream has no end)", where=str(path), hint=AGAIN)


def _batch(reader: Any, number: int) -> Any:
    """The next batch, None after the last."""
    if isinstance(reader, ipc.RecordBatchFileReader):
        return reader.get_batch(number) if number < reader.num_record_batches else None
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None


def _open(path: Path, columns: Sequence[int] | None) -> tuple[Any, Any]:
    """The bytes of the file, mapped or unpacked in memory, and a reader of these columns (all: None)."""
    check_file(path)
    if is_compressed(path):
        source = pa.BufferReader(b"".join(byte_blocks(path)))
    else:
        with readable(path, _KIND):
            source = pa.memory_map(os.fspath(path))
    options = ipc.IpcReadOptions(included_fields=None if columns is None else list(columns), use_threads=False)
    start = source.read(len(_FILE))
    source.seek(0)
    if start.startswith(_FEATHER_1):
        cause = "this is a Feather file of version 1, which is not read"
        raise InputError(cause, where=str(path), hint="Write it again as version 2, or as .parquet.")
    opened = ipc.open_file if start == _FILE else ipc.open_stream
    with readable(path, _KIND):
        return source, opened(source, options=options)
