"""The audit of a run: a sample of its negatives, their labels, and what share of all is false."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from negmine.config import Config
from negmine.errors import ArtifactError, ConfigError, InputError, UsageError
from negmine.labelling.labels import LABELS, PERSON, Label, append_labels, read_labels
from negmine.labelling.sheet import Drawn, Judged, check_sheet, read_sheet, write_sheet
from negmine.quality.design import RANK_BANDS, allocation, draw, draw_keys, rank_band, sheet_order, strata
from negmine.quality.estimating import Rate, new_queries_interval, stratified_rate
from negmine.quality.population import Population, drawn, population, unknown_ids
from negmine.remote.opening import open_run
from negmine.remote.steady import steady
from negmine.remote.stores import is_url
from negmine.stages.base import Run
from negmine.stages.final import final_reads, final_stage
from negmine.stages.judge import Judges, Question, Said
from negmine.store.files import read_json, write_json
from negmine.store.manifest import Manifest
from negmine.store.workdir import WorkDir

AUDIT = "audit.json"
JUDGEMENTS = 200


@dataclass(frozen=True)
class Group:
    """The rate among a part of the negatives: ``by`` is position, retriever or risk, ``name`` which."""

    by: str
    name: str
    rate: Rate


@dataclass(frozen=True)
class Audit:
    """What is known of a run's false negatives from labels of ``sampled`` of them.

    ``overall`` is about the negatives of this run, ``new_queries`` the 95% interval for further queries of the
    same kind, ``if_unsure`` the rate if all that people were ``unsure`` about were relevant. Unsure ones are
    not in the other figures. ``predicted`` is the mean of the risk that the negatives were drawn by. ``agreement``:
    of how many drawn negatives a judge and people both said something, and of how many the same; None without a judge.
    """

    filter: Mapping[str, str]
    seed: int
    judgements: int
    queries: int
    sampled: int
    labelled: int
    unsure: int
    sources: Mapping[str, int]
    overall: Rate
    new_queries: tuple[float, float] | None
    if_unsure: Rate
    predicted: float
    groups: tuple[Group, ...]
    agreement: tuple[int, int] | None = None

    def as_json(self) -> dict[str, Any]:
        """What ``audit.json`` holds."""
        names = ("filter", "seed", "judgements", "queries", "sampled", "labelled", "unsure", "sources", "predicted")
        return {
            **{name: getattr(self, name) for name in names},
            **self.overall.as_json(),
            "interval_new_queries": None if self.new_queries is None else list(self.new_queries),
            "rate_if_unsure_relevant": self.if_unsure.rate,
            "agreement": None if self.agreement is None else dict(zip(("both", "same"), self.agreement, strict=True)),
            "groups": [{"by": each.by, "name": each.name, **each.rate.as_json()} for each in self.groups],
        }


@dataclass(frozen=True)
class _Sample:
    """Negatives that are to be judged: rows (m,) of the population, their ``stratum`` (m,) in its ``sizes`` (h,)."""

    of: Population
    every: np.ndarray
    """The stratum of each negative (n,)."""
    rows: np.ndarray
    texts: Sequence[Drawn]
    manifest: Manifest
    judgements: int

    def with_labels(self, labels: Mapping[str, Label], seed: int) -> Audit:
        given = [labels.get(text.pair) for text in self.texts]
        sure = np.array([label is not None and label.relevant is not None for label in given], bool)
        hit = np.array([label is not None and bool(label.relevant) for label in given], bool)
        known = np.array([label is not None for label in given], bool)
        sources = [label.source for label in given if label is not None]
        sizes, stratum = np.bincount(self.every), self.every[self.rows]
        interval = new_queries_interval(sizes, stratum[sure], self.of.query[self.rows][sure], hit[sure])
        return Audit(
            filter=_state(self.manifest),
            seed=seed,
            judgements=self.judgements,
            queries=len(np.unique(self.of.query)),
            sampled=len(self.rows),
            labelled=int(known.sum()),
            unsure=int((known & ~sure).sum()),
            sources={name: sources.count(name) for name in sorted(set(sources))},
            overall=self._rate(np.ones(len(self.of), bool), sure, hit),
            new_queries=interval if sure.any() else None,
            if_unsure=self._rate(np.ones(len(self.of), bool), known, hit | (known & ~sure)),
            predicted=float(self.of.risk.mean()),
            groups=tuple(self._groups(sure, hit)),
        )

    def _groups(self, sure: np.ndarray, hit: np.ndarray) -> list[Group]:
        of, found = self.of, []
        band = rank_band(of.position)
        for number, name in enumerate(RANK_BANDS):
            found.append(Group("position", name, self._rate(band == number, sure, hit)))
        if len(of.retrievers) > 1:
            for number, name in enumerate(of.retrievers):
                found.append(Group("retriever", name, self._rate(of.retriever == number, sure, hit)))
        for number in range(int(self.every.max()) + 1):
            here = self.every == number
            found.append(Group("risk", self._named(here), self._rate(here, sure, hit)))
        return [group for group in found if group.rate.population]

    def _named(self, here: np.ndarray) -> str:
        risk, of = self.of.risk[here], self.of
        name = f"{risk.min():.3f} to {risk.max():.3f}"
        several = [of.retrievers[number] for number in np.unique(of.retriever[here])]
        return f"{name}, {' + '.join(several)}" if len(of.retrievers) > 1 else name

    def _rate(self, domain: np.ndarray, judged: np.ndarray, hit: np.ndarray) -> Rate:
        """The rate among the negatives of a ``domain`` (n,): given how many of its part of each stratum were
        drawn, these are a simple random sample of it."""
        count = int(self.every.max()) + 1
        stratum, inside = self.every[self.rows], domain[self.rows]
        return stratified_rate(
            np.bincount(self.every[domain], minlength=count),
            np.bincount(stratum[inside & judged], minlength=count),
            np.bincount(stratum[inside & judged & hit], minlength=count),
        )


def audit(config: Config, judgements: int | None = None) -> Audit:
    """Estimate the rate of false negatives from the labels there are, and keep it as ``audit.json``.

    ``judgements`` is how many negatives are drawn; None for as many as the last time, at first ``JUDGEMENTS``.
    Raises UsageError for a run at a URL; ArtifactError when filter (or judge, where there is one) has not finished, or
    a file is damaged; InputError for a bad line in the labels.
    """
    with writing(config) as work:
        return _estimated(config, work, _sample(config, work, judgements))


def judged_audit(config: Config, judgements: int | None, progress: Callable[[], None]) -> Audit:
    """The same with the labels that the language models of ``config.judge`` give to what no person labelled.

    It is about the negatives of filter, before judge: what a judge has let pass, it would let pass again. ``progress``
    is told of every answer. Raises ConfigError without such a model, and when its budget is spent; what ``audit`` does.
    """
    if config.judge is None or config.judge.endpoint is None:
        raise ConfigError("there is no language model to label", where="judge.endpoint", hint="Set it.")
    with writing(config, "filter") as work:
        sample = _sample(config, work, judgements, "filter")
        with Judges(config, work.root, people=False) as judges:
            judges.settle([_question(text) for text in sample.texts], progress)
            said = {text.pair: judges.known(text.pair) for text in sample.texts}
        people = read_labels(work.root / LABELS, {text.pair for text in sample.texts})
        people = {pair: label for pair, label in people.items() if label.source == PERSON}
        judged = {pair: each for pair, each in said.items() if isinstance(each, Said)}
        model = config.judge.endpoint.model
        given = {pair: Label(each.relevant, f"judge {each.by or model}") for pair, each in judged.items()}
        both = [
            (label.relevant, judged[pair].relevant)
            for pair, label in people.items()
            if label.relevant is not None and judged[pair].relevant is not None
        ]
        same = sum(person == judge for person, judge in both)
        found = replace(sample.with_labels({**given, **people}, config.seed), agreement=(len(both), same))
        write_json(work.root / AUDIT, found.as_json())
        return found


def _question(text: Drawn) -> Question:
    query, _, passage = text.pair.partition("-")
    return Question(query, text.query, text.positives, ((passage, text.candidate),))


def export_sheet(config: Config, path: Path, judgements: int | None = None) -> tuple[Audit, int]:
    """Write what is left to be labelled to a sheet, and how many rows that is; no file when there are none.

    Raises UsageError for a file that a sheet cannot be written to, and what ``audit`` does.
    """
    check_sheet(path)
    with writing(config) as work:
        sample = _sample(config, work, judgements)
        found = _estimated(config, work, sample)
        labels = read_labels(work.root / LABELS, {text.pair for text in sample.texts})
        of, rows = sample.of, sample.rows
        order = sheet_order(config.seed, of.query_key[rows], of.passage_key[rows])
        left = [sample.texts[place] for place in order if sample.texts[place].pair not in labels]
        if left:
            write_sheet(path, left)
        return found, len(left)


@dataclass(frozen=True)
class Imported:
    """What became of a sheet: rows that were judged, those left ``empty``, labels that were ``new`` or changed,
    and those about pairs that this run's sample does not have (they are kept, for a run that does)."""

    judged: int
    empty: int
    new: int
    elsewhere: int


