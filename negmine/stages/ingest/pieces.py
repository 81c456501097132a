"""What documents are cut into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from negmine.selection.identity import Digests


class Pieces:
    """The chunks of all documents, in order: ids, digests, and how many each document has."""

    def __init__(self) -> None:
        self._ids: list[pa.Array] = []
        self._digests: list[Digests] = []
        self._counts: list[np.ndarray] = []

    def add(self, ids: Sequence[str], digests: Digests, counts: Sequence[int]) -> None:
        """Append the chunks of some documents: ids (r,), digests of r rows, and how many each document has (d,)."""
        self._ids.append(pa.array(ids, pa.string()))
        self._digests.append(digests)
        self._counts.append(np.array(counts, np.int64))

    def ids(self) -> pa.Array:
        return pa.concat_arrays([pa.array([], pa.string()), *self._ids])

    def digests(self) -> Digests:
        return Digests.joined(self._digests)

    def counts(self) -> np.ndarray:
        """How many chunks each document has: int64 (documents,)."""
        return np.concatenate([np.empty(0, np.int64), *self._counts])
