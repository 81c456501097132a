"""Vectors of a run: a flat matrix on disk, read by blocks into memory that is given back."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SEGMENT_ROWS = 65_536
"""Rows per file of the flat matrix; a constant, so that files do not depend on the machine."""

_FEW = 64
"""Of so many rows one is read alone faster than all are."""

_CONVERTED = 4096
"""Rows that are read at once where they are stored in half precision."""


@dataclass(frozen=True)
class FlatVectors:
    """A matrix (rows, dimension) kept as ``.npy`` segments of ``SEGMENT_ROWS`` rows each.

    A matrix of at most ``hold`` rows is read once and stays in memory; of a larger one a block at a time does. Nothing
    is mapped: mapped pages would count against the memory limit, and an error of the disk would end the process
    without a word. Files are read on ``threads`` threads.
    """

    segments: Sequence[Path]
    offsets: Sequence[int]
    """Where the numbers begin in each segment."""
    starts: np.ndarray
    """First row of each segment, and the number of rows."""
    dimension: int
    dtype: np.dtype
    hold: int = 0
    threads: int = 1
    _held: list[np.ndarray] = field(default_factory=list)
    """The whole matrix, where it stays in memory and was read."""
    _used: list[np.ndarray] = field(default_factory=list)
    """The buffer of the last pass over the blocks."""

    @classmethod
    def open(cls, segments: Sequence[Path], *, hold: int = 0, threads: int = 1) -> FlatVectors:
        mapped = [np.load(path, mmap_mode="r") for path in segments]
        starts = np.concatenate([[0], np.cumsum([len(matrix) for matrix in mapped])])
        offsets = tuple(matrix.offset for matrix in mapped)
        return cls(tuple(segments), offsets, starts, mapped[0].shape[1], mapped[0].dtype, hold, threads)

    @property
    def rows(self) -> int:
        return int(self.starts[-1])

    def release(self) -> None:
        """Give back the buffer that the next pass over the blocks would use again."""
        self._used.clear()

    @property
    def kept(self) -> bool:
        """Whether the matrix stays in memory once it is read."""
        return self.rows <= self.hold

    def blocks(self, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, float32 (b, d)) in order, b <= ``rows``.

        A block is valid until the next one is asked for: they share one buffer.
        """
        if self.kept:
            whole = self._whole()
            for low in range(0, len(whole), rows):
                yield low, whole[low : low + rows]
            return
        rows = min(rows, self.rows)
        # New memory costs more than what is read into it.
        block = self._used.pop() if self._used else np.empty((rows, self.dimension), np.float32)
        if len(block) != rows:
            block = np.empty((rows, self.dimension), np.float32)
        with ThreadPoolExecutor(self.threads) as pool:
            for low in range(0, self.rows, rows):
                part = block[: self.rows - low]
                self._fill(pool, low, part)
                yield low, part
        self._used[:] = [block]

    def _whole(self) -> np.ndarray:
        if not self._held:
            matrix = np.empty((self.rows, self.dimension), np.float32)
            with ThreadPoolExecutor(self.threads) as pool:
                self._fill(pool, 0, matrix)
            self._held.append(matrix)
        return self._held[0]

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """The rows ``numbers`` (n,), in any order and repeated or not: float32 (n, d). Few of many are read alone."""
        if self._held or (self.kept and len(numbers) * _FEW > self.rows):
            return self._whole().take(numbers, axis=0)
        distinct, place = np.unique(numbers, return_inverse=True)
        found = np.empty((len(distinct), self.dimension), self.dtype)
        width = self.dimension * self.dtype.itemsize
        for number, (start, stop) in enumerate(itertools.pairwise(self.starts.tolist())):
            low, high = np.searchsorted(distinct, [start, stop])
            if low == high:
                continue
            with self.segments[number].open("rb", buffering=0) as file:
                for at in range(low, high):
                    offset = self.offsets[number] + (int(distinct[at]) - start) * width
                    _read_exactly(file.fileno(), found[at], offset, self.segments[number])
        return found[place].astype(np.float32, copy=False)

    def _fill(self, pool: ThreadPoolExecutor, low: int, block: np.ndarray) -> None:
        """Rows ``low`` ... into ``block`` float32 (b, d), from as many segments as they lie in."""
        high = low + len(block)
        for number, (start, stop) in enumerate(itertools.pairwise(self.starts.tolist())):
            first, last = max(start, low), min(stop, high)
            if first < last:
                self._read(pool, number, first - start, block[first - low : last - low])

    def _read(self, pool: ThreadPoolExecutor, number: int, first: int, block: np.ndarray) -> None:
        """Rows ``first`` ... of a segment into ``block`` float32 (b, d), a share on each thread."""
        width = self.dimension * self.dtype.itemsize
        path = self.segments[number]
        share = max(-(-len(block) // self.threads), 1)

        def read(low: int) -> None:
            part = block[low : low + share]
            offset = self.offsets[number] + (first + low) * width
            if self.dtype == np.float32:
                _read_exactly(file.fileno(), part, offset, path)
                return
            for start in range(0, len(part), _CONVERTED):
                piece = part[start : start + _CONVERTED]
                raw = np.empty(piece.shape, self.dtype)
                _read_exactly(file.fileno(), raw, offset + start * width, path)
                piece[:] = raw

        with path.open("rb", buffering=0) as file:
            list(pool.map(read, range(0, len(block), share)))

    def reordered(self, path: Path, place: np.ndarray, rows: int) -> None:
        """Write the matrix to ``path`` with each row at its ``place`` (n,), holding ``rows`` at a time."""
        with path.open("wb") as file:
            header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.rows, self.dimension)}
            np.lib.format.write_array_header_1_0(file, header)
            first, width = file.tell(), self.dimension * self.dtype.itemsize
            for start, vectors in self.blocks(rows):
                to = place[start : start + len(vectors)]
                order = np.argsort(to)
                ordered = vectors[order].astype(self.dtype, copy=False)
                edges = np.flatnonzero(np.diff(to[order]) != 1) + 1
                for low, high in zip([0, *edges], [*edges, len(to)], strict=True):
                    file.seek(first + int(to[order[low]]) * width)
                    file.write(ordered[low:high].data)


def _read_exactly(file: int, array: np.ndarray, offset: int, path: Path) -> None:
    view = memoryview(array.data).cast("B")
    while view:
        got = os.preadv(file, [view], offset)
        if not got:
            raise OSError(f"{path} ends before its last vector")
        view, offset = view[got:], offset + got
