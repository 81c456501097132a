"""index: the structures that search reads. A flat matrix always, a faiss index when asked for."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from negmine.config import Config
from negmine.errors import ConfigError, InputError
from negmine.stages.base import Job, Stage, Task, ranges
from negmine.stages.vectors import block_rows, embedded, flat_vectors, similarity
from negmine.store.vectors import SEGMENT_ROWS


class IndexStage(Stage):
    """One task per segment of the matrix; then one that trains and fills the faiss index."""

    name = "index"
    unit = "passages"
    keys = ("index", "seed")
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"embed": ("corpus",)}

    def keys_used(self, config: Config) -> tuple[str, ...]:
        return ("index",) if config.index.dense == "exact" else self.keys

    def check(self, config: Config, counts: Mapping[str, Any] | None) -> None:
        if config.index.dense != "exact" and counts is None:
            from negmine.retrieval.approximate import new_index

            # Whether the dimension fits is known later; that the string is one, now.
            try:
                new_index(config.index.dense, 64 * 9 * 5 * 7, "dot")
            except ConfigError:
                new_index(config.index.dense, 384, "dot")

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        passages = job.manifest("ingest").counts["passages"]
        segments = ranges(passages, SEGMENT_ROWS, "vectors")
        yield segments
        if job.config.index.dense != "exact":
            paths = [f"{task.name}.npy" for task in segments]
            yield [Task("dense", {"segments": paths, "passages": passages}, passages)]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        return self._build(task, job) if task.name == "dense" else self._flatten(task, job)

    def _flatten(self, task: Task, job: Job) -> Mapping[str, int]:
        start, stop = task.args["start"], task.args["stop"]
        dimension = job.manifest("embed").facts["dimension"]
        with job.publish(f"{task.name}.npy") as output, output.path.open("wb") as file:
            header = {"descr": np.dtype(job.config.embed.store_dtype).str, "fortran_order": False}
            np.lib.format.write_array_header_1_0(file, {**header, "shape": (stop - start, dimension)})
            for vectors in embedded(job, "corpus", start, stop):
                if vectors.shape[1] != dimension:
                    raise InputError(f"vectors of {vectors.shape[1]} dimensions among vectors of {dimension}")
                file.write(np.ascontiguousarray(vectors).data)
                job.progress(len(vectors))
            output.rows = stop - start
        return {"vectors": stop - start}

    def _build(self, task: Task, job: Job) -> Mapping[str, int]:
        import faiss

        from negmine.retrieval import approximate

        source = flat_vectors(job, [job.own(path) for path in task.args["segments"]])
        index = approximate.new_index(job.config.index.dense, source.dimension, similarity(job))
        rows = block_rows(job.config, source.dimension)
        with native_output_silenced():
            approximate.build(index, lambda: source.blocks(rows), source.rows, job.config.seed)
        if job.config.index.search_params is not None:
            approximate.set_search_params(index, job.config.index.search_params)
        with job.publish("dense.faiss") as output:
            faiss.write_index(index, str(output.path))
            output.rows = source.rows
        return {}


@contextlib.contextmanager
def native_output_silenced() -> Iterator[None]:
    """Keep what faiss prints from C++ while it trains out of the command's output."""
    sys.stdout.flush()
    sys.stderr.flush()
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        saved = [(stream, os.dup(stream)) for stream in (1, 2)]
        try:
            for stream, _ in saved:
                os.dup2(nothing.fileno(), stream)
            yield
        finally:
            for stream, copy in saved:
                os.dup2(copy, stream)
                os.close(copy)
