"""What the rest of the tool knows of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np


class Encoder(Protocol):
    """Turns texts into vectors; queries and passages may be treated differently."""

    @property
    def similarity(self) -> str:
        """The function its vectors are compared by: cosine, dot, euclidean or manhattan."""

    def encode_queries(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        """float32 (n, d), n >= 1; ``progress`` is told how many more texts are done."""

    def encode_passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        """float32 (n, d), n >= 1; ``progress`` is told how many more texts are done."""
