"""Which texts are the same: numbering by first appearance and what follows for exclusion.

A digest array is uint64 (n, 2): the 128-bit digests of n texts, zero for a blank text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

EXCLUSION_REASONS = ("positive", "positive_text", "query_text")
"""In order of precedence: labelled itself or part of what is, text of a positive, text of the query."""


def digest_array(digests: Sequence[bytes]) -> np.ndarray:
    """Digests of 16 bytes each as uint64 (n, 2)."""
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)


def number_by_first_appearance(digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n,) of equal digests, numbered as they first appear, and the first row of each code."""
    n = len(digests)
    if n == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    order = np.lexsort((np.arange(n), digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    starts = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    group = np.cumsum(starts) - 1
    first_rows = order[starts]
    rank = np.empty(len(first_rows), np.int64)
    by_row = np.argsort(first_rows, kind="stable")
    rank[by_row] = np.arange(len(first_rows))
    codes = np.empty(n, np.int64)
    codes[order] = rank[group]
    return codes, first_rows[by_row].astype(np.int64)


class DigestIndex:
    """Finds rows by digest. A blank digest is equal to nothing."""

    def __init__(self, digests: np.ndarray) -> None:
        records = _as_records(digests)
        order = np.argsort(records, kind="stable")
        self._order = order[digests[order].any(axis=1)]
        self._sorted = records[self._order]

    def find(self, digests: np.ndarray) -> np.ndarray:
        """The first row with each digest, -1 where there is none: int64 (m,)."""
        low, high = self._spans(digests)
        found = np.full(len(digests), -1, np.int64)
        hit = high > low
        found[hit] = self._order[low[hit]]
        return found

    def find_all(self, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Every (position in ``digests``, row) with equal digests, as two int64 arrays."""
        low, high = self._spans(digests)
        counts = high - low
        which = np.repeat(np.arange(len(digests)), counts)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return which, self._order[np.repeat(low, counts) + offsets]

    def _spans(self, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys = _as_records(digests)
        low = np.searchsorted(self._sorted, keys, side="left")
        high = np.searchsorted(self._sorted, keys, side="right")
        high[~digests.any(axis=1)] = 0
        return low, np.maximum(high, low * (high > 0))


class Digests:
    """What n passages say, with their titles and without: digest arrays ``passages`` and ``texts`` (n, 2).

    They are one array where no passage shows a title, and the ``indexes`` over them, made when first
    asked for, are one.
    """

    def __init__(self, passages: np.ndarray, texts: np.ndarray) -> None:
        self.passages = passages
        self.texts = passages if np.array_equal(passages, texts) else texts

    @classmethod
    def joined(cls, pieces: Sequence[Digests]) -> Digests:
        """Those of all ``pieces``, in order."""
        if len(pieces) == 1:
            return pieces[0]
        none = np.empty((0, 2), np.uint64)
        passages = np.concatenate([none, *(piece.passages for piece in pieces)])
        if all(piece.texts is piece.passages for piece in pieces):
            return cls(passages, passages)
        return cls(passages, np.concatenate([none, *(piece.texts for piece in pieces)]))

    @property
    def forms(self) -> tuple[np.ndarray, ...]:
        """The different arrays, one or two."""
        return (self.passages,) if self.texts is self.passages else (self.passages, self.texts)

    @cached_property
    def indexes(self) -> tuple[DigestIndex, ...]:
        """One for each of the ``forms``."""
        return tuple(DigestIndex(form) for form in self.forms)

    def only(self, kept: np.ndarray) -> Digests:
        """Those of some passages: ``kept`` is bool (n,)."""
        return self if kept.all() else Digests(self.passages[kept], self.texts[kept])

    def find(self, digests: np.ndarray) -> np.ndarray:
        """The first passage that says what each of ``digests`` (m, 2) is of, with its title, or else without; -1 where
        none does: int64 (m,)."""
        rows = np.full(len(digests), -1, np.int64)
        for index in self.indexes:
            missing = rows < 0
            rows[missing] = index.find(digests[missing])
        return rows

    def say(self, rows: np.ndarray, digests: np.ndarray) -> np.ndarray:
        """Which of the passages in ``rows`` (m,) say what ``digests`` (m, 2) are of: bool (m,)."""
        return np.logical_or.reduce([(form[rows] == digests).all(axis=1) for form in self.forms])


def _as_records(digests: np.ndarray) -> np.ndarray:
    """One comparable value per digest. Complex numbers sort by their parts, in order; the top
    bits of each half are what a float64 holds exactly, 104 bits in all."""
    halves = (digests >> np.uint64(12)).astype(np.float64)
    return halves[:, 0] + 1j * halves[:, 1]


def excluded_passages(
    label_query: np.ndarray,
    label_doc: np.ndarray,
    query_digests: np.ndarray,
    doc_passage: np.ndarray,
    doc_is_first: np.ndarray,
    doc_digests: Digests,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What can never be a negative of a query: query (x,), passage (x,), reason code (x,).

    ``label_query`` and ``label_doc`` (l,) are the labelled pairs, by query number and document
    row; ``query_digests`` (q, 2); per document row: its passage (n,), whether it is the one that
    stands for it (n,), and its digests.
    Sorted by query, passage; the reason is the first of ``EXCLUSION_REASONS`` that holds.
    """
    query, documents, reason = [label_query], [label_doc], [np.where(doc_is_first[label_doc], 0, 1)]
    # A text is the same with and without its title: each form is looked for among both.
    for index in doc_digests.indexes:
        for form in doc_digests.forms:
            labels, twins = index.find_all(form[label_doc])
            query.append(label_query[labels])
            documents.append(twins)
            reason.append(np.ones(len(labels), np.int64))
        queries, same = index.find_all(query_digests)
        query.append(queries)
        documents.append(same)
        reason.append(np.full(len(queries), 2))
    return _sorted_pairs(np.concatenate(query), doc_passage[np.concatenate(documents)], np.concatenate(reason))


def _sorted_pairs(
    query: np.ndarray, passage: np.ndarray, reason: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row per (query, passage), in order, with the least reason."""
    order = np.lexsort((reason, passage, query))
    query, passage, reason = query[order], passage[order], reason[order]
    new = np.ones(len(query), bool)
    new[1:] = (query[1:] != query[:-1]) | (passage[1:] != passage[:-1])
    return query[new], passage[new], reason[new]
