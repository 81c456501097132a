"""Everything that the page of a run tells, read from the run's files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from negmine.config import Config
from negmine.config.mining import DENSE
from negmine.errors import ArtifactError
from negmine.pipeline import status
from negmine.remote.opening import open_run
from negmine.remote.steady import steady
from negmine.remote.stores import Tell
from negmine.report.choosing import choose
from negmine.report.details import Details, collect
from negmine.report.flow import Step, steps
from negmine.report.provenance import Provenance, provenance
from negmine.report.snapshot import Section, Snapshot
from negmine.report.tally import Scores, Tally, doubling, scores, tally
from negmine.stages import STAGES
from negmine.stages.searching import RECALL_FILE
from negmine.stages.texts import StandingTable, passage_texts
from negmine.store.files import read_json
from negmine.store.manifest import Manifest
from negmine.store.workdir import WorkDir
from negmine.sweep import Sweep, axes, sweep
from negmine.text import Template

T = TypeVar("T")
MOST_QUERIES = 1_000
"""Queries that are drawn for the table of the page, as long as they fit."""
_QUERY_BYTES = 3_200_000
"""What the table may take of a page of 5 MB, but for the marks of shared words."""
_HUBS = 20


@dataclass(frozen=True)
class Hub:
    """A passage with how many queries it serves as a negative."""

    doc_id: str
    text: str
    queries: int


@dataclass(frozen=True)
class Hubs:
    """The passages that serve most often; ``groups`` are (from, to, passages, negatives) by how often."""

    top: tuple[Hub, ...]
    groups: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class Shortage:
    """``by_count`` says how many queries have so many negatives, for all counts below the ``wanted`` ones."""

    wanted: int
    by_count: tuple[tuple[int, int], ...]

    @property
    def queries(self) -> int:
        return sum(queries for _, queries in self.by_count)


@dataclass(frozen=True)
class Collected:
    """The parts of the page."""

    config: Config
    stages: Mapping[str, str]
    steps: tuple[Step, ...]
    provenance: Provenance
    scorer: str
    data: Section[Mapping[str, Any]]
    verdicts: Section[Mapping[str, Any]]
    pairs: Section[Mapping[str, Any]]
    scores: Section[Scores]
    sweep: Section[Sweep]
    hubs: Section[Hubs]
    shortage: Section[Shortage]
    recall: Section[Mapping[str, Any] | None]
    is_exact: bool
    queries: Section[Details]
    total_queries: int
    drawn: int | None


def collected(config: Config, queries: int | None, tell: Tell = lambda text: None) -> Collected:
    """Read a run for its page, of one state of it also when another command replaces a stage meanwhile.

    ``queries`` is how many are drawn for the table; None for ``MOST_QUERIES``, or as many as fit into a page of
    5 MB. What has not finished, does not belong together or is damaged is told in the section. Raises
    ArtifactError when no stage has finished.
    """
    stages = status(config, note=tell)
    finished = [each.stage for each in stages if each.manifest is not None] or ["ingest"]
    finished += _no_more(config, {each.stage for each in stages})
    return steady(config, finished, (), lambda work, manifests: _read(config, work, manifests, queries, tell))


def _no_more(config: Config, asked: set[str]) -> list[str]:
    """Stages that the run has and the config does not ask for now: verdicts may rest on them."""
    _, work = open_run(config)
    found = []
    for stage in STAGES.keys() - asked:
        with contextlib.suppress(ArtifactError):
            found += [stage] * (work.manifest(stage) is not None)
    return sorted(found)


def _read(
    config: Config, work: WorkDir, manifests: Mapping[str, Manifest], queries: int | None, tell: Tell
) -> Collected:
    local, _ = open_run(config)
    snapshot = Snapshot(local, work, tuple(status(config)), manifests)
    tell("looking at all verdicts")
    counted = snapshot.section(snapshot.verdicts, lambda: tally(snapshot))
    scored = snapshot.section(_scored_by(snapshot), lambda: scores(snapshot))
    tell("trying other thresholds")
    swept = snapshot.section(_swept_by(config), lambda: sweep(config, axes(config)))
    total = manifests["ingest"].counts["distinct_queries"] if "ingest" in manifests else 0
    return Collected(
        config=config,
        stages={each.stage: each.state for each in snapshot.stages},
        steps=tuple(steps(snapshot)),
        provenance=provenance(config, snapshot),
        scorer=snapshot.scorers[0],
        data=snapshot.section(("ingest",), lambda: manifests["ingest"].facts["quality"]),
        verdicts=snapshot.section((snapshot.final,), lambda: read_json(snapshot.file(snapshot.final, "report.json"))),
        pairs=snapshot.section(("filter",), lambda: read_json(snapshot.file("filter", "pairs.json"))),
        scores=scored,
        sweep=swept,
        hubs=_of(snapshot, counted, lambda found: _hubs(snapshot, found)),
        shortage=_of(snapshot, counted, lambda found: _shortage(snapshot, found)),
        recall=snapshot.section(("mine",), lambda: _recall(snapshot)),
        is_exact=_is_exact(manifests),
        queries=_of(snapshot, counted, lambda found: _details(snapshot, config, found, queries, tell)),
        total_queries=total,
        drawn=queries,
    )


def _of(snapshot: Snapshot, counted: Section[Tally], build: Callable[[Tally], T]) -> Section[T]:
    """What is made from the counts, if there are any."""
    found = counted.value
    return Section(None, counted.gap) if found is None else snapshot.section(snapshot.verdicts, lambda: build(found))


def _scored_by(snapshot: Snapshot) -> tuple[str, ...]:
    return (*snapshot.verdicts, "rerank") if "rerank" in snapshot.scorers else snapshot.verdicts


def _swept_by(config: Config) -> tuple[str, ...]:
    stages = ("mine", "index", "embed", "ingest")
    return stages if config.rerank is None else ("rerank", *stages)


def _details(snapshot: Snapshot, config: Config, found: Tally, queries: int | None, tell: Tell) -> Details:
    chosen = choose(snapshot, found, MOST_QUERIES if queries is None else queries)
    tell("collecting queries")
    return collect(config, chosen, _QUERY_BYTES if queries is None else None)


def _hubs(snapshot: Snapshot, found: Tally) -> Hubs:
    order = np.argsort(-found.used, kind="stable")[:_HUBS]
    order = order[found.used[order] > 1]
    template = Template(snapshot.manifests["ingest"].made_from["config"]["data.passage_template"])
    table = StandingTable(snapshot.file("ingest", "corpus.parquet"), "passage")
    numbers = np.sort(order)
    rows = table.take(numbers, list(dict.fromkeys(["doc_id", *template.names])))
    names, texts = rows["doc_id"].to_pylist(), passage_texts(rows, template).to_pylist()
    place = {number: i for i, number in enumerate(numbers.tolist())}
    top = [Hub(names[place[n]], texts[place[n]], int(found.used[n])) for n in order.tolist()]
    return Hubs(tuple(top), tuple(doubling(found.used)))


def _shortage(snapshot: Snapshot, found: Tally) -> Shortage:
    wanted = snapshot.manifests["filter"].made_from["config"]["filter.num_negatives"]
    counts = np.bincount(found.kept, minlength=wanted)[:wanted]
    return Shortage(wanted, tuple(enumerate(counts.tolist())))


def _is_exact(manifests: Mapping[str, Manifest]) -> bool:
    """Whether candidates come from a search of all vectors."""
    if "mine" not in manifests or "index" not in manifests:
        return False
    entries = manifests["mine"].made_from.get("setting", {}).get("mine.retrievers", {}).get("entries", [])
    return DENSE in entries and manifests["index"].facts["search"]["method"] == "exact"


def _recall(snapshot: Snapshot) -> Mapping[str, Any] | None:
    """The certificate of an approximate search; None where the search is exact, or not measured."""
    return read_json(snapshot.file("mine", RECALL_FILE)) if snapshot.has("mine", RECALL_FILE) else None
