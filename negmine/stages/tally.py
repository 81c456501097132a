"""What verdicts come to for the run as a whole: how they fill the slots, by reason, by retriever, by passage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.stages.base import Run
from negmine.stages.texts import passages_of, queries_of
from negmine.store.tables import iter_batches, to_numpy

_STARVED_LISTED = 1000
_HUBS_LISTED = 20
_BINS = 20


def tally(run: Run, parts: Sequence[Path], reasons: Sequence[str]) -> dict[str, Any]:
    """Look at every verdict in the files. ``reasons`` are those that there may be.

    ``risk`` is the mean over the negatives, None where no risk was computed.
    """
    wanted, queries = run.config.filter.num_negatives, run.manifest("ingest").counts["distinct_queries"]
    counted = dict.fromkeys(reasons, 0)
    kept = np.zeros(queries, np.int64)
    used = np.zeros(run.manifest("ingest").counts["passages"], np.int64)
    margins: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    risks: list[np.ndarray] = []
    by_retriever = _ByRetriever()
    for part in parts:
        columns = ["query", "passage", "reason", "score", "reference", "risk", "retrievers"]
        for batch in iter_batches(part, columns, rows=1 << 20):
            for entry in pc.value_counts(batch["reason"]).to_pylist():
                counted[entry["values"]] += entry["counts"]
            taken = batch.filter(pc.equal(batch["reason"], "kept"))
            by_retriever.add(batch["retrievers"], taken["retrievers"])
            kept += np.bincount(to_numpy(taken["query"]), minlength=queries)
            used += np.bincount(to_numpy(taken["passage"]), minlength=len(used))
            scores.append(to_numpy(taken["score"]))
            margins.append(to_numpy(taken["reference"]) - scores[-1])
            risks.append(to_numpy(pc.drop_null(taken["risk"])))
    starved = np.flatnonzero(kept < wanted)
    names = queries_of(run).take(starved[:_STARVED_LISTED], ["query_id"])["query_id"].to_pylist()
    risk = np.concatenate(risks)
    return {
        "queries": queries,
        "num_negatives": wanted,
        "negatives": int(kept.sum()),
        "yield": float(np.minimum(kept, wanted).sum() / (queries * wanted)),
        "queries_with_all": int((kept >= wanted).sum()),
        "queries_without_any": int((kept == 0).sum()),
        "candidates": sum(counted.values()),
        "reasons": counted,
        "retrievers": by_retriever.summary(),
        "score": _summary(np.concatenate(scores)),
        "margin": _summary(np.concatenate(margins)),
        "risk": float(risk.mean()) if len(risk) else None,
        "hubs": _hubs(run, used),
        "starved": [{"query_id": name, "negatives": int(kept[q])} for name, q in zip(names, starved, strict=False)],
        "starved_not_listed": max(len(starved) - _STARVED_LISTED, 0),
    }


class _ByRetriever:
    """How many candidates each retriever found, and how many of the negatives."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._negatives = 0

    def add(self, candidates: pa.ListArray, kept: pa.ListArray) -> None:
        """Take account of candidates, given by who found each, and of those that are kept."""
        self._negatives += len(kept)
        for counter, lists in ((self._found, candidates), (self._kept, kept)):
            for entry in pc.value_counts(lists.flatten()).to_pylist():
                counter[entry["values"]] += entry["counts"]

    def summary(self) -> dict[str, dict[str, Any]]:
        """By name: ``candidates``, ``kept`` and the ``share`` of all negatives, which several may have found."""
        most = max(self._negatives, 1)
        return {
            name: {"candidates": self._found[name], "kept": self._kept[name], "share": self._kept[name] / most}
            for name in sorted(self._found)
        }


def _hubs(run: Run, used: np.ndarray) -> dict[str, Any]:
    """How evenly passages serve as negatives, and those that serve most often."""
    order = np.argsort(-used, kind="stable")[:_HUBS_LISTED]
    order = order[used[order] > 1]
    names = dict(
        zip(
            np.sort(order).tolist(),
            passages_of(run).take(np.sort(order), ["doc_id"])["doc_id"].to_pylist(),
            strict=True,
        )
    )
    return {
        "passages_used": int((used > 0).sum()),
        "most_used": int(used.max(initial=0)),
        "top": [{"doc_id": names[int(n)], "negatives": int(used[n])} for n in order],
    }


def _summary(values: np.ndarray) -> dict[str, Any]:
    """Mean, quartiles, extremes and a histogram of the kept negatives' values."""
    if not len(values):
        names = ("mean", "min", "lower_quartile", "median", "upper_quartile", "max")
        return {**dict.fromkeys(names), "histogram": None}
    low, first, middle, third, high = (float(v) for v in np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    counts, edges = np.histogram(values, bins=_BINS)
    return {
        "mean": float(values.mean()),
        "min": low,
        "lower_quartile": first,
        "median": middle,
        "upper_quartile": third,
        "max": high,
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }
