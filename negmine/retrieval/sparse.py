"""Search by the terms that a query shares with a passage: weights of terms in passages, summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Tokens:
    """The terms of texts one after the other: ``terms`` (n,) and how many each text has, ``counts`` (t,)."""

    terms: pa.DictionaryArray
    counts: np.ndarray


@dataclass(frozen=True)
class TermCounts:
    """How often terms are in passages: those of ``terms[t]`` (ascending) are the rows
    ``offsets[t]:offsets[t + 1]`` of ``passage`` (ascending) and ``count`` (n,)."""

    terms: pa.Array
    offsets: np.ndarray
    passage: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, pieces: Sequence[tuple[int, Tokens]]) -> TermCounts:
        """Counts in the passages of all pieces, each of which begins at a number of passage, ascending."""
        named = pa.concat_arrays([tokens.terms.dictionary for _, tokens in pieces]).dictionary_encode()
        order = pc.sort_indices(named.dictionary).to_numpy()
        rank = np.argsort(order)
        term_of = rank[named.indices.to_numpy()]
        terms: list[np.ndarray] = []
        passages: list[np.ndarray] = []
        counts: list[np.ndarray] = []
        first = 0
        for start, tokens in pieces:
            known = len(tokens.terms.dictionary)
            text = np.repeat(np.arange(len(tokens.counts)), tokens.counts)
            codes = tokens.terms.indices.to_numpy()
            pair, count = np.unique(text * known + codes, return_counts=True)
            terms.append(term_of[first + pair % known] if known else pair)
            passages.append((start + pair // known if known else pair).astype(np.int32))
            counts.append(count.astype(np.int32))
            first += known
        term = np.concatenate(terms)
        rows = np.argsort(term, kind="stable")  # passages ascend already
        passage, count = np.concatenate(passages)[rows], np.concatenate(counts)[rows]
        frequency = np.bincount(term, minlength=len(rank))
        used = frequency > 0  # a dictionary may name more
        offsets = np.concatenate([[0], np.cumsum(frequency[used])])
        return cls(named.dictionary.take(pa.array(order[used])), offsets, passage, count)


@dataclass(frozen=True)
class Postings:
    """A sparse matrix by term: the weights of term t are the rows ``offsets[t]:offsets[t + 1]`` of ``passage``
    int32 (n,), ascending, and ``weight`` float32 (n,); there are ``passages`` passages in all.

    ``absent`` float32 (terms,) is what a term adds to the score of every passage, whether it has the term or not.
    """

    offsets: np.ndarray
    passage: np.ndarray
    weight: np.ndarray
    passages: int
    absent: np.ndarray | None = None


def best_rows(scores: np.ndarray, depth: int, above: float) -> np.ndarray:
    """Rows of the ``depth`` greatest of ``scores`` (n,) that are > ``above``: best first, equal ones by row."""
    rows = np.flatnonzero(scores > above)
    values = scores[rows]
    if len(rows) > depth > 0:
        near = values >= np.partition(values, len(rows) - depth)[len(rows) - depth]
        rows, values = rows[near], values[near]
    return rows[np.argsort(-values, kind="stable")][:depth]
