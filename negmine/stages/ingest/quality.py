"""What the user's data are like: counts, repetitions, lengths, scripts and languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from negmine.selection.random import mix
from negmine.stages.ingest.languages import languages, scripts

SAMPLED = 2000
"""Texts whose script and language are looked at, of queries and of passages."""
_READ = 1000
"""Characters of a text that are looked at for it."""


class Survey:
    """Lengths of distinct texts, and a sample of them that depends on their ids alone."""

    def __init__(self, sampled: int = SAMPLED) -> None:
        self._most = sampled
        self._lengths: list[np.ndarray] = []
        self._keys = np.empty(0, np.uint64)
        self._sample: list[str] = []

    def add(self, texts: Sequence[str], keys: np.ndarray) -> None:
        """More texts, with a key uint64 (n,) each that is no other's; the least of the mixed keys are sampled."""
        self._lengths.append(np.fromiter(map(len, texts), np.int64, len(texts)))
        mixed = mix(0, keys)
        bound = self._keys[-1] if len(self._keys) == self._most else None
        rows = np.arange(len(texts)) if bound is None else np.flatnonzero(mixed < bound)
        held = self._sample + [texts[row][:_READ] for row in rows.tolist()]
        joined = np.concatenate([self._keys, mixed[rows]])
        order = np.argsort(joined, kind="stable")[: self._most]
        self._keys, self._sample = joined[order], [held[place] for place in order]

    def report(self) -> dict[str, Any]:
        """Characters, scripts and languages."""
        lengths = np.concatenate([np.empty(0, np.int64), *self._lengths])
        return {
            "characters": percentiles(lengths, {"p50": 50, "p90": 90, "p99": 99, "max": 100}),
            "scripts": scripts(self._sample),
            "languages": languages(self._sample),
            "sampled": len(self._sample),
        }


def percentiles(values: np.ndarray, wanted: Mapping[str, float]) -> dict[str, int]:
    """The least value that so many percent of ``values`` (n,), n >= 1, do not exceed, by name."""
    found = np.percentile(values, list(wanted.values()), method="inverted_cdf")
    return dict(zip(wanted, found.astype(np.int64).tolist(), strict=True))


def quality(
    counts: Mapping[str, int], queries: Survey, passages: Survey, pairs: np.ndarray, queries_as_passages: int
) -> dict[str, Any]:
    """What ``quality.json`` says. ``pairs`` (q,): how many positives each distinct query has."""
    documents = counts["documents"] + counts["ids_merged"]
    return {
        "queries": {
            "count": counts["distinct_queries"],
            "merged": counts["queries"] - counts["distinct_queries"],
            "also_passages": queries_as_passages,
            **queries.report(),
        },
        "passages": {
            "count": counts["passages"],
            "documents": documents,
            "ids_merged": counts["ids_merged"],
            "merged": counts["rows"] - counts["passages"],
            "blank": counts["blank_documents"],
            "cut": counts["documents_cut"],
            **passages.report(),
        },
        "pairs": {
            "count": counts["positives"],
            "repeated": counts["pairs_repeated"],
            "blank": counts["blank_positives"],
            "per_query": percentiles(pairs, {"min": 0, "p50": 50, "p90": 90, "max": 100}),
        },
        "guarded": {"queries": counts["guarded_queries"], "passages": counts["guarded_passages"]},
        "rejected": counts["rows_rejected"],
    }