def import_sheet(config: Config, path: Path, judgements: int | None = None) -> tuple[Audit, Imported]:
    """Take the judgements of a sheet into ``labels.jsonl``, and estimate again.

    Raises InputError for a row that cannot be used, or is about ids that the run does not have; then no label
    is taken. Raises what ``audit`` does.
    """
    rows, empty = read_sheet(path)
    with writing(config) as work:
        sample = _sample(config, work, judgements)
        here = {text.pair for text in sample.texts}
        others = [row for row in rows if row.pair not in here]
        check_ids(config, work, others)
        store = work.root / LABELS
        known = read_labels(store, {row.pair for row in rows})
        given = [(row.pair, Label(row.relevant, PERSON)) for row in rows]
        new = [(pair, label) for pair, label in given if known.get(pair) != label]
        if new:
            append_labels(store, new)
        found = _estimated(config, work, sample)
        return found, Imported(len(rows), empty, len(new), len(others))


def stored_audit(work: WorkDir) -> tuple[dict[str, Any], bool] | None:
    """``audit.json`` of a run, and whether it is about the filter as it is now; None when there is none.

    Raises ArtifactError when the file is damaged.
    """
    path = work.root / AUDIT
    if not path.is_file():
        return None
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("judgements"), int):
        raise ArtifactError("this file is damaged", where=str(path), hint="Delete it and run: negmine audit -c CONFIG")
    state = found.get("filter")
    manifest = work.manifest("judge" if isinstance(state, dict) and state.get("stage") == "judge" else "filter")
    return found, manifest is not None and state == _state(manifest)


