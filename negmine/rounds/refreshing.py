"""Mining again with another model, from all that does not depend on it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from negmine.comparing import Comparison, compare
from negmine.config import Config
from negmine.pipeline import Reporter, RunResult, run
from negmine.pipeline.events import Silent
from negmine.remote.opening import open_run
from negmine.remote.steady import MadeFrom, steady
from negmine.rounds.negatives import Became, became
from negmine.rounds.sibling import Sibling, mark
from negmine.stages import STAGES
from negmine.stages.base import Run
from negmine.store.files import link_or_copy, replacing
from negmine.store.manifest import Manifest
from negmine.store.workdir import WorkDir

_SAID = ("labels.jsonl", "judgements.jsonl", "answers.jsonl")
"""What people and judges said of pairs of texts, which belongs to no stage."""
_READ = ("judge", "filter", "mine", "index", "embed", "ingest")
_MADE_FROM = (
    ("judge", "filter", ("all",)),
    ("filter", "mine", ("all",)),
    ("mine", "ingest", ("corpus", "queries", "positives")),
    ("mine", "embed", ("queries",)),
    ("mine", "index", ("all",)),
)


@dataclass(frozen=True)
class Refreshed:
    """A sibling that is up to date: what its run did, and what became of the old negatives."""

    sibling: Sibling
    result: RunResult
    negatives: Became
    comparison: Comparison


def refresh(sibling: Sibling, *, reporter: Reporter | None = None) -> Refreshed:
    """Bring a sibling up to date, and compare its negatives with those of the run that it is of.

    What the old run has and another model leaves as it is, is taken over: the tables of ingest, words that were
    counted for BM25, scores of rerankers, labels and answers about pairs of texts. Its files decide whether they are
    used, as those of an earlier run of the same folder would. An interrupted refresh goes on where it stopped.

    Raises ArtifactError when the old run has not finished its filter, and the errors of ``run``.
    """
    reporter = reporter or Silent()
    prepare(sibling, reporter=reporter)
    result = run(sibling.config, reporter=reporter)
    config, work = open_run(sibling.config)
    new = Run(config, work)

    def read(of_old: WorkDir, manifests: Mapping[str, Manifest]) -> Became:
        return became(Run(sibling.old, of_old), new)

    negatives = steady(sibling.old, *_reads(sibling.old), read)
    return Refreshed(sibling, result, negatives, compare(sibling.old, sibling.config))


def prepare(sibling: Sibling, *, reporter: Reporter | None = None) -> None:
    """Have a sibling's folder, with what is taken over. Raises ArtifactError when the old run has not finished."""
    check_finished(sibling.old)
    mark(sibling)
    _take_over(sibling, reporter or Silent())


def check_finished(config: Config) -> None:
    """Raise ArtifactError when a run has no negatives, or its stages do not belong together."""
    steady(config, *_reads(config), lambda work, manifests: None)


def _reads(config: Config) -> tuple[tuple[str, ...], MadeFrom]:
    """The stages that the negatives of a run are looked up in, and what of them must belong together."""
    stages = _READ if config.judge is not None else _READ[1:]
    return stages, [each for each in _MADE_FROM if each[0] in stages]


def _take_over(sibling: Sibling, reporter: Reporter) -> None:
    """Link finished stages of the old run, and copy what was said of its pairs, where the new one has none."""
    _, old = open_run(sibling.old, tell=reporter.note)
    _, new = open_run(sibling.config, tell=reporter.note)
    taken = []
    with new.writing():
        new.settle()
        for name in _of_use(sibling.config):
            manifest = old.manifest(name)
            if manifest is not None and new.manifest(name) is None:
                _link(old, new, manifest)
                taken.append(name)
        for name in _SAID:
            said, target = old.root / name, new.root / name
            if said.is_file() and not target.exists():
                with replacing(target) as temporary:  # lines are added to it: a copy of its own
                    shutil.copy2(said, temporary)
                taken.append(name)
        new.digests.save()
    if taken:
        reporter.note(f"taken from {old.name}: {', '.join(taken)}")


def _of_use(config: Config) -> list[str]:
    """Stages that hold something that does not depend on the model: of embed the vectors of further encoders, of index
    what BM25 counted."""
    useful = {"ingest", "rerank"} | ({"embed"} if config.others else set()) | ({"index"} if config.mine.bm25 else set())
    return [name for name, stage in STAGES.items() if name in useful and stage.wanted(config)]


def _link(old: WorkDir, new: WorkDir, manifest: Manifest) -> None:
    pending = new.pending(manifest.stage, manifest.fingerprint)
    for part in manifest.parts:
        link_or_copy(old.file(manifest, part.path), pending.path / part.path)
    new.commit(pending, manifest)


def as_json(found: Refreshed, config_file: str | None) -> dict[str, Any]:
    """A refresh as JSON values."""
    return {
        "work_dir": found.sibling.config.work_dir,
        "of": found.sibling.old.work_dir,
        "model": found.sibling.config.embed.model,
        "config": config_file,
        "stages": [
            {"stage": each.stage, "state": each.state, "tasks": each.tasks, "tasks_run": each.tasks_run}
            for each in found.result.stages
        ],
        "exports": [str(path) for path in found.result.exports],
        "negatives": found.negatives.as_json(),
        "churn": found.comparison.as_json()["churn"],
    }
