"""ingest: documents, queries and positives as tables, with everything refused that is not sound."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.config import Config
from negmine.errors import InputError
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import check_file
from negmine.selection.identity import EXCLUSION_REASONS, excluded_passages
from negmine.stages.base import Job, Stage, Task
from negmine.stages.ingest.conflicts import Conflicts, find_conflicts
from negmine.stages.ingest.documents import Corpus, Documents
from negmine.stages.ingest.files import named
from negmine.stages.ingest.guard import EvalGuard, guard_files, guarded_lines, without
from negmine.stages.ingest.judged import judged_labels
from negmine.stages.ingest.labelled import LabelFiles
from negmine.stages.ingest.labels import Labels, Queries
from negmine.stages.ingest.negatives import Given, negatives_table
from negmine.stages.ingest.passages import Passages
from negmine.stages.ingest.quality import Survey, quality
from negmine.stages.ingest.sources import Source, add_corpus
from negmine.store.digests import DigestCache
from negmine.store.files import write_json
from negmine.store.manifest import Receipt, output_digest
from negmine.store.tables import TableWriter
from negmine.text import id_hash


class IngestStage(Stage):
    """One task: labels refer to documents, so a file can only be judged with the others."""

    name = "ingest"
    unit = "files"
    keys = (
        "data.columns",
        "data.metadata",
        "data.passage_template",
        "data.long_documents",
        "data.chunk",
        "data.eval_guard.columns",
        "data.eval_guard.action",
        "data.min_grade",
        "data.negatives",
        "data.on_bad_row",
    )

    def inputs(self, config: Config) -> Mapping[str, Path]:
        files = Source.of(config).files
        files.check()
        guard = guard_files(config)
        for path in guard.values():
            check_file(path, "data.eval_guard.files")
        return {**files.by_key(), **guard}

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        return {"layout": {"of the data (data.format)": Source.of(config).format}}

    def notes(self, config: Config) -> Sequence[str]:
        note = Source.of(config).note
        return [note] if note is not None else []

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        yield [Task("tables")]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        config = job.config
        source = Source.of(config)
        job.facts["data"] = {"format": source.format, "why": source.why}
        bad_rows = BadRows(config.data.on_bad_row)
        spool = job.pending.path / ".tmp-documents.parquet"
        spool.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _write(job, _read(source, config, spool, bad_rows), bad_rows)
        finally:
            spool.unlink(missing_ok=True)

    def outputs(self, receipts: Sequence[Receipt]) -> dict[str, str]:
        named: dict[str, str] = dict(receipts[0].facts["outputs"])
        for part in receipts[0].parts:
            named[part.path.split(".")[0]] = output_digest([part])
        return named


@dataclass(frozen=True)
class _Read:
    """What the files hold, without what an evaluation set has: labels and conflicts are of the rows of ``queries``."""

    corpus: Corpus
    passages: Passages
    queries: Queries
    labels: Labels
    conflicts: Conflicts
    negatives: Given
    counts: dict[str, int]
    guarded: list[str] | None
    """The lines of ``guarded.jsonl``; None without ``data.eval_guard``."""


def _read(source: Source, config: Config, spool: Path, bad_rows: BadRows) -> _Read:
    """All the files: documents, queries with a positive, labels, conflicts, and counts."""
    files = source.files
    documents = Documents(spool, config.data)
    try:
        if files.corpus:
            add_corpus(documents, files.corpus, source.layout, config, bad_rows)
        in_file = documents.count
        pairs = LabelFiles(source, config) if files.pairs else None
        if pairs is not None:
            pairs.read(documents, documents.digests() if files.corpus else None, bad_rows)
    finally:
        documents.close()
    corpus = Corpus(documents, bad_rows, from_file=bool(files.corpus))
    resolved = pairs.resolve(corpus, bad_rows) if pairs is not None else judged_labels(source, config, corpus, bad_rows)
    queries, labels, negatives = resolved.queries, resolved.labels, resolved.negatives
    added = np.arange(len(corpus.ids)) >= len(corpus.ids) - corpus.kept_from(in_file) * corpus.from_file
    for_negatives = int((added & ~np.isin(np.arange(len(added)), labels.document)).sum()) if len(negatives.query) else 0
    labelled, found = _labelled(queries, labels), None
    stays = np.ones(len(corpus.ids), bool)
    if config.data.eval_guard is not None:
        found = EvalGuard(config, bad_rows).find(queries, labelled, corpus)
        labels = without(labels, found)
        stays[found.documents] = False
    passages = Passages(corpus, stays)
    used = _labelled(queries, labels)
    if not used.any():
        where = named(files.pairs or files.qrels)
        raise InputError("no query has a positive", where=where, hint="Check the data files.")
    row_of = np.cumsum(used) - 1
    conflicts = find_conflicts(queries, corpus, labels, resolved.refused)
    guarded = len(found.queries) if found is not None else 0
    counts = {
        "corpus_rows": documents.given,
        "query_rows": queries.given,
        "blank_documents": len(documents.blank_ids()),
        "blank_positives": resolved.blank,
        "positives_added_to_corpus": int(added.sum()) - for_negatives,
        "negatives_added_to_corpus": for_negatives,
        "queries_without_positive": int((~used).sum()) - guarded,
        "guarded_queries": guarded,
        "guarded_passages": int((~stays).sum()),
        "ids_merged": corpus.ids_merged if corpus.from_file else 0,  # labels repeat their passages
        "rows_rejected": len(bad_rows),
    }
    return _Read(
        corpus=corpus,
        passages=passages,
        queries=queries.only(used),
        labels=Labels(row_of[labels.query], labels.document, labels.grade),
        conflicts=replace(conflicts, query=row_of[conflicts.query]),
        negatives=replace(negatives.only(used[negatives.query]), query=row_of[negatives.query[used[negatives.query]]]),
        counts=counts,
        guarded=list(guarded_lines(found, queries, corpus)) if found is not None else None,
    )


def _labelled(queries: Queries, labels: Labels) -> np.ndarray:
    """Which queries have a label: bool (q,)."""
    used = np.zeros(len(queries.ids), bool)
    used[labels.query] = True
    return used


def _write(job: Job, read: _Read, bad_rows: BadRows) -> dict[str, int]:
    corpus, passages, queries = read.corpus, read.passages, read.queries
    number, standing = queries.numbered()
    labels = read.labels.by_query(number)
    conflicting, conflicting_pairs = read.conflicts.columns(number, corpus, passages)
    label, row = passages.rows_of(labels.document)
    query = labels.query[label]
    excluded_query, excluded_passage, reason = excluded_passages(
        number[query],
        row,
        queries.digests[standing],
        passages.passage,
        passages.is_first,
        passages.digests,
    )
    listed, negative_row = passages.rows_of(read.negatives.document)
    negatives, are_positives = negatives_table(
        number[read.negatives.query[listed]],
        passages.passage[negative_row],
        read.negatives.rank[listed],
        excluded_query,
        excluded_passage,
    )
    surveyed = Survey()
    with job.publish("corpus.parquet") as output:
        output.rows, passages_digest = passages.write(output.path, job.config.data.metadata, surveyed)
    tables: list[tuple[str, Any, dict[str, Any]]] = [
        ("queries.parquet", schemas.QUERIES, queries.columns(number)),
        (
            "positives.parquet",
            schemas.POSITIVES,
            {
                "query_id": queries.ids.take(pa.array(query)),
                "doc_id": passages.ids.take(pa.array(row)),
                "grade": labels.grade[label],
                "same_text": passages.digests.say(row, queries.digests[query]),
                "query": number[query],
                "passage": passages.passage[row],
                "document": labels.document[label],
            },
        ),
        ("conflicts.parquet", schemas.CONFLICTS, conflicting),
        (
            "excluded.parquet",
            schemas.EXCLUDED,
            {
                "query": excluded_query,
                "passage": excluded_passage,
                "reason": pa.array(EXCLUSION_REASONS).take(pa.array(reason)),
            },
        ),
        ("negatives.parquet", schemas.NEGATIVES, negatives),
    ]
    for name, schema, columns in tables:
        with job.publish(name) as output, TableWriter(output.path, schema) as writer:
            writer.write(columns)
            output.rows = writer.rows
    _publish_lines(job, "rejected.jsonl", _rejected(bad_rows))
    if read.guarded is not None:
        _publish_lines(job, "guarded.jsonl", read.guarded)
    job.facts["outputs"] = {"passage_texts": passages_digest, "query_texts": queries.content_digest(standing)}
    documents = corpus.numbered[0][labels.document]
    counts = read.counts | {
        "documents": passages.documents,
        "documents_cut": passages.cut,
        "rows": len(passages.ids),
        "passages": passages.count,
        "queries": len(queries.ids),
        "distinct_queries": len(standing),
        "positives": len(labels.query),
        "pairs_repeated": len(read.labels.query) - len(labels.query),
        "conflicting_labels": conflicting_pairs,
        "given_negatives": len(negatives["query"]),
        "negatives_that_are_positives": are_positives,
        "most_positives": int(np.bincount(number[query]).max()),
        "queries_with_several_positives": _several(number[labels.query], documents),
    }
    _report(job, read, counts, surveyed, number, standing, labels)
    return counts


def _report(
    job: Job,
    read: _Read,
    counts: dict[str, int],
    passages: Survey,
    number: np.ndarray,
    standing: np.ndarray,
    labels: Labels,
) -> None:
    """Publish ``quality.json``, which the manifest holds too."""
    queries, rows = Survey(), pa.array(standing)
    keys = np.array([id_hash(identifier) for identifier in read.queries.ids.take(rows).to_pylist()], np.uint64)
    queries.add(read.queries.texts.take(rows).to_pylist(), keys)
    pairs = np.bincount(number[labels.query], minlength=len(standing))
    also_passages = int((read.passages.digests.find(read.queries.digests[standing]) >= 0).sum())
    found = quality(counts, queries, passages, pairs, also_passages)
    job.facts["quality"] = found
    with job.publish("quality.json") as output:
        write_json(output.path, found)
        output.rows = 1


def _rejected(bad_rows: BadRows) -> list[str]:
    rows = sorted(bad_rows.rejected, key=itemgetter("file", "line"))
    return [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]


def _publish_lines(job: Job, name: str, lines: Sequence[str]) -> None:
    with job.publish(name) as output:
        output.path.write_text("".join(lines), "utf-8")
        output.rows = len(lines)


def _several(query: np.ndarray, passage: np.ndarray) -> int:
    """How many queries have two different passages as positives."""
    pairs = np.unique(np.stack([query, passage]), axis=1)
    return int((np.bincount(pairs[0]) >= 2).sum())
