"""Sheets for people who judge instead of a language model, or before it.

Their judgements go to ``judgements.jsonl``. They decide what becomes of candidates, where the labels of an audit only
measure: an audit whose labels decided as well would find what it took away gone, and call the rest clean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from negmine.config import Config
from negmine.labelling.labels import PERSON, Label, append_labels, read_labels
from negmine.labelling.sheet import Drawn, check_sheet, read_sheet, write_sheet
from negmine.quality.auditing import Imported, check_ids, writing
from negmine.remote.steady import steady
from negmine.stages.base import Run
from negmine.stages.final import final_reads
from negmine.stages.judge import Judges, Preview, ids_of, looked_at, preview
from negmine.stages.judge.setup import JUDGEMENTS
from negmine.store.manifest import Manifest
from negmine.store.workdir import WorkDir

T = TypeVar("T")


def export_judge_sheet(config: Config, path: Path) -> int:
    """Write what judge looks at and no person has judged to a sheet, and how many rows that is; no file for none.

    A second sheet, after the first was imported and judge has run, has what took the place of the dropped. Raises
    UsageError for a file that a sheet cannot be written to, or a run at a URL; ArtifactError when filter has not
    finished.
    """
    check_sheet(path)
    with writing(config, "filter"):
        rows = _steady(config, _open_rows)
    if rows:
        write_sheet(path, rows)
    return len(rows)


def import_judge_sheet(config: Config, path: Path) -> Imported:
    """Take the judgements of a sheet into ``judgements.jsonl``: judge counts them the next time that it runs.

    Raises InputError for a row that cannot be used, or is about ids that the run does not have; then none is taken.
    """
    rows, empty = read_sheet(path)
    with writing(config, "filter") as work:
        check_ids(config, work, rows)
        store = work.root / JUDGEMENTS
        known = read_labels(store, {row.pair for row in rows})
        given = [(row.pair, Label(row.relevant, PERSON)) for row in rows]
        new = [(pair, label) for pair, label in given if known.get(pair) != label]
        if new:
            append_labels(store, new)
    return Imported(len(rows), empty, len(new), 0)


def judge_preview(config: Config) -> Preview:
    """The first questions that judge would ask of a finished filter, and about how many there are; asks nobody."""
    return _steady(config, preview)


def _steady(config: Config, read: Callable[[Run, Judges], T]) -> T:
    """What ``read`` makes of one state of filter, and of what was judged so far."""

    def opened(work: WorkDir, manifests: Mapping[str, Manifest]) -> T:
        with Judges(config, work.root) as judges:
            return read(Run(config, work), judges)

    return steady(config, *final_reads(config.model_copy(update={"judge": None})), opened)


def _open_rows(run: Run, judges: Judges) -> list[Drawn]:
    """A query's rows stand together, in an order that tells nothing."""
    found: list[Drawn] = []
    for block, several in groupby(looked_at(run, judges), key=lambda each: each[0]):
        rows = [(group, row) for _, group, row in several]
        names = ids_of(run, block, rows)
        drawn = []
        for (group, row), (query_id, doc_id) in zip(rows, names, strict=True):
            asked = block.question(group, [row])
            label = judges.people.get(block.pair(group, row))
            if label is None or label.source != PERSON:
                text = asked.passages[0][1]
                drawn.append(Drawn(block.pair(group, row), query_id, doc_id, asked.query, asked.positives, text))
        found += sorted(drawn, key=lambda each: each.pair.partition("-")[2])
    return sorted(found, key=lambda each: each.query_id)
