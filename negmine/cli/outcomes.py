"""What came out of a stage, in a few words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from negmine.store.manifest import Manifest


def outcome(manifest: Manifest) -> str:
    """What came out of a stage, in a few words."""
    counts = manifest.counts
    if manifest.stage == "ingest":
        return f"{counts['distinct_queries']:,} queries, {counts['passages']:,} passages"
    if manifest.stage == "filter":
        suspicious = counts.get("suspicious_pairs", 0)
        pairs = f", {suspicious:,} suspicious pairs" if suspicious else ""
        return f"{counts['negatives']:,} negatives{pairs}{_leak(manifest.facts.get('leak'))}"
    if manifest.stage == "export":
        rows: dict[str, int] = {}
        for part in manifest.parts:
            if part.task.startswith("file-"):
                rows[part.task] = rows.get(part.task, 0) + part.rows
        return ", ".join(f"{count:,} rows" for count in rows.values())
    words = {"embed": "vectors", "index": "vectors", "mine": "candidates"}
    reused = f", {counts['reused']:,} of them reused" if counts.get("reused") else ""
    search = _lists(manifest) if manifest.stage == "index" else _recall(manifest.facts.get("recall"))
    return f"{counts[words[manifest.stage]]:,} {words[manifest.stage]}{reused}{search}"


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
