"""Text files line by line, whatever their compression, with the place of what is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from negmine.errors import InputError, Where, nearest
from negmine.readers.bad_rows import BadRows

_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
_BINARY = (".parquet", ".arrow", ".feather")
_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
AGAIN = "Make or copy the file again."
"""What to do about a file that is not whole."""


def check_file(path: Path, key: str | None = None) -> None:
    """Raise InputError when ``path`` (the value of config ``key``) is no file that can be opened."""
    check = f"Check {key}." if key else "Check the path."
    try:
        is_folder, there = path.is_dir(), path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise InputError(f"this file cannot be opened: {error.strerror}", where=str(path), hint=check) from error
    if is_folder:
        raise InputError("this is a folder, and a file is needed", where=str(path), hint=check)
    if not there:
        folder = path.parent
        hint = f"The folder {folder} does not exist either. {check}"
        if folder.is_dir():
            hint = nearest(path.name, sorted(other.name for other in folder.iterdir())) or check
        raise InputError("this file does not exist", where=str(path), hint=hint)
    if not os.access(path, os.R_OK):
        raise InputError("this file cannot be read: permission denied", where=str(path), hint="Run: chmod u+r on it.")
    if path.stat().st_size == 0:
        raise InputError("this file is empty", where=str(path), hint=AGAIN)


def data_suffix(path: Path) -> str:
    """The suffix that tells the kind of data: ``.jsonl`` of ``a.jsonl.gz``."""
    return Path(path.stem).suffix.lower() if is_compressed(path) else path.suffix.lower()


def is_compressed(path: Path) -> bool:
    """Whether the name says that the file is compressed as a whole."""
    return path.suffix.lower() in _COMPRESSION


def is_blank(path: Path) -> bool:
    """Whether this is a text file without a byte; compressed and binary files are never that short."""
    if is_compressed(path) or data_suffix(path) in _BINARY:
        return False
    return path.is_file() and path.stat().st_size == 0


def byte_blocks(path: Path) -> Iterator[bytes]:
    """Yield the decompressed bytes of a file. Raises InputError when it cannot be read to its end."""
    check_file(path)
    try:
        with pa.input_stream(os.fspath(path), compression=_COMPRESSION.get(path.suffix.lower())) as stream:
            while block := stream.read(_BLOCK):
                yield block
    except (OSError, pa.ArrowException) as error:
        cause = first_line(error).split(". Detail")[0]
        raise InputError(f"this file is damaged: {cause}", where=str(path), hint=AGAIN) from error


def byte_lines(path: Path) -> Iterator[tuple[int, int, bytes, bool]]:
    r"""Yield (1-based number, byte offset, line without its ``\n``, whether it had one) of every line.

    A byte-order mark is left out. Offsets count decompressed bytes. Raises InputError when the
    file cannot be read to its end.
    """
    number, offset = 0, 0
    started: list[bytes] = []  # pieces of a line whose end has not been read
    for block in byte_blocks(path):
        if not number and not started and block.startswith(_BOM):
            block, offset = block[len(_BOM) :], len(_BOM)  # noqa: PLW2901
        *lines, tail = block.split(b"\n")
        if lines:
            lines[0] = b"".join([*started, lines[0]])
            started = []
        started.append(tail)
        for line in lines:
            number += 1
            yield number, offset, line, True
            offset += len(line) + 1
    last = b"".join(started)
    if last:
        yield number + 1, offset, last, False


def text_lines(path: Path, bad_rows: BadRows) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of every line that is not blank; lines that are no UTF-8 are bad rows."""
    for number, offset, line, _ in byte_lines(path):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            bad_rows.reject(bad_byte(path, number, offset, error), NOT_UTF8)
            continue
        if text and not text.isspace():
            yield number, text.removesuffix("\r")


NOT_UTF8 = "this is not UTF-8 text"
SAVE_AS_UTF8 = "Save the file as UTF-8."


def cut_short(where: Where) -> InputError:
    """The error for a last row that is not all there: data is missing, so it is never left out as a bad row."""
    return InputError("the file ends in the middle of a row", where=where, hint=AGAIN)


def bad_byte(path: Path, number: int, offset: int, error: UnicodeDecodeError) -> Where:
    """The place of the first byte of a line (by its number and offset) that is no UTF-8."""
    column = len(error.object[: error.start].decode("utf-8")) + 1
    return Where(str(path), number, column, byte=offset + error.start)


def first_line(error: BaseException) -> str:
    """What a library said, without the details below and in characters that can be shown."""
    lines = (str(error) or type(error).__name__).splitlines() or [""]
    return "".join(char if char.isprintable() else "?" for char in lines[0])
