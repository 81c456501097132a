"""What the rest of the tool knows of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from negmine.errors import InputError


class Encoder(Protocol):
    """Turns texts into vectors; queries and passages may be treated differently."""

    @property
    def similarity(self) -> str:
        """The function its vectors are compared by: cosine, dot, euclidean or manhattan."""

    def encode_queries(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        """float32 (n, d), n >= 1; ``progress`` is told how many more texts are done."""

    def encode_passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        """float32 (n, d), n >= 1; ``progress`` is told how many more texts are done."""


@dataclass(frozen=True)
class SparseVectors:
    """Weights of terms for each of n texts: those of text i are ``terms`` int32, ascending, and ``weights`` float32 in
    the rows ``offsets[i]:offsets[i + 1]``; ``offsets`` int64 (n + 1,)."""

    offsets: np.ndarray
    terms: np.ndarray
    weights: np.ndarray


class SparseEncoder(Protocol):
    """Turns texts into weights of terms of a vocabulary."""

    def encode_queries(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> SparseVectors:
        """Of n >= 1 texts; ``progress`` is told how many more texts are done."""

    def encode_passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> SparseVectors:
        """Of n >= 1 texts; ``progress`` is told how many more texts are done."""


@runtime_checkable
class Measuring(Protocol):
    """An encoder that knows how much of a text it reads."""

    def cut_off_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Which texts are longer than the model reads: bool (n,)."""

    def cut_off_passages(self, texts: Sequence[str]) -> np.ndarray:
        """Which texts are longer than the model reads: bool (n,)."""


class TextError(InputError):
    """A text got no vector; ``cause`` reads on after its name. ``position``: which of the texts given."""

    def __init__(self, cause: str, position: int, *, where: str, hint: str | None = None) -> None:
        super().__init__(cause, where=where, hint=hint)
        self.position = position

    def named(self, name: str) -> InputError:
        """The error with the text's name in front."""
        return InputError(f"{name} {self.cause}", where=self.where, hint=self.hint)
