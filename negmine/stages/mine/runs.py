"""Run files as candidates: read once each, ordered by query on disk, cut to their depth."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.arrays import find_pairs, positions
from negmine.config import Config
from negmine.config.models import RunConfig
from negmine.errors import InputError, Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.lines import is_compressed
from negmine.readers.runs import RunBatch, read_run
from negmine.remote.fetching import input_file
from negmine.selection.depth import within_depth
from negmine.stages.base import Job
from negmine.store.tables import TableWriter, read_columns, rows_between, to_numpy

RUNS_FILE = "runs.parquet"
_LINES = 1 << 17
"""Lines whose ids are looked up at once: each look-up hashes the ids of the whole corpus."""
_HIT = np.dtype([("run", "i8"), ("asker", "i8"), ("document", "i8"), ("value", "f8"), ("line", "i8")])
"""A line of a run; ``asker`` and ``document`` are rows of ingest's tables."""
_SORTING = 10
"""Bytes of memory for a byte of such lines while they are ordered."""
_LEAST_LINE, _COMPRESSION = 16, 10
_MOST_FILES = 256


def run_files(config: Config) -> dict[str, Path]:
    """The run files by config key."""
    entries = enumerate(config.mine.retrievers)
    return {f"mine.retrievers.{i}.run": input_file(config, e.run) for i, e in entries if isinstance(e, RunConfig)}


def read_runs(job: Job) -> Mapping[str, int]:
    """Publish ``runs.parquet``, and the lines that were left out where ``data.on_bad_row`` is skip.

    Raises InputError for a line that is no line of a run or names what is not there.
    """
    bad_rows = BadRows(job.config.data.on_bad_row)
    askers, documents = _Askers.of(job), _Documents.of(job)
    files = list(run_files(job.config).values())
    with contextlib.ExitStack() as stack:
        rejected = stack.enter_context(job.publish("rejected.jsonl"))
        written = stack.enter_context(rejected.path.open("w", encoding="utf-8"))
        spool = stack.enter_context(_spool(job, files))
        lines = 0
        for number, path in enumerate(files):
            before = lines
            for hits in _lines(path, number, job.config.mine.runs[number], askers, documents, bad_rows):
                lines += len(hits)
                spool.add(hits, askers.query[hits["asker"]])
                rejected.rows += _flush(bad_rows, written)
            rejected.rows += _flush(bad_rows, written)
            if lines == before:
                cause = "no line names a query and a document of this run"
                raise InputError(cause, where=str(path), hint="Check the ids, and kind in mine.retrievers.")
        output = stack.enter_context(job.publish(RUNS_FILE))
        writer = stack.enter_context(TableWriter(output.path, schemas.RUNS))
        names = pa.array([run.name for run in job.config.mine.runs])
        for low, high, hits in spool.by_query():
            distinct = _without_repetitions(hits, files, askers, documents, bad_rows)
            rejected.rows += _flush(bad_rows, written)
            run, query, passage, rank = _ranked(distinct, askers.query, documents.passage)
            rows = _within_depth(job, run, query, passage, low, high)
            columns = {"query": query[rows], "passage": passage[rows], "rank": rank[rows].astype(np.int32)}
            writer.write({**columns, "retriever": names.take(pa.array(run[rows]))})
        output.rows = writer.rows
    return {"run_lines": lines, "named": output.rows, "rows_rejected": rejected.rows}


@dataclass(frozen=True)
class _Askers:
    """The rows of ``queries.parquet``: ids, and the ``query`` each asks (n,)."""

    ids: pa.ChunkedArray
    query: np.ndarray

    @classmethod
    def of(cls, job: Job) -> _Askers:
        table = read_columns(job.file("ingest", "queries.parquet"), ["query_id", "query"])
        return cls(table["query_id"], to_numpy(table["query"]))


