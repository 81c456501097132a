"""Which negatives an audit has judged: strata, how many of each, and the draw."""

from __future__ import annotations

import numpy as np

from negmine.selection.random import mix

BANDS = 5
_LEAST_RISK = 0.01
_PER_BAND = 10
_PER_RETRIEVER = 5
"""Judgements that a band of risk, or a retriever in one, should get at least to be a stratum of its own."""
_NEYMAN = 0.5
"""Share of the judgements that are allotted by the predicted risk; the others go by size, as the prediction
may be wrong: then a stratum that was thought safe is not left to a handful of judgements."""
_AUDIT, _SHEET = 0x617564, 0x736874  # draws of their own, unlike those that chose the negatives


def strata(risk: np.ndarray, retriever: np.ndarray, judgements: int) -> np.ndarray:
    """The stratum of each negative (n,): bands of equal size by ``risk`` (n,), in each the retrievers (n, codes).

    Numbered from 0 by rising risk. There are fewer when there are few ``judgements``; a retriever that would
    get too few of them shares the stratum of the most frequent one.
    """
    bands = max(min(BANDS, judgements // _PER_BAND), 1)
    edges = np.unique(np.quantile(risk, np.arange(1, bands) / bands)) if len(risk) else np.zeros(0)
    band = np.searchsorted(edges, risk, side="right")
    codes = int(retriever.max(initial=0)) + 1
    count = np.bincount(band * codes + retriever, minlength=(len(edges) + 1) * codes).reshape(-1, codes)
    rare = count * judgements < _PER_RETRIEVER * max(len(risk), 1)
    own = np.where(rare, count.argmax(axis=1)[:, None], np.arange(codes))
    _, number = np.unique(band * codes + own[band, retriever], return_inverse=True)
    return number


def allocation(sizes: np.ndarray, risk: np.ndarray, judgements: int) -> np.ndarray:
    """How many of each stratum are judged: int (h,), ``judgements`` together or all there are.

    Half of them in proportion to ``sizes`` (h,) times the standard deviation that the mean predicted ``risk``
    (h,) makes expect (Neyman allocation: Cochran 1977, chapter 5), half in proportion to the sizes. Each
    stratum gets two at least, as a variance needs.
    """
    total = min(judgements, int(sizes.sum()))
    p = np.clip(risk, _LEAST_RISK, 1 - _LEAST_RISK)
    neyman = sizes * np.sqrt(p * (1 - p))
    weight = _NEYMAN * neyman / max(neyman.sum(), 1e-9) + (1 - _NEYMAN) * sizes / max(sizes.sum(), 1)
    least = np.minimum(2, sizes)
    if total <= least.sum():
        return _rounded(total * least / max(least.sum(), 1), total, sizes)
    wanted = np.zeros(len(sizes))
    fixed = np.zeros(len(sizes), bool)  # those at their least or greatest number
    while True:
        free = total - wanted[fixed].sum()
        wanted[~fixed] = free * weight[~fixed] / max(weight[~fixed].sum(), 1e-300)
        beyond = ~fixed & (wanted > sizes)
        if not beyond.any():
            beyond = ~fixed & (wanted < least)
        if not beyond.any():
            return _rounded(wanted, total, sizes)
        wanted[beyond] = np.clip(wanted, least, sizes)[beyond]
        fixed |= beyond


def _rounded(wanted: np.ndarray, total: int, sizes: np.ndarray) -> np.ndarray:
    """Whole numbers with the sum ``total``, by the greatest remainders."""
    whole = np.floor(wanted + 1e-9).astype(np.int64)
    order = np.argsort(np.where(whole < sizes, whole - wanted, np.inf), kind="stable")
    whole[order[: total - int(whole.sum())]] += 1
    return whole


def draw(stratum: np.ndarray, sizes: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Rows of the ``sizes[h]`` negatives of each stratum with the least keys (n,), by stratum.

    A simple random sample of each without replacement. Keys stay with a pair, so a larger sample holds a
    smaller one, and negatives that a new filter keeps are mostly drawn again (permanent random numbers).
    """
    rows = np.argsort(stratum, kind="stable")
    ends = np.cumsum(np.bincount(stratum, minlength=len(sizes)))
    chosen = []
    for first, end, size in zip(np.concatenate([[0], ends[:-1]]), ends, sizes, strict=True):
        own = rows[first:end]
        if size:
            own = own[np.argpartition(key[own], size - 1)[:size]]
            chosen.append(own[np.argsort(key[own], kind="stable")])
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)


def draw_keys(seed: int, query_key: np.ndarray, passage_key: np.ndarray) -> np.ndarray:
    """What decides the draw of each pair: uint64 (n,)."""
    return mix(seed, _AUDIT, query_key, passage_key)


def sheet_order(seed: int, query_key: np.ndarray, passage_key: np.ndarray) -> np.ndarray:
    """Order of drawn pairs in which no stratum shows: rows (m,)."""
    return np.argsort(mix(seed, _SHEET, query_key, passage_key), kind="stable")


def rank_band(position: np.ndarray) -> np.ndarray:
    """Place in ``RANK_BANDS`` of each position among a query's negatives (n,), counted from 1."""
    return np.searchsorted([1, 3], position, side="left")


RANK_BANDS = ("1", "2-3", "4+")
