"""Where the rows of a run came from, for messages about them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np

from negmine.errors import Where


class Places:
    """A line (or row) number per row, and the file for each stretch of rows."""

    def __init__(self) -> None:
        self._lines: list[np.ndarray] = []
        self._count = 0
        self._starts: list[int] = []
        self._files: list[Callable[[int], Where]] = []

    def add(self, where: Callable[[int], Where], lines: Sequence[int] | np.ndarray) -> None:
        """Append rows by their numbers in the file that ``where`` belongs to."""
        if not self._files or self._files[-1] != where:
            self._starts.append(self._count)
            self._files.append(where)
        self._lines.append(np.asarray(lines, np.int64))
        self._count += len(lines)

    def lines(self) -> np.ndarray:
        """All numbers: int64 (rows,)."""
        return np.concatenate([np.empty(0, np.int64), *self._lines])

    def where(self, rows: np.ndarray) -> list[Where]:
        """The place of each of some rows."""
        lines = self.lines()[rows].tolist()
        return [self._files[bisect_right(self._starts, row) - 1](line) for row, line in zip(rows, lines, strict=True)]


def given_elsewhere(what: str, here: Where, there: Where) -> str:
    """Why an id cannot be used that was given to another text ``there``."""
    place = f"line {there.line}" if there.line is not None else f"row {there.row}"
    if there.file != here.file:
        place += f" of {there.file}"
    return f"{what} was given to another text in {place}"