@dataclass(frozen=True)
class _Documents:
    """The rows of ``corpus.parquet``: ids, the ``passage`` each holds (n,), and where documents are cut the
    ids of the ``wholes``, whose rows follow one another."""

    ids: pa.ChunkedArray
    passage: np.ndarray
    wholes: pa.ChunkedArray | None

    @classmethod
    def of(cls, job: Job) -> _Documents:
        cut = ["document"] if job.config.data.chunks is not None else []
        table = read_columns(job.file("ingest", "corpus.parquet"), ["doc_id", "passage", *cut])
        return cls(table["doc_id"], to_numpy(table["passage"]), table["document"] if cut else None)

    def find(self, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The first row that each id stands for (n,), and how many it does: 0 for an unknown one."""
        first = _find(ids, self.ids)
        count = (first >= 0).astype(np.int64)
        if self.wholes is not None:
            whole = _find(ids, self.wholes)
            codes = to_numpy(self.wholes.combine_chunks().dictionary_encode().indices)
            missing = np.flatnonzero((first < 0) & (whole >= 0))
            first[missing] = whole[missing]
            count[missing] = np.bincount(codes)[codes[whole[missing]]]
        return first, count


def _lines(
    path: Path, number: int, run: RunConfig, askers: _Askers, documents: _Documents, bad_rows: BadRows
) -> Iterator[np.ndarray]:
    """The lines of a run that name a query and a document, as ``_HIT``: one for each part of a document that is cut."""
    for batch in _gathered(read_run(path, run.kind, bad_rows)):
        asker = _find(batch.query_ids, askers.ids)
        first, count = documents.find(batch.doc_ids)
        for row in np.flatnonzero((asker < 0) | (count == 0)).tolist():
            cause = f"the document id '{batch.doc_ids[row]}' is not in the corpus"
            if asker[row] < 0:
                cause = f"the query id '{batch.query_ids[row]}' is not among the queries that have a positive"
            bad_rows.reject(Where(str(path), batch.lines[row]), cause)
        count[asker < 0] = 0
        of = np.repeat(np.arange(len(asker)), count)
        hits = np.empty(len(of), _HIT)
        hits["run"], hits["asker"], hits["document"] = number, asker[of], first[of] + positions(of)
        hits["value"], hits["line"] = np.array(batch.values)[of], np.array(batch.lines)[of]
        yield hits


def _gathered(batches: Iterator[RunBatch]) -> Iterator[RunBatch]:
    whole = RunBatch()
    for batch in batches:
        for name in ("query_ids", "doc_ids", "values", "lines"):
            getattr(whole, name).extend(getattr(batch, name))
        if len(whole.lines) >= _LINES:
            yield whole
            whole = RunBatch()
    if whole.lines:
        yield whole


def _find(ids: Sequence[str], among: pa.ChunkedArray) -> np.ndarray:
    """Row of each id, -1 where there is none: int64 (n,)."""
    found = pc.index_in(pa.array(ids, pa.string()), value_set=among)
    return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _flush(bad_rows: BadRows, file: IO[str]) -> int:
    """Write down what was rejected, so that it need not be held; how much it was."""
    count = len(bad_rows.rejected)
    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in bad_rows.rejected)
    bad_rows.rejected.clear()
    return count


class _Spool:
    """Lines of runs on disk, in a file per range of queries, each of which is small enough to be ordered."""

    def __init__(self, folder: Path, queries: int, files: int) -> None:
        self.edges = np.linspace(0, queries, files + 1).astype(np.int64)
        self.paths = [folder / f".tmp-runs-{number:03d}" for number in range(files)]

    def add(self, hits: np.ndarray, query: np.ndarray) -> None:
        of = np.searchsorted(self.edges, query, side="right") - 1
        for number in np.unique(of).tolist():
            with self.paths[number].open("ab") as file:
                file.write(hits[of == number].tobytes())

    def by_query(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Ranges of queries [low, high) with their lines."""
        for number, path in enumerate(self.paths):
            if path.exists():
                yield int(self.edges[number]), int(self.edges[number + 1]), np.fromfile(path, _HIT)

    def remove(self) -> None:
        for path in self.paths:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _spool(job: Job, files: Sequence[Path]) -> Iterator[_Spool]:
    queries = job.manifest("ingest").counts["distinct_queries"]
    lines = sum(path.stat().st_size * (_COMPRESSION if is_compressed(path) else 1) for path in files) // _LEAST_LINE
    most = job.config.memory_limit // 4 // (_SORTING * _HIT.itemsize)
    spool = _Spool(job.pending.path, queries, max(min(-(-lines // most), queries, _MOST_FILES), 1))
    spool.remove()  # of a process that was killed
    try:
        yield spool
    finally:
        spool.remove()


def _without_repetitions(
    hits: np.ndarray, files: Sequence[Path], askers: _Askers, documents: _Documents, bad_rows: BadRows
) -> np.ndarray:
    """The lines whose query and document no earlier line of their run has; the others are bad rows."""
    hits = hits[np.lexsort((hits["line"], hits["document"], hits["asker"], hits["run"]))]
    again = np.zeros(len(hits), bool)
    pairs = hits[["run", "asker", "document"]]
    again[1:] = pairs[1:] == pairs[:-1]
    rows = np.flatnonzero(again)
    for row in rows[np.lexsort((hits["line"][rows], hits["run"][rows]))].tolist():
        hit = hits[row]
        query_id, doc_id = askers.ids[int(hit["asker"])], documents.ids[int(hit["document"])]
        cause = f"query '{query_id}' has the document '{doc_id}' on an earlier line"
        bad_rows.reject(Where(str(files[hit["run"]]), int(hit["line"])), cause)
    return hits[~again]


def _ranked(hits: np.ndarray, query_of: np.ndarray, passage_of: np.ndarray) -> tuple[np.ndarray, ...]:
    """Run, query, passage and rank (n,) by query, run and rank; a passage is there once, at its best rank.

    The rank is the place of the line in the list of a query id: by value, ties in the order of the file. A query
    with several ids has several lists, a passage with several documents several places.
    """
    hits = hits[np.lexsort((hits["line"], -hits["value"], hits["asker"], hits["run"]))]
    new = np.ones(len(hits), bool)
    new[1:] = (np.diff(hits["run"]) != 0) | (np.diff(hits["asker"]) != 0)
    number = np.cumsum(new | (np.diff(hits["line"], prepend=0) != 0))
    rank = number - np.maximum.accumulate(np.where(new, number, 0)) + 1
    run, query, passage = hits["run"], query_of[hits["asker"]], passage_of[hits["document"]]
    order = np.lexsort((rank, passage, run, query))
    run, query, passage, rank = run[order], query[order], passage[order], rank[order]
    best = np.ones(len(run), bool)
    best[1:] = (np.diff(query) != 0) | (np.diff(run) != 0) | (np.diff(passage) != 0)
    run, query, passage, rank = run[best], query[best], passage[best], rank[best]
    order = np.lexsort((passage, rank, run, query))
    return run[order], query[order], passage[order], rank[order]


def _within_depth(job: Job, run: np.ndarray, query: np.ndarray, passage: np.ndarray, low: int, high: int) -> np.ndarray:
    """Which of the passages, by query and run, are within the depth of their run: bool (n,)."""
    excluded = rows_between(job.file("ingest", "excluded.parquet"), "query", low, high, ["query", "passage"])
    pairs = np.unique(np.stack([to_numpy(excluded["query"]), to_numpy(excluded["passage"])]), axis=1)
    passages = job.manifest("ingest").counts["passages"]
    own = find_pairs(query, passage, pairs[0], pairs[1], passages) >= 0
    mine = job.config.mine
    depth = np.array([entry.depth or mine.k for entry in mine.runs])
    return within_depth(query * len(depth) + run, own, depth[run])
