"""Tab-separated files without a header and without quoting, as MS MARCO and TREC have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from negmine.errors import Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import NOT_UTF8, bad_byte, byte_lines, cut_short

_BATCH = 4096
Line = tuple[int, list[str]]


def tsv_batches(
    path: Path, widths: Sequence[int], layout: str, bad_rows: BadRows
) -> Iterator[tuple[Callable[[int], Where], list[Line]]]:
    """Yield what gives the place of a line, and lists of (number, fields) of lines that are not blank.

    The first line tells which of ``widths`` all have; ``layout`` names the columns in a message.
    A last line without its end that lacks fields raises InputError; other lines of another width are bad rows.
    """

    def where(number: int) -> Where:
        return Where(str(path), number)

    width = 0
    batch: list[Line] = []
    for number, offset, line, ended in byte_lines(path):
        try:
            text = line.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            bad_rows.reject(bad_byte(path, number, offset, error), NOT_UTF8)
            continue
        if not text or text.isspace():
            continue
        fields = text.split("\t")
        if not (len(fields) == width or (not width and len(fields) in widths)):
            if not ended and len(fields) < (width or min(widths)):
                raise cut_short(where(number))
            wanted = " or ".join(map(str, [width] if width else widths))
            bad_rows.reject(where(number), f"this line has {len(fields)} columns between tabs, not {wanted}: {layout}")
            continue
        width = len(fields)
        batch.append((number, fields))
        if len(batch) >= _BATCH:
            yield where, batch
            batch = []
    if batch:
        yield where, batch
