"""Which texts go through a model together.

On a processor a transformer computes each row of a batch on its own: nothing but padding, and
matrices of a few rows (for which BLAS libraries take another path), makes a text's vector depend
on the other texts. So a batch here has texts of one length in tokens, and never only a few tokens.
Layers after the pooling see one row per text, and few rows when few texts have that length: a
model with such layers keeps differences of rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

TOKENS = 2048
"""Tokens per batch: enough to fill the matrix kernels, few enough for a processor's cache."""
LEAST_TOKENS = 64
"""A batch of fewer tokens than this is filled up with copies of its own texts."""


def equal_length(lengths: np.ndarray, rows: int | None = None, tokens: int = TOKENS) -> Iterator[np.ndarray]:
    """Positions int64 (b,) of each batch, b <= ``rows``: ``lengths`` (n,) in tokens are equal inside a batch.

    The longest texts come first, so that what does not fit into memory fails at once; texts of
    one length keep their order. A text of more than ``tokens`` tokens is a batch of its own.
    """
    order = np.argsort(-lengths, kind="stable")
    starts = np.flatnonzero(np.diff(lengths[order], prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        size = max(tokens // max(int(lengths[order[start]]), 1), 1)
        size = min(size, rows or size)
        for low in range(start, stop, size):
            yield order[low : min(low + size, stop)]


def copies(rows: int, length: int, least: int = LEAST_TOKENS) -> int:
    """How often a batch of ``rows`` texts of ``length`` tokens is given to the model at once."""
    return max(-(-least // max(rows * length, 1)), 1)


def by_characters(characters: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    """Positions int64 (b,) of pieces of at most ``rows`` texts, from the longest to the shortest."""
    order = np.argsort(-characters, kind="stable")
    for low in range(0, len(order), rows):
        yield order[low : low + rows]
