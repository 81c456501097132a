"""Text files line by line, whatever their compression, with the place of what is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from negmine.errors import InputError, Where, nearest
from negmine.readers.bad_rows import BadRows

_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"


def check_file(path: Path) -> None:
    """Raise InputError when ``path`` is no file that can be opened."""
    if path.is_dir():
        raise InputError("this is a folder, and a file is needed", where=str(path))
    if not path.exists():
        folder = path.parent
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        hint = nearest(path.name, names) if folder.is_dir() else f"The folder {folder} does not exist either."
        raise InputError("this file does not exist", where=str(path), hint=hint or f"Check the path in {folder}.")
    if not os.access(path, os.R_OK):
        raise InputError("this file cannot be read: permission denied", where=str(path))
    if path.stat().st_size == 0:
        raise InputError("this file is empty", where=str(path))


def data_suffix(path: Path) -> str:
    """The suffix that tells the kind of data: ``.jsonl`` of ``a.jsonl.gz``."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() in _COMPRESSION else path.suffix.lower()


def byte_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield (1-based number, byte offset, line without its end) of every line.

    A byte-order mark is left out. Offsets count decompressed bytes. Raises InputError when the
    file cannot be read to its end.
    """
    check_file(path)
    compression = _COMPRESSION.get(path.suffix.lower())
    number, offset = 0, 0
    started: list[bytes] = []  # pieces of a line whose end has not been read
    try:
        with pa.input_stream(str(path), compression=compression) as stream:
            while block := stream.read(_BLOCK):
                if not number and not started and block.startswith(_BOM):
                    block, offset = block[len(_BOM) :], len(_BOM)
                *lines, tail = block.split(b"\n")
                if lines:
                    lines[0] = b"".join([*started, lines[0]])
                    started = []
                started.append(tail)
                for line in lines:
                    number += 1
                    yield number, offset, line.removesuffix(b"\r")
                    offset += len(line) + 1
    except (OSError, pa.ArrowException) as error:
        cause = str(error).split(". Detail")[0]
        raise InputError(f"this file is damaged: {cause}", where=str(path), hint="Make or copy the file again.") from error
    last = b"".join(started)
    if last:
        yield number + 1, offset, last.removesuffix(b"\r")


def text_lines(path: Path, bad_rows: BadRows) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of every line that is not blank; lines that are no UTF-8 are bad rows."""
    for number, offset, line in byte_lines(path):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode("utf-8", "replace")) + 1
            where = Where(str(path), number, column, byte=offset + error.start)
            bad_rows.reject(where, "this is not UTF-8 text")
            continue
        if text and not text.isspace():
            yield number, text
