"""Search by the terms that a query shares with a passage: weights of terms in passages, summed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


@dataclass(frozen=True)
class Matches:
    """What is found for queries: ``query`` (n,) ascending and ``passage`` (n,) by rank, equal scores by passage, and
    their ``score`` float64 (n,); and the score of pairs that were asked for, ``of_pairs`` float64 (p,)."""

    query: np.ndarray
    passage: np.ndarray
    score: np.ndarray
    of_pairs: np.ndarray


def search_by_query(
    scores_of: Callable[[int], tuple[np.ndarray, float] | None],
    depth: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    passages: int,
) -> Matches:
    """The best passages of every query, and the scores of ``pairs``: query (p,) ascending, and passage (p,).

    ``scores_of`` gives the scores of all passages for a query, and the score of one that has nothing in common with
    it; None for a query that no passage can have anything in common with. ``depth`` (q,) is how many are wanted. One
    query's scores are in memory at a time.
    """
    passage, score, counts = [], [], np.zeros(len(depth), np.int64)
    of_pairs = np.zeros(len(pairs[0]))
    offsets = np.searchsorted(pairs[0], np.arange(len(depth) + 1))
    for row in np.flatnonzero((depth > 0) | (np.diff(offsets) > 0)).tolist():
        known = scores_of(row)
        if known is None:
            continue
        scores, nothing = known
        own = slice(offsets[row], offsets[row + 1])
        of_pairs[own] = scores[pairs[1][own]]
        if depth[row]:
            found = best_rows(scores, min(int(depth[row]), passages), nothing)
            passage.append(found)
            score.append(scores[found].astype(np.float64))
            counts[row] = len(found)
    query = np.repeat(np.arange(len(depth)), counts)
    none = np.empty(0, np.int64)
    return Matches(query, np.concatenate([*passage, none]), np.concatenate([*score, np.empty(0)]), of_pairs)


def search_weights(
    postings: Postings,
    terms: np.ndarray,
    weights: np.ndarray,
    offsets: np.ndarray,
    depth: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
) -> Matches:
    """The same by products of sparse vectors: query q has ``terms``, ascending, and ``weights`` float32 (n,) in the
    rows ``offsets[q]:offsets[q + 1]``.

    A score is summed in float64 in the order of the terms, whatever else is searched. Only passages with a score above
    0 are found.
    """

    def scores_of(row: int) -> tuple[np.ndarray, float] | None:
        rows = range(offsets[row], min(offsets[row + 1], len(terms)))
        scores = np.zeros(postings.passages)
        for at in rows:
            term = int(terms[at])
            if term + 1 < len(postings.offsets):
                low, high = postings.offsets[term], postings.offsets[term + 1]
                # A passage has a term once: no sum is lost.
                scores[postings.passage[low:high]] += postings.weight[low:high] * np.float64(weights[at])
        return (scores, 0.0) if rows else None

    return search_by_query(scores_of, depth, pairs, postings.passages)


def best_rows(scores: np.ndarray, depth: int, above: float) -> np.ndarray:
    """Rows of the ``depth`` greatest of ``scores`` (n,) that are > ``above``: best first, equal ones by row."""
    rows = np.flatnonzero(scores > above)
    values = scores[rows]
    if len(rows) > depth > 0:
        near = values >= np.partition(values, len(rows) - depth)[len(rows) - depth]
        rows, values = rows[near], values[near]
    return rows[np.argsort(-values, kind="stable")][:depth]
