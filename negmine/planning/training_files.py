"""Estimates of what export writes."""

from __future__ import annotations

from negmine.config import ExportConfig
from negmine.planning.facts import Facts
from negmine.stages.export import AT_ONCE, file_tasks

_ID = 14
"""Bytes of an id in a list of them, with its quotes and comma."""
_WHOLE = ("nemo", "beir")
"""Formats with a row per query and no choice about it."""


def tasks_of_export(facts: Facts) -> int:
    """Tasks of the stage: files, provenance, the card and the split."""
    return len(list(file_tasks(facts.config, 0))) + 2 + (facts.config.split is not None)


def file_bytes(facts: Facts, entry: ExportConfig) -> float:
    """Bytes of an export before compression, when every query gets all its negatives."""
    work, n = facts.work, facts.config.filter.num_negatives
    passage, query = work.passages.mean + 16, work.queries.mean + 16
    size = entry.negatives_in_row(n) or n
    single = entry.one_positive() or (entry.layout.one_positive is None and entry.format not in _WHOLE)
    rows = (work.positives if single else work.queries.count) * (n // size)
    named = rows * size + work.positives * (n // size)
    used = min(work.passages.count, work.positives + work.queries.count * n)
    ids, texts = rows * query + named * _ID, work.queries.count * query
    sizes = {
        "triplet": work.positives * n * (query + 2 * passage),
        "labeled-pair": (work.positives + work.queries.count * n) * (query + passage),
        "ids": ids + texts + used * passage,
        "tevatron-ids": ids + used * passage,
        "nemo": ids + used * passage,
        "beir": ids + texts + work.passages.count * passage,
        "trec-run": work.queries.count * n * 4 * _ID,
    }
    return sizes.get(entry.format, rows * query + named * passage)


def texts_in_memory(facts: Facts, largest: float) -> float:
    """Bytes of the texts of one part: those of its passages, and of the rows that are put together at once."""
    work, n = facts.work, facts.config.filter.num_negatives
    distinct = min(work.passages.count, (work.positives + work.queries.count * n) * facts.part_share)
    return min(5 * largest * facts.part_share, (4 * distinct + 5 * AT_ONCE) * (work.passages.mean + 16))


def is_plain(entry: ExportConfig) -> bool:
    """Whether it is written without compression."""
    written = entry.ending if entry.layout.folder else entry.file
    return not written.endswith((".gz", ".zst", ".parquet"))
