"""What the rest of the tool knows of a reranker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from negmine.errors import InputError, NegmineError


class Scorer(Protocol):
    """Scores pairs of a query and a passage: higher is closer."""

    def score(
        self,
        queries: Sequence[str],
        passages: Sequence[str],
        of_query: np.ndarray,
        of_passage: np.ndarray,
        progress: Callable[[int], None],
    ) -> np.ndarray:
        """float64 (n,) of the pairs ``of_query`` and ``of_passage`` (n,), which are positions among the texts.

        ``progress`` is told how many more pairs are done.
        """


class PairError(InputError):
    """A pair got no score; ``cause`` reads on after its name. ``position``: which of the pairs given."""

    def __init__(self, cause: str, position: int, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(cause, where=where, hint=hint)
        self.position = position

    def named(self, name: str) -> InputError:
        """The error with the pair's name in front."""
        return InputError(f"{name} {self.cause}", where=self.where, hint=self.hint)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Between 0 and 1, in the order of ``logits`` float64 (n,): large ones stay apart longer than in float32."""
    # Of the small exponential, which cannot overflow.
    small = np.exp(-np.abs(logits))
    scores: np.ndarray = np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
    return scores


@contextmanager
def of_rerank() -> Iterator[None]:
    """Let errors about a model name the keys of ``rerank`` instead of those of ``embed``."""
    try:
        yield
    except NegmineError as error:
        for part in ("cause", "where", "hint"):
            if isinstance(text := getattr(error, part), str):
                setattr(error, part, text.replace("embed.", "rerank."))
        raise
