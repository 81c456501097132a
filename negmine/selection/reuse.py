"""How often one passage may serve as a negative over the whole run.

Queries and passages are matched by deferred acceptance (Gale and Shapley 1962, with many places
on both sides): queries claim in their order of preference, passages keep the highest scores.
"""

from __future__ import annotations

import numpy as np

from negmine.arrays import positions


def over_claimed(
    query: np.ndarray,
    passage: np.ndarray,
    score: np.ndarray,
    place: np.ndarray,
    num_negatives: int,
    max_reuse: int,
    passages: int,
) -> np.ndarray:
    """Claims that were rejected, which their queries must not choose: bool (n,).

    Arrays over the survivors of all queries (n,), in any order: query number, passage number below
    ``passages``, score, and ``place`` in the query's order of preference: 0, 1, ... without gaps. Every query
    wants its first ``num_negatives``; a passage serves at most ``max_reuse`` queries, the claims with the
    highest scores first, among equals those of lower query numbers. A query whose claim is rejected
    claims its next. The result is the only one and does not depend on the order of the claims: without the
    rejected rows, the first ``num_negatives`` of every query leave no passage above ``max_reuse``.

    Raises ValueError when the places of a query are not 0, 1, ...
    """
    rejected = np.zeros(len(query), bool)
    starts = np.concatenate([[0], np.cumsum(np.bincount(query))])
    listed = _by_preference(query, place, starts)
    crowded = np.bincount(passage, minlength=passages) > max_reuse
    ordinal = np.cumsum(crowded) - 1
    strongest = np.flatnonzero(crowded[passage])
    strongest = strongest[np.lexsort((query[strongest], -score[strongest].astype(np.float64)))]
    none = len(strongest)
    strength = np.full(len(query), none)
    strength[strongest] = np.arange(none)
    # Only crowded passages can reject. Their claims held so far, by strength; ``none`` where a place is free.
    held = np.full((int(crowded.sum()), max_reuse), none)

    upcoming = starts[:-1].copy()
    asking, wanted = np.arange(len(upcoming)), np.full(len(upcoming), num_negatives)
    while len(asking):
        until = np.minimum(upcoming[asking] + wanted, starts[asking + 1])
        claims = listed[_ranges(upcoming[asking], until)]
        upcoming[asking] = until
        claims = claims[crowded[passage[claims]]]
        asked = np.unique(ordinal[passage[claims]])
        before = (asked[:, None] * (none + 1) + held[asked])[held[asked] < none]
        both = np.sort(np.concatenate([before, ordinal[passage[claims]] * (none + 1) + strength[claims]]))
        server, claim = np.divmod(both, none + 1)
        rank = positions(server)
        serves = rank < max_reuse
        held[server[serves], rank[serves]] = claim[serves]
        lost = strongest[claim[~serves]]
        rejected[lost] = True
        asking, wanted = np.unique(query[lost], return_counts=True)
    return rejected


def _by_preference(query: np.ndarray, place: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Rows (n,) by query, then place."""
    listed = np.full(len(query), -1)
    if np.any((place < 0) | (place >= np.diff(starts)[query])):
        raise ValueError("the places of a query must be 0, 1, ... without gaps")
    listed[starts[query] + place] = np.arange(len(query))
    if np.any(listed < 0):
        raise ValueError("the places of a query must be 0, 1, ... without repetitions")
    return listed


def _ranges(first: np.ndarray, until: np.ndarray) -> np.ndarray:
    """The numbers first[i] <= number < until[i], one range after the other."""
    counts = until - first
    return np.arange(int(counts.sum())) + np.repeat(first - (np.cumsum(counts) - counts), counts)
