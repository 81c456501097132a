"""What documents are cut into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


class Pieces:
    """The chunks of all documents, in order: ids, digests, and how many each document has."""

    def __init__(self) -> None:
        self._ids: list[pa.Array] = []
        self._passages: list[np.ndarray] = []
        self._texts: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []

    def add(self, ids: Sequence[str], passages: np.ndarray, texts: np.ndarray, counts: Sequence[int]) -> None:
        """Append the chunks of some documents: ids (r,), digests (r, 2), and how many each document has (d,)."""
        self._ids.append(pa.array(ids, pa.string()))
        self._passages.append(passages)
        self._texts.append(texts)
        self._counts.append(np.array(counts, np.int64))

    def ids(self) -> pa.Array:
        return pa.concat_arrays([pa.array([], pa.string()), *self._ids])

    def passage_digests(self) -> np.ndarray:
        return np.concatenate([np.empty((0, 2), np.uint64), *self._passages])

    def text_digests(self) -> np.ndarray:
        return np.concatenate([np.empty((0, 2), np.uint64), *self._texts])

    def counts(self) -> np.ndarray:
        """How many chunks each document has: int64 (documents,)."""
        return np.concatenate([np.empty(0, np.int64), *self._counts])
