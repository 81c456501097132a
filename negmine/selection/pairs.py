"""What can be wrong with a labelled pair, as far as the labels and the search can tell.

Arrays (p,) are over labelled pairs; ``rank`` counts from 1 and is infinite for a positive that is not
among the passages that were searched.
"""

from __future__ import annotations

import numpy as np

from negmine.arrays import positions

FINDINGS = ("not_retrieved", "low_rank", "beaten", "shared", "conflict", "same_text")
SUSPICIOUS = ("low_rank", "conflict")
"""The findings that can cost a pair its place in the training files."""

EXPLANATIONS = {
    "not_retrieved": "the positive is not among the passages that were searched for its query",
    "low_rank": "its rank, not counting the query's other positives, is worse than pairs.max_rank",
    "beaten": "a passage that is no positive of the query, nor a copy of one, scores higher",
    "shared": "the passage is a positive of other queries too",
    "conflict": "the same texts are also judged not relevant",
    "same_text": "its text equals that of the query",
}


def is_low(query: np.ndarray, rank: np.ndarray, most: int | None) -> np.ndarray:
    """Which positives rank worse than ``most``: bool (p,); none of them when there is no limit.

    The other positives of the ``query`` (p,) are not counted: of fifty equally good answers one has
    rank 50, and nothing is wrong with it.
    """
    if most is None:
        return np.zeros(len(rank), bool)
    order = np.lexsort((rank, query))
    among_others = rank.astype(np.float64)
    among_others[order] -= positions(query[order])
    return among_others > most


def beaten_by(query: np.ndarray, score: np.ndarray, of_query: np.ndarray, of_score: np.ndarray) -> np.ndarray:
    """How many candidates of its query score higher than each positive: int64 (p,).

    ``query`` and ``score`` (n,) are those of the candidates that count, ``of_query`` and ``of_score``
    (p,) of the positives, all in any order. With one positive, being beaten is what Gecko (Lee et al.,
    2024) relabels a pair for.
    """
    keys = np.sort(_best_first(query, score))
    best = _best_first(of_query, np.full(len(of_query), np.inf))
    beaten: np.ndarray = np.searchsorted(keys, _best_first(of_query, of_score)) - np.searchsorted(keys, best)
    return beaten


def _best_first(query: np.ndarray, score: np.ndarray) -> np.ndarray:
    """One value (n,) that sorts by query, then from the best score on: complex numbers sort by their parts."""
    keys = np.empty(len(query), np.complex128)
    keys.real, keys.imag = query, -score
    return keys


def findings(
    rank: np.ndarray,
    low: np.ndarray,
    beaten: np.ndarray,
    shared_by: np.ndarray,
    conflict: np.ndarray,
    same_text: np.ndarray,
) -> np.ndarray:
    """What was found about each pair: bool (p, 6), a column for each of ``FINDINGS``.

    ``beaten`` (p,) are counts as ``beaten_by`` gives them, ``shared_by`` (p,) is of how many queries the
    passage is a positive; ``low``, ``conflict`` and ``same_text`` are masks (p,).
    """
    return np.stack([np.isinf(rank), low, beaten > 0, shared_by > 1, conflict, same_text], axis=1)


def is_suspicious(found: np.ndarray) -> np.ndarray:
    """Which pairs have one of the ``SUSPICIOUS`` findings: bool (p,), from ``findings`` (p, 6)."""
    suspicious: np.ndarray = np.logical_or.reduce([found[:, FINDINGS.index(name)] for name in SUSPICIOUS])
    return suspicious


def worst_first(rank: np.ndarray, beaten: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Order (p,): not retrieved, then by how many beat it, then by score, lowest first."""
    return np.lexsort((score, -beaten, np.isfinite(rank)))


def median_rank(rank: np.ndarray) -> int | None:
    """The rank that half of the positives reach (the lower median), None when that one is not retrieved."""
    middle = np.sort(rank)[(len(rank) - 1) // 2]
    return int(middle) if np.isfinite(middle) else None
