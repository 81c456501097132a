"""What came out of a stage, in a few words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from negmine.store.manifest import Manifest

_MUCH_LOST = 0.02
"""Share of candidates without an answer that a run tells of."""
_LISTED = 3
"""Training files whose rows are told one by one."""


def outcome(manifest: Manifest) -> str:
    """What came out of a stage, in a few words."""
    counts = manifest.counts
    if manifest.stage == "ingest":
        return f"{counts['distinct_queries']:,} queries, {counts['passages']:,} passages"
    if manifest.stage == "filter":
        suspicious = counts.get("suspicious_pairs", 0)
        pairs = f", {suspicious:,} suspicious pairs" if suspicious else ""
        return f"{counts['negatives']:,} negatives{pairs}{_leak(manifest.facts.get('leak'))}"
    if manifest.stage == "judge":
        return _judged(manifest)
    if manifest.stage == "export":
        return _exported(counts)
    truncated = counts.get("truncated_passages", 0) + counts.get("truncated_queries", 0)
    ends = f", {truncated:,} truncated" if truncated else ""
    words = {"embed": "vectors", "index": "vectors", "mine": "candidates", "rerank": "scores"}
    reused = f", {counts['reused']:,} of them reused" if counts.get("reused") else ""
    search = _lists(manifest) if manifest.stage == "index" else _recall(manifest.facts.get("recall"))
    return f"{counts[words[manifest.stage]]:,} {words[manifest.stage]}{reused}{ends}{search}"


def _judged(manifest: Manifest) -> str:
    """How many were judged and what was said, how far two models agree, what that took."""
    counts, spent = manifest.counts, manifest.facts["spent"]
    text = f"{counts['negatives']:,} negatives; {counts['confirmed']:,} of {counts['judged']:,} judged are relevant"
    if counts["strong_asked"]:
        agreed = counts["strong_agreed"] / counts["strong_asked"]
        text += f", {counts['flagged']:,} flagged ({agreed:.0%} of {counts['strong_asked']:,} confirmed)"
    words = ("no_answer", "refused", "not_judged", "promoted", "queries_held_out")
    parts = [f"{counts[name]:,} {name.replace('_', ' ')}" for name in words if counts[name]]
    if spent["requests"]:
        parts.append(f"{spent['requests']:,} requests in all")
        parts += [f"cost {spent['cost']:.4g}"] if spent["cost"] else []
    return ", ".join([text, *parts])


def judge_warnings(counts: Mapping[str, int]) -> Iterator[str]:
    """What a judge left open that it should not have."""
    if counts["not_judged"]:
        yield (
            f"nobody has judged {counts['not_judged']:,} candidates: negatives among them stay, others take no place."
            " Write them to a sheet with: negmine judge --export-sheet FILE"
        )
    asked = counts["judged"]
    lost = counts["no_answer"] + counts["refused"]
    if asked and lost / asked > _MUCH_LOST:
        yield (
            f"the judge gave no answer to {counts['no_answer']:,} of {asked:,} candidates, and refused"
            f" {counts['refused']:,}: filter's verdict stands for them"
        )


def _exported(counts: Mapping[str, int]) -> str:
    """Rows of the training files, one by one where they are few, and how many there was no place for."""
    rows = {key.partition(":")[2]: count for key, count in counts.items() if key.startswith("rows:")}
    left_out = {name: counts.get(f"left_out:{name}", 0) for name in rows}
    if len(rows) > _LISTED:
        return f"{sum(rows.values()):,} rows in {len(rows)} files" + _without(sum(left_out.values()))
    return ", ".join(f"{count:,} rows{_without(left_out[name])}" for name, count in rows.items())


def _without(rows: int) -> str:
    return f" ({rows:,} left out)" if rows else ""


def _leak(leak: Mapping[str, Any] | None) -> str:
    """The share of hidden positives that became negatives, where it was measured on enough queries to mean much."""
    from negmine.selection.bootstrap import ENOUGH_QUERIES

    if not leak or leak["rate"] is None or leak["queries"] < ENOUGH_QUERIES:
        return ""
    return f", leak {leak['rate']:.1%}"


def _lists(manifest: Manifest) -> str:
    lists = manifest.facts["search"].get("lists")
    return f" in {lists:,} lists" if lists else ""


def _recall(recall: Mapping[str, Any] | None) -> str:
    """How much of what exact search finds was found, where that was measured."""
    if not recall:
        return ""
    if recall["fallback"]:
        return ", exact search"
    return f", recall@{recall['k']} {recall['recall']:.3f} (>= {math.floor(recall['lower_bound'] * 1000) / 1000:.3f})"
