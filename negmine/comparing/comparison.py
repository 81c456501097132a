"""Two finished runs side by side: settings, churn of the negatives, shifts of their scores."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from negmine.comparing.churn import histogram, most_changed, overlap, summary
from negmine.comparing.lists import QueryChange, Shown, query_changes, query_number
from negmine.comparing.matching import WAYS
from negmine.comparing.opening import Named, named
from negmine.comparing.reading import KEPT, Negatives, Side, matched_passages, matched_queries
from negmine.comparing.settings import SettingChange, other_scorer, setting_changes
from negmine.config import Config
from negmine.errors import ArtifactError
from negmine.stages import STAGES
from negmine.store.files import read_json
from negmine.store.manifest import Manifest
from negmine.store.workdir import WorkDir

MOST = 10
_LISTED = 20
MEASURES = ("score", "margin", "risk", "rank")


@dataclass(frozen=True)
class RunSummary:
    """One of the runs: how it was named, its negatives, and when and by what they were made.

    ``warnings`` say what is stale or unfinished about it.
    """

    name: str
    queries: int
    negatives: int
    fingerprint: str
    created: str
    tool_version: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Churn:
    """How far the negatives of the queries that both runs have differ.

    ``jaccard`` summarises the Jaccard index of a query's two lists (1: the same passages; also where both are empty):
    count, mean and quantiles; ``histogram`` counts queries by it. ``kept`` negatives are in both runs, ``gone`` only
    in A, ``new`` only in B. ``matched_by`` says how many queries were matched by what. ``removed_queries`` are only in
    A, ``new_queries`` only in B; the first of their ids are listed.
    """

    queries: int
    unchanged: int
    jaccard: Mapping[str, Any]
    histogram: Mapping[str, Any]
    kept: int
    gone: int
    new: int
    matched_by: Mapping[str, int]
    removed_queries: int
    new_queries: int
    removed_ids: tuple[str, ...]
    new_ids: tuple[str, ...]

    @property
    def churn(self) -> float | None:
        """1 - the mean Jaccard index: 0 when nothing changed, 1 when no negative is left; None without queries."""
        mean = self.jaccard["mean"]
        return None if mean is None else 1 - mean


@dataclass(frozen=True)
class Shift:
    """A figure of the negatives of the queries that both runs have: count, mean and quantiles in each run.

    ``not_comparable`` says why the figures of the two are not in the same units; '' when they are.
    """

    measure: str
    a: Mapping[str, Any]
    b: Mapping[str, Any]
    not_comparable: str = ""


@dataclass(frozen=True)
class Comparison:
    """Runs A and B compared.

    ``reasons`` count the verdicts on all candidates of each run. ``gone`` says what B made of the negatives that only
    A has, ``new`` what A made of those that only B has: the reason of a verdict, ``not_mined`` or ``not_there``.
    ``changed`` are the queries that changed most, or those that were asked for.
    """

    a: RunSummary
    b: RunSummary
    settings: tuple[SettingChange, ...]
    churn: Churn
    shifts: tuple[Shift, ...]
    reasons: Mapping[str, tuple[int, int]]
    gone: Mapping[str, int]
    new: Mapping[str, int]
    changed: tuple[QueryChange, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        found = asdict(self)
        found["churn"]["churn"] = self.churn.churn
        found["reasons"] = {reason: {"a": a, "b": b} for reason, (a, b) in self.reasons.items()}
        return found


def compare(
    run_a: Config | str | os.PathLike[str],
    run_b: Config | str | os.PathLike[str],
    *,
    most: int = MOST,
    query_ids: Sequence[str] = (),
) -> Comparison:
    """Compare the negatives of two finished runs; each is a config, a config file, or a work_dir (path or URL).

    ``most`` queries that changed most are listed with their texts, or those of ``query_ids`` alone. Reads finished
    stages only: what a config says now does not matter. Queries are matched by id and text, those of another id by
    their text, those of another text by their id; passages too.

    Raises UsageError for what is no run, or a query that neither has; ArtifactError when filter has not finished in
    one, or was made from another ingest than is there, or a file is damaged.
    """
    a, b = named(run_a), named(run_b)

    def read_b(work_a: WorkDir, manifests_a: Mapping[str, Manifest]) -> Comparison:
        side_a = Side(work_a, _all(work_a, manifests_a))
        return b.read(
            lambda work, manifests: _compared(a, b, side_a, Side(work, _all(work, manifests)), most, query_ids)
        )

    return a.read(read_b)


def _all(work: WorkDir, manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """The manifests of all stages that have finished, in order."""
    found = dict(manifests)
    for stage in STAGES:
        if stage not in found:
            try:
                manifest = work.manifest(stage)
            except ArtifactError:
                manifest = None  # it tells of settings only
            if manifest is not None:
                found[stage] = manifest
    return {stage: found[stage] for stage in STAGES if stage in found}


def _compared(a: Named, b: Named, side_a: Side, side_b: Side, most: int, query_ids: Sequence[str]) -> Comparison:
    (of_a, reasons_a), (of_b, reasons_b) = side_a.negatives(), side_b.negatives()
    queries = matched_queries(side_a, side_b)
    back = queries.to_a(side_b.queries)
    passage_to_b, passage_to_a = matched_passages(side_a, side_b, of_a.passage, of_b.passage)
    fate_a, names_a = side_b.fates(queries.to_b[of_a.query], passage_to_b[of_a.passage])
    fate_b, names_b = side_a.fates(back[of_b.query], passage_to_a[of_b.passage])
    place = np.full(side_a.queries, -1)  # of the matched queries, in the order of A
    matched = np.flatnonzero(queries.to_b >= 0)
    place[matched] = np.arange(len(matched))
    place_a, place_b = place[of_a.query], np.where(back >= 0, place[back], -1)[of_b.query]
    common = fate_a == _code(names_a, KEPT)
    found = overlap(place_a, common, place_b, len(matched))
    removed, added = np.flatnonzero(queries.to_b < 0), np.flatnonzero(back < 0)
    if query_ids:
        pairs = [query_number(side_a, side_b, queries, query_id) for query_id in query_ids]
    else:
        chosen = matched[most_changed(found, most)]
        pairs = list(zip(chosen.tolist(), queries.to_b[chosen].tolist(), strict=True))
    return Comparison(
        a=_summary(a, side_a, of_a),
        b=_summary(b, side_b, of_b),
        settings=setting_changes(side_a.manifests, side_b.manifests),
        churn=Churn(
            queries=len(matched),
            unchanged=int((found.changed == 0).sum()),
            jaccard=summary(found.jaccard),
            histogram=histogram(found.jaccard),
            kept=int(found.both.sum()),
            gone=int((found.in_a - found.both).sum()),
            new=int((found.in_b - found.both).sum()),
            matched_by={name: int((queries.way == number).sum()) for number, name in enumerate(WAYS)},
            removed_queries=len(removed),
            new_queries=len(added),
            removed_ids=_ids(side_a, removed),
            new_ids=_ids(side_b, added),
        ),
        shifts=_shifts(side_a, side_b, of_a, of_b, place_a >= 0, place_b >= 0),
        reasons={name: (reasons_a.get(name, 0), reasons_b.get(name, 0)) for name in {**reasons_a, **reasons_b}},
        gone=_counts(fate_a[place_a >= 0], names_a),
        new=_counts(fate_b[place_b >= 0], names_b),
        changed=query_changes(Shown(side_a, of_a, fate_a, names_a), Shown(side_b, of_b, fate_b, names_b), pairs),
    )


def _summary(run: Named, side: Side, negatives: Negatives) -> RunSummary:
    manifest = side.final
    return RunSummary(
        name=run.name,
        queries=side.queries,
        negatives=len(negatives),
        fingerprint=manifest.fingerprint,
        created=manifest.created,
        tool_version=manifest.tool_version,
        warnings=run.warnings(),
    )


def _code(names: Sequence[str], name: str) -> int:
    """The code of a name; one that nothing has where it does not occur."""
    return names.index(name) if name in names else len(names)


def _counts(codes: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    """How often each name but ``kept`` occurs, most often first."""
    counts = np.bincount(codes, minlength=len(names)).tolist()
    named_ = [(name, count) for name, count in zip(names, counts, strict=True) if count and name != KEPT]
    return dict(sorted(named_, key=lambda each: (-each[1], each[0])))


def _ids(side: Side, numbers: np.ndarray) -> tuple[str, ...]:
    """Ids of the first of some queries."""
    if not len(numbers):
        return ()
    return tuple(side.table("queries", "query").take(numbers[:_LISTED], ["query_id"])["query_id"].to_pylist())


def _shifts(
    side_a: Side, side_b: Side, a: Negatives, b: Negatives, in_both_a: np.ndarray, in_both_b: np.ndarray
) -> tuple[Shift, ...]:
    scorer = other_scorer(side_a.manifests, side_b.manifests)
    why = {"score": scorer, "margin": scorer, "risk": scorer, "rank": ""}
    references = [side.manifests["filter"].made_from["config"].get("filter.reference") for side in (side_a, side_b)]
    if references[0] != references[1]:
        why["margin"] = why["margin"] or "the references differ (filter.reference)"
    models = [_risk_model(side) for side in (side_a, side_b)]
    if models[0] != models[1]:
        why["risk"] = why["risk"] or "the models of the risk differ"
    found = []
    for measure in MEASURES:
        before, after = summary(getattr(a, measure)[in_both_a]), summary(getattr(b, measure)[in_both_b])
        if not before["count"] and not after["count"]:
            continue
        missing = "" if before["count"] and after["count"] else f"only one run has a {measure}"
        found.append(Shift(measure, before, after, missing or why[measure]))
    return tuple(found)


def _risk_model(side: Side) -> Any:
    return read_json(side.work.file(side.manifests["filter"], "calibration.json")).get("model")
