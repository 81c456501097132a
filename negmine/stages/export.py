"""export: training files from the kept negatives, with a record of where each row came from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.arrays import spans
from negmine.config import Config, ExportConfig
from negmine.stages.base import Job, Output, Stage, Task
from negmine.stages.texts import StandingTable, passage_texts
from negmine.store.digests import DigestCache
from negmine.store.tables import TableWriter, read_columns, rows_between, to_numpy
from negmine.writers import FORMATS, Groups, Rows
from negmine.writers.card import Card, CardFile, dataset_card
from negmine.writers.files import RowFile, Sharded, shard_names


class ExportStage(Stage):
    """One task per configured file, one for the provenance of all rows; then the dataset card."""

    name = "export"
    unit = "queries"
    keys = ("export", "filter", "pairs", "mine.k")
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ingest": ("corpus", "queries"),
        "mine": ("all",),
        "filter": ("all",),
    }

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        return {"card": {"model": _model_name(config)}}

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        queries = job.manifest("ingest").counts["distinct_queries"]
        numbers = range(len(job.config.export))
        yield [
            *(Task(f"file-{number}", {"export": number}, queries) for number in numbers),
            Task("provenance", {}, queries),
        ]
        yield [Task("card", {}, 0)]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        if task.name == "provenance":
            return _provenance(job)
        if task.name == "card":
            return _card(job)
        return _file(job, job.config.export[task.args["export"]])


class _Chunk:
    """The queries of one part of filter: their groups, and the rest of what is known of them.

    Dropped pairs are left out, and with them the negatives of a query that has no other.
    """

    def __init__(self, job: Job, path: str, start: int, stop: int) -> None:
        self.start, self.stop = start, stop
        kept = read_columns(job.file("filter", path), schemas.VERDICTS.names)
        kept = kept.filter(pc.equal(kept["verdict"], "kept"))
        order = [("query", "ascending"), ("score", "descending"), ("position", "ascending")]
        self.kept = kept.take(pc.sort_indices(kept, order))
        positives = rows_between(
            job.file("mine", "positives.parquet"), "query", start, stop, ["query", "passage", "score", "doc_id"]
        )
        if job.config.pairs.action == "drop":
            rows = rows_between(job.file("filter", "pairs.parquet"), "query", start, stop, ["dropped"])
            positives = positives.filter(pc.invert(rows["dropped"]))
            self.kept = self.kept.filter(pc.is_in(self.kept["query"], value_set=positives["query"].combine_chunks()))
        self.positive_ids = positives["doc_id"].combine_chunks()
        self.groups = Groups(
            spans(to_numpy(positives["query"]) - start, stop - start),
            to_numpy(positives["passage"]),
            to_numpy(positives["score"]),
            spans(to_numpy(self.kept["query"]) - start, stop - start),
            to_numpy(self.kept["passage"]),
            to_numpy(self.kept["score"]),
        )


def _chunks(job: Job) -> Iterator[_Chunk]:
    queries, size = job.manifest("ingest").counts["distinct_queries"], job.config.mine.part_queries
    paths = sorted(part.path for part in job.manifest("filter").parts if part.path.startswith("part-"))
    for number, path in enumerate(paths):
        start = number * size
        yield _Chunk(job, path, start, min(start + size, queries))


def _rows(job: Job, export: ExportConfig, chunk: _Chunk) -> Rows:
    return FORMATS[export.format].rows(chunk.groups, job.config.filter.num_negatives)


def _names(job: Job, export: ExportConfig) -> list[str]:
    if export.shard_rows is None:
        return shard_names(export.file, 0, None)
    return shard_names(export.file, sum(_rows(job, export, chunk).count for chunk in _chunks(job)), export.shard_rows)


def _file(job: Job, export: ExportConfig) -> Mapping[str, int]:
    layout = FORMATS[export.format]
    names = _names(job, export)
    with contextlib.ExitStack() as stack:
        outputs: list[Output] = [stack.enter_context(job.publish(name)) for name in names]
        with Sharded([output.path for output in outputs], export.shard_rows) as out:
            for chunk in _chunks(job):
                rows = _rows(job, export, chunk)
                anchors, passages = _texts(job, chunk, rows, out)
                scores = rows.score(chunk.groups) if export.scores else None
                out.write(layout.table(rows, anchors, passages, scores))
                job.progress(chunk.stop - chunk.start)
        for output, count in zip(outputs, out.rows, strict=True):
            output.rows = count
    return {f"rows:{export.file}": sum(out.rows)}


def _texts(job: Job, chunk: _Chunk, rows: Rows, out: RowFile | Sharded) -> tuple[pa.Array, pa.Array]:
    """Texts of the rows' queries (r,) and passages (m,), each distinct one encoded once."""
    queries = _queries(job).slice(chunk.start, chunk.stop, ["text"])["text"].combine_chunks()
    anchors = out.encode(queries).take(pa.array(rows.query))
    numbers, place = np.unique(rows.passage(chunk.groups), return_inverse=True)
    found = _corpus(job).take(numbers, ["title", "text"])
    return anchors, out.encode(passage_texts(found)).take(pa.array(place))


