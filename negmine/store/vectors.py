"""Vectors of a run: a flat matrix on disk, read by blocks into memory that is given back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

import numpy as np

SEGMENT_ROWS = 65_536
"""Rows per file of the flat matrix; a constant, so that files do not depend on the machine."""


@dataclass(frozen=True)
class FlatVectors:
    """A matrix (rows, dimension) kept as ``.npy`` segments of ``SEGMENT_ROWS`` rows each.

    Blocks are read, not memory-mapped: mapped pages would count against the memory limit.
    """

    segments: Sequence[Path]
    rows: int
    dimension: int
    dtype: np.dtype

    @classmethod
    def open(cls, segments: Sequence[Path]) -> FlatVectors:
        shapes = [np.load(path, mmap_mode="r").shape for path in segments]
        first = np.load(segments[0], mmap_mode="r")
        return cls(tuple(segments), sum(shape[0] for shape in shapes), first.shape[1], first.dtype)

    def blocks(self, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, float32 (b, d)) in order, b <= ``rows``.

        A block is valid until the next one is asked for: they share one buffer.
        """
        rows = min(rows, SEGMENT_ROWS, max(self.rows, 1))
        raw = np.empty((rows, self.dimension), self.dtype)
        single = raw if self.dtype == np.float32 else np.empty((rows, self.dimension), np.float32)
        start = 0
        for path in self.segments:
            mapped = np.load(path, mmap_mode="r")
            size, offset = mapped.shape[0], mapped.offset
            del mapped
            with path.open("rb", buffering=0) as file:
                file.seek(offset)
                for low in range(0, size, rows):
                    count = min(rows, size - low)
                    _read_exactly(file, raw[:count], path)
                    if single is not raw:
                        single[:count] = raw[:count]
                    yield start + low, single[:count]
            start += size

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


def _read_exactly(file: RawIOBase, array: np.ndarray, path: Path) -> None:
    view = memoryview(array.data).cast("B")
    while view:
        got = file.readinto(view)
        if not got:
            raise OSError(f"{path} ends before its last vector")
        view = view[got:]
