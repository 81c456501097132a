"""What went into each stage, what came out of it, and what was left on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from negmine.pipeline import StageStatus
from negmine.report.snapshot import Snapshot
from negmine.store.manifest import Manifest

Words = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """A stage as the page tells of it: ``came_in``, ``came_out`` and ``left`` (dropped, merged, cut) in words."""

    stage: str
    state: str
    why: str
    came_in: Words = ()
    came_out: Words = ()
    left: Words = ()
    seconds: float | None = None
    memory: int | None = None
    finished: str = ""


def steps(snapshot: Snapshot) -> list[Step]:
    """Every stage of the run, in order; of one that has not finished, its state alone."""
    return [_step(snapshot, status) for status in snapshot.stages]


def _step(snapshot: Snapshot, status: StageStatus) -> Step:
    manifest = status.manifest
    if manifest is None:
        return Step(status.stage, status.state, status.why)
    came_in, came_out, left = _TOLD.get(status.stage, _other)(manifest, snapshot)
    return Step(
        status.stage,
        status.state,
        status.why,
        came_in,
        came_out,
        left,
        manifest.wall_seconds,
        manifest.peak_rss_bytes,
        manifest.created,
    )


def _ingest(manifest: Manifest, snapshot: Snapshot) -> tuple[Words, Words, Words]:
    counts = manifest.counts
    came_in = _told(counts, {"query_rows": "rows of queries and labels", "corpus_rows": "rows of the corpus"})
    names = {"distinct_queries": "queries", "passages": "passages", "positives": "labelled pairs"}
    merged = {
        "repeated query texts": counts["queries"] - counts["distinct_queries"],
        "repeated passage texts": counts["rows"] - counts["passages"],
    }
    more = {
        "rows_rejected": "bad rows skipped",
        "blank_documents": "blank documents",
        "queries_without_positive": "queries without a positive",
        "guarded_queries": "queries held back for evaluation",
        "guarded_passages": "passages held back for evaluation",
        "conflicting_labels": "labels in conflict",
    }
    left = [f"{words}: {count:,}" for words, count in merged.items() if count]
    left += [f"{words}: {counts[key]:,}" for key, words in more.items() if counts.get(key)]
    return came_in, _told(counts, names, all_=True), tuple(left)


def _embed(manifest: Manifest, snapshot: Snapshot) -> tuple[Words, Words, Words]:
    counts = manifest.counts
    cut = {"truncated_passages": "passages cut by the model", "truncated_queries": "queries cut by the model"}
    reused = {"reused": "of them reused"}
    return (
        (f"{counts['vectors']:,} texts",),
        (f"{counts['vectors']:,} vectors", *_told(counts, reused)),
        _told(counts, cut),
    )


def _index(manifest: Manifest, snapshot: Snapshot) -> tuple[Words, Words, Words]:
    vectors = f"{manifest.counts['vectors']:,} vectors of passages"
    search = manifest.facts["search"]
    named = {"exact": "exact search", "lists": f"search in {search.get('lists', 0):,} lists"}
    return (vectors,), (named.get(search["method"], f"search by {search.get('factory', search['method'])}"),), ()


def _mine(manifest: Manifest, snapshot: Snapshot) -> tuple[Words, Words, Words]:
    known = not snapshot.gap("mine", "ingest")
    queries = snapshot.manifests["ingest"].counts["distinct_queries"] if known else None
    came_in = (f"{queries:,} queries",) if queries is not None else ()
    return came_in, (f"{manifest.counts['candidates']:,} candidates",), ()


def _rerank(manifest: Manifest, snapshot: Snapshot) -> tuple[Words, Words, Words]:
    scores = f"{manifest.counts['scores']:,}"
    return (f"{scores} pairs",), (f"{scores} scores", *_told(manifest.counts, {"reused": "of them reused"})), ()


def _filter(manifest: Manifest, snapshot: Snapshot) -> tuple[Words, Words, Words]:
    counts = manifest.counts
    reasons = {name.removeprefix("reason_"): n for name, n in counts.items() if name.startswith("reason_")}
    random = counts.get("random_negatives", 0)
    came_out = (f"{counts['negatives']:,} negatives", *([f"{random:,} of them random"] if random else []))
    dropped = sorted(((n, name) for name, n in reasons.items() if n and name != "kept"), key=lambda each: -each[0])
    return (f"{sum(reasons.values()):,} candidates",), came_out, tuple(f"{n:,} {name}" for n, name in dropped)


def _judge(manifest: Manifest, snapshot: Snapshot) -> tuple[Words, Words, Words]:
    counts = manifest.counts
    found = {"flagged": "flagged", "confirmed": "confirmed as relevant", "by_people": "judged by people"}
    found |= {"refilled": "taken in place of dropped ones", "promoted": "made positives"}
    left = {"no_answer": "without an answer", "refused": "refused", "queries_held_out": "queries held out"}
    came_out = (f"{counts['negatives']:,} negatives", *_told(counts, found))
    return (f"{counts['judged']:,} candidates judged",), came_out, _told(counts, left)


def _export(manifest: Manifest, snapshot: Snapshot) -> tuple[Words, Words, Words]:
    counts = manifest.counts
    rows = {name.partition(":")[2]: n for name, n in counts.items() if name.startswith("rows:")}
    left = {name.partition(":")[2]: n for name, n in counts.items() if name.startswith("left_out:") and n}
    known = not snapshot.gap("export", snapshot.final)
    negatives = snapshot.manifests[snapshot.final].counts["negatives"] if known else None
    return (
        (f"{negatives:,} negatives",) if negatives is not None else (),
        tuple(f"{n:,} rows in {name}" for name, n in rows.items()),
        tuple(f"{n:,} left out of {name}" for name, n in left.items()),
    )


def _other(manifest: Manifest, snapshot: Snapshot) -> tuple[Words, Words, Words]:
    """A stage that has no words of its own here: all that it counted."""
    return (), tuple(f"{n:,} {name.replace('_', ' ')}" for name, n in manifest.counts.items() if n), ()


def _told(counts: Mapping[str, int], names: Mapping[str, str], *, all_: bool = False) -> Words:
    """Counts in words; those that are 0 only with ``all_``."""
    return tuple(f"{counts[key]:,} {words}" for key, words in names.items() if key in counts and (all_ or counts[key]))


_TOLD: dict[str, Callable[[Manifest, Snapshot], tuple[Words, Words, Words]]] = {
    "ingest": _ingest,
    "embed": _embed,
    "index": _index,
    "mine": _mine,
    "rerank": _rerank,
    "filter": _filter,
    "judge": _judge,
    "export": _export,
}
