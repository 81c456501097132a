"""Whether a search by lists pays, from the sizes alone: the same answer on every machine."""

from __future__ import annotations

import math

SAMPLE_QUERIES = 512
"""Queries on which recall is measured."""
TRAIN_ROWS = (16, 16, 16, 32, 32, 32, 32)
"""Passages per list in each pass of the training of lists: the first ones need but few to get far."""

# All costs are in products of two vectors. Measured with benchmarks/approximate.py on two cores.
_SHARE = 2.0
"""Share of the passages that reaches recall 0.98 with l lists: about this / sqrt(l)."""
_LISTED = 1.8
"""What a product costs in the matrices of one list, against those of whole blocks."""
_ASSIGN = 0.6
"""The same, for products of passages with the lists' centres."""
_PASSAGE = 2_000
"""What a passage costs beside its products: it is read, put in order and written once more."""
_FIXED = 1e8
"""What lists cost whatever their size."""
_GAIN = 0.4
"""Lists are used when they are expected to take at most this share of the time of exact search."""


_SAMPLE_BYTES = 256 * 2**20
"""Most memory that the passages take which lists are trained on."""


def choose_lists(passages: int, queries: int, k: int, dimension: int) -> int:
    """How many lists search by lists needs to beat exact search for these sizes; 0: it does not."""
    costs = {lists: _cost(lists, passages, queries) for lists in (2**power for power in range(5, 15))}
    fitting = [
        lists
        for lists in costs
        if max(TRAIN_ROWS) * lists <= passages
        and sample_bytes(lists, dimension) <= _SAMPLE_BYTES
        and lists * k <= 8 * passages
    ]
    if not fitting:
        return 0
    best = min(fitting, key=lambda lists: costs[lists])
    return best if costs[best] <= _GAIN * queries * passages else 0


def lists_share(lists: int) -> float:
    """Share of the passages that a query is expected to be compared with."""
    return min(_SHARE / math.sqrt(lists), 1.0)


def sample_bytes(lists: int, dimension: int) -> int:
    """Memory of the passages that lists are trained on."""
    return max(TRAIN_ROWS) * lists * dimension * 4


def build_products(lists: int, passages: int) -> float:
    """Cost of training the lists and of finding every passage's own, in products of vectors."""
    return _ASSIGN * lists * (sum(TRAIN_ROWS) * lists + passages)


def search_products(lists: int, passages: int, queries: int) -> float:
    """Cost of measuring recall and of searching, in products of vectors."""
    measured = min(SAMPLE_QUERIES, queries) * passages
    return measured + queries * (_ASSIGN * lists + _LISTED * lists_share(lists) * passages)


def _cost(lists: int, passages: int, queries: int) -> float:
    moved = _FIXED + _PASSAGE * passages
    return build_products(lists, passages) + moved + search_products(lists, passages, queries)
