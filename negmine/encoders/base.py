"""What the rest of the tool knows of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Encoder(Protocol):
    """Turns texts into vectors; queries and passages may be treated differently."""

    @property
    def similarity(self) -> str:
        """The function its vectors are compared by: cosine, dot, euclidean or manhattan."""

    @property
    def batch_size(self) -> int:
        """Texts that go through the model together; a call with a multiple of it wastes nothing."""

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, d)."""

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, d)."""
