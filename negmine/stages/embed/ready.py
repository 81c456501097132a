"""Vectors that the user brings, put into the order of the run's passages and queries."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.config import Config
from negmine.errors import InputError, Where
from negmine.readers.vectors import VectorSource, open_vectors
from negmine.remote.fetching import input_file
from negmine.stages.base import Job
from negmine.stages.texts import StandingTable
from negmine.store.tables import to_numpy

_BLOCK = 16_384
_KINDS = {
    "corpus": ("doc_id", "corpus.parquet", "passage", "corpus_rows", "documents"),
    "queries": ("query_id", "queries.parquet", "query", "query_rows", "queries"),
}


def _open(config: Config, kind: str) -> VectorSource:
    """``config`` has the vectors as those of ``embed``."""
    assert config.embed.vectors is not None
    return open_vectors(input_file(config, getattr(config.embed.vectors, kind)), id_column=_KINDS[kind][0])


def check_files(config: Config) -> None:
    """Refuse vector files that do not open or whose dimensions differ. Raises InputError."""
    corpus, queries = _open(config, "corpus"), _open(config, "queries")
    if corpus.dimension != queries.dimension:
        raise InputError(
            f"query vectors have {queries.dimension} dimensions and corpus vectors {corpus.dimension}",
            where=str(queries.file),
            hint="Both files must come from the same model.",
        )
    cut = config.embed.truncate_dim
    if cut is not None and cut > corpus.dimension:
        raise InputError(
            f"embed.truncate_dim is {cut} but the vectors have {corpus.dimension} dimensions", where=str(corpus.file)
        )


class ReadyVectors:
    """One of the two vector files, matched with ingest's table by id, or by row without ids."""

    def __init__(self, job: Job, config: Config, kind: str) -> None:
        """``config`` is the run's, with the vectors as those of ``embed``."""
        self.id_column, file, number, self._rows_key, self._noun = _KINDS[kind]
        self._config = config
        self._source = _open(config, kind)
        self._folder = job.pending.path
        table = StandingTable(job.file("ingest", file), number)
        self._file_rows = self._rows_by_id(table) if self._source.has_ids else self._rows_by_position(job, table)

    @property
    def similarity(self) -> str:
        embed = self._config.embed
        if embed.similarity != "auto":
            return embed.similarity
        return "cosine" if embed.normalize else "dot"

    def _rows_by_id(self, table: StandingTable) -> np.ndarray:
        wanted = table.column(self.id_column)
        ids = pa.chunked_array([pa.array(ids, pa.string()) for ids in self._source.iter_ids(_BLOCK)], pa.string())
        encoded = ids.combine_chunks().dictionary_encode()
        if len(encoded.dictionary) < len(encoded):
            codes = encoded.indices.to_numpy(zero_copy_only=False)
            _, first = np.unique(codes, return_index=True)
            row = int(np.setdiff1d(np.arange(len(codes)), first)[0])
            raise InputError(
                f"the id '{ids[row].as_py()}' has more than one vector",
                where=Where(str(self._source.file), row=row + 1, column=self.id_column),
            )
        found = pc.index_in(wanted, value_set=ids)
        if found.null_count:
            row = int(np.flatnonzero(found.is_null().to_numpy(zero_copy_only=False))[0])
            first = wanted[row].as_py()
            raise InputError(
                f"{found.null_count} of {len(wanted)} {self._noun} have no vector, the first is '{first}'",
                where=Where(str(self._source.file), column=self.id_column),
                hint="Add the missing rows, or embed with a model (embed.model).",
            )
        return to_numpy(found).astype(np.int64)

    def _rows_by_position(self, job: Job, table: StandingTable) -> np.ndarray:
        counts = job.manifest("ingest").counts
        hint = f"Write a Parquet file with the columns {self.id_column} and vector instead."
        where = str(self._source.file)
        if counts["rows_rejected"]:
            raise InputError("vectors without ids need input without rejected rows", where=where, hint=hint)
        if counts["positives_added_to_corpus"] and self._noun == "documents":
            raise InputError(
                f"{counts['positives_added_to_corpus']} positives are not in the corpus and so have no vector",
                where=where,
                hint=hint,
            )
        if self._source.rows != counts[self._rows_key]:
            raise InputError(
                f"it has {self._source.rows} rows and the input has {counts[self._rows_key]} {self._noun}",
                where=where,
                hint=f"Without ids there must be one row for each, in input order. {hint}",
            )
        return to_numpy(table.column("source_row"))

    def parts(self, rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first number, float32 (b, d)) with b = ``rows`` but for the last."""
        waiting: list[np.ndarray] = []
        held, start = 0, 0
        for block in self._in_order():
            waiting.append(block)
            held += len(block)
            while held >= rows:
                joined = np.concatenate(waiting)
                yield start, joined[:rows]
                waiting, held, start = [joined[rows:]], held - rows, start + rows
        if held:
            yield start, np.concatenate(waiting)

    def _in_order(self) -> Iterator[np.ndarray]:
        if (np.diff(self._file_rows) > 0).all():
            yield from self._picked(self._file_rows)
            return
        # Vectors in another order than the passages go through a scratch file, by position.
        order = np.argsort(self._file_rows, kind="stable")
        row_bytes = 4 * self._dimension
        with tempfile.TemporaryFile(dir=self._folder, prefix=".tmp-") as scratch:
            done = 0
            for block in self._picked(self._file_rows[order]):
                for position, vector in zip(order[done : done + len(block)].tolist(), block, strict=True):
                    scratch.seek(position * row_bytes)
                    scratch.write(vector.tobytes())
                done += len(block)
            scratch.seek(0)
            while data := scratch.read(_BLOCK * row_bytes):
                yield np.frombuffer(data, np.float32).reshape(-1, self._dimension)

    @property
    def _dimension(self) -> int:
        return self._config.embed.truncate_dim or self._source.dimension

    def _picked(self, file_rows: np.ndarray) -> Iterator[np.ndarray]:
        """Vectors of ascending rows of the file (rows may repeat), cut and normalised."""
        first = 0
        for _, block in self._source.iter_blocks(_BLOCK):
            low, high = np.searchsorted(file_rows, [first, first + len(block)])
            if high > low:
                vectors = block[file_rows[low:high] - first][:, : self._dimension]
                yield self._normalised(vectors, file_rows[low:high])
            first += len(block)

    def _normalised(self, vectors: np.ndarray, file_rows: np.ndarray) -> np.ndarray:
        if not self._config.embed.normalize:
            return np.ascontiguousarray(vectors, np.float32)
        norms = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
        if not norms.all():
            row = int(file_rows[np.flatnonzero(norms[:, 0] == 0)[0]])
            raise InputError(
                "a vector of zeros cannot be normalised",
                where=Where(str(self._source.file), row=row + 1, column="vector"),
                hint="Fix the vector, or set embed.normalize: false.",
            )
        return (vectors / norms).astype(np.float32)