@contextlib.contextmanager
def writing(config: Config, stage: str | None = None) -> Iterator[WorkDir]:
    """The run of a config, for this command alone to write to."""
    if is_url(config.work_dir):
        raise UsageError(
            "labels are kept in the work_dir, and this one is a URL",
            hint="Copy the run to a folder, and audit it there: --set work_dir=FOLDER.",
        )
    _, work = open_run(config)
    stage = stage or final_stage(config)
    if work.manifest(stage) is None:
        raise ArtifactError(f"{stage} has not finished in this run", where=work.name, hint="Run: negmine run -c CONFIG")
    with work.writing():
        yield work


def _sample(config: Config, work: WorkDir, judgements: int | None, stage: str | None = None) -> _Sample:
    """What is drawn of the negatives by the verdicts of a stage, the final ones unless it is given."""
    verdicts = stage or final_stage(config)
    if judgements is None:
        stored = stored_audit(work)
        judgements = stored[0]["judgements"] if stored is not None else JUDGEMENTS
    wanted: int = judgements

    def read(work: WorkDir, manifests: Mapping[str, Manifest]) -> _Sample:
        of = population(config, work, manifests, verdicts)
        every = strata(of.risk, of.retriever, wanted)
        sizes = np.bincount(every)
        counts = allocation(sizes, np.bincount(every, weights=of.risk) / sizes, wanted)
        rows = draw(every, counts, draw_keys(config.seed, of.query_key, of.passage_key))
        return _Sample(of, every, rows, drawn(config, work, manifests, of, rows), manifests[verdicts], wanted)

    reads = final_reads(config if verdicts != "filter" else config.model_copy(update={"judge": None}))
    return steady(config, *reads, read)


def _estimated(config: Config, work: WorkDir, sample: _Sample) -> Audit:
    labels = read_labels(work.root / LABELS, {text.pair for text in sample.texts})
    found = sample.with_labels(labels, config.seed)
    write_json(work.root / AUDIT, found.as_json())
    return found


def check_ids(config: Config, work: WorkDir, rows: Sequence[Judged]) -> None:
    """Refuse rows about queries and documents that the run does not have. Raises InputError."""
    query_ids, doc_ids = [row.query_id for row in rows], [row.doc_id for row in rows]
    no_query, no_document = unknown_ids(Run(config, work), query_ids, doc_ids) if rows else (set(), set())
    for row in rows:
        for noun, name, missing in (("query", row.query_id, no_query), ("document", row.doc_id, no_document)):
            if name in missing:
                raise InputError(
                    f"this run has no {noun} '{name[:80]}'",
                    where=row.where,
                    hint="Is the sheet from another run? Delete the row if it is out of date.",
                )


def _state(manifest: Manifest) -> dict[str, str]:
    """What tells one result of filter, or of judge, from another."""
    return {"stage": manifest.stage, "fingerprint": manifest.fingerprint, "output": manifest.outputs["all"]}
