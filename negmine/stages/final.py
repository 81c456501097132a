"""A run's final verdicts: which stage has them (judge where there is one, else filter), and those that are kept.

Whoever wants to know what the negatives of a run are reads the parts of this stage, and its ``report.json``.
What filter found about the labels, and what it calibrated, stays in filter's files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from negmine.config import Config
from negmine.remote.steady import MadeFrom
from negmine.store.tables import iter_batches
from negmine.store.workdir import WorkDir

_ROWS = 1 << 16


def final_stage(config: Config) -> str:
    """The stage of a config whose verdicts are final."""
    return "judge" if config.judge is not None else "filter"


def final_stage_of(work: WorkDir) -> str:
    """The same of a folder without its config: judge, if it has judged the verdicts that filter has now."""
    filtered, judged = work.manifest("filter"), work.manifest("judge")
    if filtered is None or judged is None:
        return "filter"
    made_from = judged.made_from["upstream"].get("filter all")
    return "judge" if made_from == filtered.outputs["all"] else "filter"


def final_reads(config: Config) -> tuple[tuple[str, ...], MadeFrom]:
    """The stages that a reader of final verdicts has to look at, the one with the verdicts first, and what of them
    must belong together."""
    stages: tuple[str, ...] = ("filter", "mine", "ingest")
    made_from = (
        ("filter", "mine", ("all",)),
        ("filter", "ingest", ("queries",)),
        ("mine", "ingest", ("corpus", "queries", "positives")),
    )
    if config.judge is None:
        return stages, made_from
    return ("judge", *stages), (("judge", "filter", ("all",)), *made_from)


def kept_rows(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of the negatives in a file of verdicts, batch by batch in the order of the file."""
    for batch in iter_batches(path, list(dict.fromkeys([*columns, "position"])), rows=_ROWS):
        yield batch.filter(pc.is_valid(batch["position"])).select(list(columns))
