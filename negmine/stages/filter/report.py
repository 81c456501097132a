"""``report.json``: what the filter did to the run as a whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.selection.verdicts import reason_names
from negmine.stages.base import Job
from negmine.stages.filter.loading import passages_of, queries_of, scorers_of
from negmine.store.files import read_json
from negmine.store.tables import iter_batches, to_numpy

_STARVED_LISTED = 1000
_HUBS_LISTED = 20
_BINS = 20


def report(job: Job, parts: Sequence[str], queries: int) -> Mapping[str, int]:
    """Look at every verdict and publish the report."""
    wanted = job.config.filter.num_negatives
    reasons = dict.fromkeys(reason_names(job.config.filter.exclude_same), 0)
    kept = np.zeros(queries, np.int64)
    used = np.zeros(job.manifest("ingest").counts["passages"], np.int64)
    margins: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    risks: list[np.ndarray] = []
    by_retriever = _ByRetriever()
    for part in parts:
        columns = ["query", "passage", "reason", "score", "reference", "risk", "retrievers"]
        for batch in iter_batches(job.own(part), columns, rows=1 << 20):
            for entry in pc.value_counts(batch["reason"]).to_pylist():
                reasons[entry["values"]] += entry["counts"]
            taken = batch.filter(pc.equal(batch["reason"], "kept"))
            by_retriever.add(batch["retrievers"], taken["retrievers"])
            kept += np.bincount(to_numpy(taken["query"]), minlength=queries)
            used += np.bincount(to_numpy(taken["passage"]), minlength=len(used))
            scores.append(to_numpy(taken["score"]))
            margins.append(to_numpy(taken["reference"]) - scores[-1])
            risks.append(to_numpy(pc.drop_null(taken["risk"])))
    starved = np.flatnonzero(kept < wanted)
    names = queries_of(job).take(starved[:_STARVED_LISTED], ["query_id"])["query_id"].to_pylist()
    risk = np.concatenate(risks)
    calibration = read_json(job.own("calibration.json"))
    found = {
        "queries": queries,
        "num_negatives": wanted,
        "negatives": int(kept.sum()),
        "yield": float(np.minimum(kept, wanted).sum() / (queries * wanted)),
        "queries_with_all": int((kept >= wanted).sum()),
        "queries_without_any": int((kept == 0).sum()),
        "candidates": sum(reasons.values()),
        "reasons": reasons,
        "retrievers": by_retriever.summary(),
        "score": _summary(np.concatenate(scores)),
        "margin": _summary(np.concatenate(margins)),
        "risk": {
            "limit": calibration["risk_limit"],
            "mean": float(risk.mean()) if len(risk) else None,
            "model": "fitted on this run" if calibration["fitted_on"] else "shipped",
            "fitted_on": calibration["fitted_on"],
        },
        "leak_margin": calibration["leak_margin"],
        **_leak_margins(job, calibration),
        "leak": calibration["leak"],
        "pairs": read_json(job.own("pairs.json")),
        "hubs": _hubs(job, used),
        "starved": [{"query_id": name, "negatives": int(kept[q])} for name, q in zip(names, starved, strict=False)],
        "starved_not_listed": max(len(starved) - _STARVED_LISTED, 0),
    }
    job.facts["leak"] = found["leak"] or {}
    if scorers_of(job):
        job.facts["scorers"] = list(job.config.scorers)
    with job.publish("report.json") as output:
        output.path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
        output.rows = 1
    return {"queries_with_all": int((kept >= wanted).sum()), "queries_without_any": int((kept == 0).sum())}


def _leak_margins(job: Job, calibration: Mapping[str, Any]) -> dict[str, Any]:
    """The calibrated margin of each scorer, where several have one."""
    if not calibration.get("more_leak_margins"):
        return {}
    margins = [calibration["leak_margin"], *calibration["more_leak_margins"]]
    return {"leak_margins": dict(zip(job.config.scorers, margins, strict=True))}


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


def _hubs(job: Job, used: np.ndarray) -> dict[str, Any]:
    """How evenly passages serve as negatives, and those that serve most often."""
    order = np.argsort(-used, kind="stable")[:_HUBS_LISTED]
    order = order[used[order] > 1]
    names = dict(
        zip(
            np.sort(order).tolist(),
            passages_of(job).take(np.sort(order), ["doc_id"])["doc_id"].to_pylist(),
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
