"""ingest: documents, queries and positives as tables, with everything refused that is not sound."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
from negmine.stages.ingest.conflicts import Conflicts, find_conflicts, no_labels
from negmine.stages.ingest.documents import Corpus, Documents
from negmine.stages.ingest.labels import Labels, Queries
from negmine.stages.ingest.sources import Files, PairLabels, add_corpus, qrels_labels
from negmine.store.manifest import Receipt, output_digest
from negmine.store.tables import TableWriter


class IngestStage(Stage):
    """One task: labels refer to documents, so a file can only be judged with the others."""

    name = "ingest"
    unit = "files"
    keys = ("data.columns", "data.metadata", "data.min_grade", "data.on_bad_row")

    def inputs(self, config: Config) -> Mapping[str, Path]:
        files = Files.of(config).by_key()
        for key, path in files.items():
            check_file(path, key)
        return files

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        yield [Task("tables")]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        config = job.config
        files = Files.of(config)
        bad_rows = BadRows(config.data.on_bad_row)
        spool = job.pending.path / ".tmp-documents.parquet"
        spool.parent.mkdir(parents=True, exist_ok=True)
        try:
            corpus, queries, labels, conflicts, counts = _read(files, config, spool, bad_rows)
            return counts | _write(job, corpus, queries, labels, conflicts, bad_rows)
        finally:
            spool.unlink(missing_ok=True)

    def outputs(self, receipts: Sequence[Receipt]) -> dict[str, str]:
        named: dict[str, str] = dict(receipts[0].facts["outputs"])
        for part in receipts[0].parts:
            named[part.path.split(".")[0]] = output_digest([part])
        return named


def _read(
    files: Files, config: Config, spool: Path, bad_rows: BadRows
) -> tuple[Corpus, Queries, Labels, Conflicts, dict[str, int]]:
    """All the files: documents, queries with a positive, labels and conflicts as their rows, and counts."""
    documents = Documents(spool, config.data.metadata)
    try:
        if files.corpus is not None:
            add_corpus(documents, files.corpus, config, bad_rows)
        in_file = documents.count
        pairs = PairLabels(files.pairs) if files.pairs is not None else None
        if pairs is not None:
            known = documents.text_index() if files.corpus is not None else None
            pairs.read(config, documents, known, bad_rows)
    finally:
        documents.close()
    corpus = Corpus(documents, bad_rows, from_file=files.corpus is not None)
    if pairs is not None:
        (queries, labels, blank_positives), refused = pairs.resolve(corpus, bad_rows), no_labels()
    else:
        queries, labels, blank_positives, refused = qrels_labels(files, config, corpus, bad_rows)
    used = np.zeros(len(queries.ids), bool)
    used[labels.query] = True
    if not used.any():
        raise InputError("no query has a positive", where=str(files.pairs or files.qrels), hint="Check the data files.")
    row_of = np.cumsum(used) - 1
    found = find_conflicts(queries, corpus, labels, refused)
    conflicts = replace(found, query=row_of[found.query])
    counts = {
        "corpus_rows": documents.given,
        "query_rows": queries.given,
        "blank_documents": len(documents.blank_ids()),
        "blank_positives": blank_positives,
        "positives_added_to_corpus": corpus.kept_from(in_file) if corpus.from_file else 0,
        "queries_without_positive": int((~used).sum()),
        "rows_rejected": len(bad_rows),
    }
    return corpus, queries.only(used), Labels(row_of[labels.query], labels.document, labels.grade), conflicts, counts


def _write(
    job: Job, corpus: Corpus, queries: Queries, labels: Labels, conflicts: Conflicts, bad_rows: BadRows
) -> dict[str, int]:
    number, standing = queries.numbered()
    labels = labels.by_query(number)
    conflicting, conflicting_pairs = conflicts.columns(number, corpus)
    query, passage, reason = excluded_passages(
        number[labels.query],
        labels.document,
        queries.digests[standing],
        corpus.passage,
        corpus.is_first,
        corpus.passage_digests,
        corpus.text_digests,
    )
    with job.publish("corpus.parquet") as output:
        output.rows, passages_digest = corpus.write(output.path, job.config.data.metadata)
    tables: list[tuple[str, Any, dict[str, Any]]] = [
        ("queries.parquet", schemas.QUERIES, queries.columns(number)),
        (
            "positives.parquet",
            schemas.POSITIVES,
            {
                "query_id": queries.ids.take(labels.query),
                "doc_id": corpus.ids.take(labels.document),
                "grade": labels.grade,
                "same_text": _same_text(queries, corpus, labels),
                "query": number[labels.query],
                "passage": corpus.passage[labels.document],
            },
        ),
        ("conflicts.parquet", schemas.CONFLICTS, conflicting),
        (
            "excluded.parquet",
            schemas.EXCLUDED,
            {"query": query, "passage": passage, "reason": pa.array(EXCLUSION_REASONS).take(pa.array(reason))},
        ),
    ]
    for name, schema, columns in tables:
        with job.publish(name) as output, TableWriter(output.path, schema) as writer:
            writer.write(columns)
            output.rows = writer.rows
    with job.publish("rejected.jsonl") as output:
        rejected = sorted(bad_rows.rejected, key=itemgetter("file", "line"))
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rejected]
        output.path.write_text("".join(lines), "utf-8")
        output.rows = len(lines)
    job.facts["outputs"] = {"passage_texts": passages_digest, "query_texts": queries.content_digest(standing)}
    return {
        "documents": len(corpus.ids),
        "passages": corpus.passages,
        "queries": len(queries.ids),
        "distinct_queries": len(standing),
        "positives": len(labels.query),
        "conflicting_labels": conflicting_pairs,
        "most_positives": int(np.bincount(number[labels.query]).max()),
        "queries_with_several_positives": _several(number[labels.query], corpus.passage[labels.document]),
    }


def _same_text(queries: Queries, corpus: Corpus, labels: Labels) -> np.ndarray:
    """Which labelled documents, with or without their title, say what the query says: bool (l,)."""
    asked = queries.digests[labels.query]
    forms = (corpus.passage_digests[labels.document], corpus.text_digests[labels.document])
    return np.logical_or(*((form == asked).all(axis=1) for form in forms))


def _several(query: np.ndarray, passage: np.ndarray) -> int:
    """How many queries have two different passages as positives."""
    pairs = np.unique(np.stack([query, passage]), axis=1)
    return int((np.bincount(pairs[0]) >= 2).sum())