def _queries(job: Job) -> StandingTable:
    return job.resource("queries", lambda: StandingTable(job.file("ingest", "queries.parquet"), "query"))


def _corpus(job: Job) -> StandingTable:
    return job.resource("corpus", lambda: StandingTable(job.file("ingest", "corpus.parquet"), "passage"))


def _provenance(job: Job) -> Mapping[str, int]:
    with job.publish("provenance.parquet") as output, TableWriter(output.path, schemas.PROVENANCE) as writer:
        for export in job.config.export:
            first = 0
            for chunk in _chunks(job):
                rows = _rows(job, export, chunk)
                writer.write(_origin(job, export, chunk, rows, first))
                first += rows.count
        output.rows = writer.rows
    return {}


def _origin(job: Job, export: ExportConfig, chunk: _Chunk, rows: Rows, first: int) -> dict[str, Any]:
    ids = _queries(job).slice(chunk.start, chunk.stop, ["query_id"])["query_id"].combine_chunks()
    is_positive = rows.positive >= 0
    row_of = np.repeat(np.arange(rows.count), np.diff(rows.offsets))
    positive = np.full(rows.count, -1)
    positive[row_of[is_positive]] = rows.positive[is_positive]
    picked = pa.array(positive, mask=positive < 0)
    negatives = pa.array(rows.negative[~is_positive])
    offsets = pa.array(spans(row_of[~is_positive], rows.count), pa.int32())

    def negative_lists(column: str) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, _one_array(chunk.kept[column]).take(negatives))

    return {
        "file": [export.file] * rows.count,
        "row": np.arange(first, first + rows.count),
        "query_id": ids.take(pa.array(rows.query)),
        "positive_id": chunk.positive_ids.take(picked),
        "negative_ids": negative_lists("doc_id"),
        "retrievers": negative_lists("retriever"),
        "ranks": negative_lists("rank"),
        "positive_score": pa.array(chunk.groups.positive_score).take(picked),
        "negative_scores": negative_lists("score"),
    }


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """A chunked column as one array."""
    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def _model_name(config: Config) -> str:
    """The model as the card names it: a local folder by its name alone."""
    model = config.embed.model
    if model is None:
        return "ready-made vectors"
    return Path(model).name if Path(model).is_absolute() else model


def _card(job: Job) -> Mapping[str, int]:
    manifest = job.manifest("ingest")
    files = []
    receipts = job.pending.receipts().values()
    for export in job.config.export:
        names = _names(job, export)
        rows = sum(part.rows for receipt in receipts for part in receipt.parts if part.path in names)
        sizes = sum(job.own(name).stat().st_size for name in names)
        files.append(CardFile(export.format, export.scores, tuple(names), rows, sizes))
    counts = {name: manifest.counts[name] for name in ("distinct_queries", "positives", "passages")}
    negatives = job.manifest("filter").counts["negatives"]
    if job.config.pairs.action == "drop":
        left = [(len(chunk.positive_ids), chunk.kept.num_rows) for chunk in _chunks(job)]
        counts["positives"], negatives = (sum(column) for column in zip(*left, strict=True))
        counts["distinct_queries"] -= job.manifest("filter").counts["queries_dropped"]
    card = Card(
        files=tuple(files),
        counts=counts,
        negatives=negatives,
        model=_model_name(job.config),
        settings={
            **{f"filter.{key}": value for key, value in job.config.filter.model_dump(mode="json").items()},
            **{f"pairs.{key}": value for key, value in job.config.pairs.model_dump(mode="json").items()},
            "mine.k": job.config.mine.k,
        },
        example=_example(job),
    )
    with job.publish("README.md") as output:
        output.path.write_text(dataset_card(card), "utf-8")
    return {}


def _example(job: Job) -> dict[str, Any] | None:
    """The first query that has a negative, with its texts."""
    for chunk in _chunks(job):
        with_negatives = np.flatnonzero(chunk.groups.negatives)
        if len(with_negatives):
            row = int(with_negatives[0])
            numbers = {
                "positives": chunk.groups.positive_passage[slice(*chunk.groups.positive_offsets[row : row + 2])],
                "negatives": chunk.groups.negative_passage[slice(*chunk.groups.negative_offsets[row : row + 2])],
            }
            query = _queries(job).slice(chunk.start + row, chunk.start + row + 1, ["text"])["text"][0].as_py()
            texts = {
                name: [passage_texts(_corpus(job).take(np.array([n]), ["title", "text"]))[0].as_py() for n in found]
                for name, found in numbers.items()
            }
            return {"anchor": query, **texts}
    return None
