"""index: the structures that search reads. A flat matrix always; lists, a faiss index or BM25 when asked for."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from negmine.config import Config
from negmine.errors import ConfigError, InputError
from negmine.retrieval.list_costs import TRAIN_ROWS, choose_lists, sample_bytes
from negmine.stages import lexical, weighted
from negmine.stages.base import Job, Stage, Task, ranges
from negmine.stages.vectors import block_rows, embedded, fact_of, flat_vectors, folder_of, similarity
from negmine.store.digests import DigestCache
from negmine.store.manifest import Manifest
from negmine.store.vectors import SEGMENT_ROWS, FlatVectors

_ADDED_ROWS = 4096
"""Vectors added to a faiss index at once, whatever memory there is: a graph depends on it."""


class IndexStage(Stage):
    """A task per segment of the matrix, and per range of passages whose words are counted; then those that build
    the lists, the faiss index or that of BM25."""

    name = "index"
    unit = "passages"
    keys = ("index.dense", "index.bm25", "seed")
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"embed": ("corpus",)}

    def keys_used(self, config: Config) -> tuple[str, ...]:
        # Without bm25 in mine.retrievers, index.bm25 is as it is by default: anything else is an error.
        return ("index.dense", "index.bm25") if config.index.dense in ("exact", "auto") else self.keys

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        return {"setting": {"mine.retrievers": config.mine.bm25}, "library": lexical.library(config)}

    def decided(self, config: Config, upstream: Mapping[str, Manifest]) -> Mapping[str, Mapping[str, Any]]:
        texts = upstream["ingest"].outputs["passage_texts"] if config.mine.bm25 else None
        found: dict[str, Mapping[str, Any]] = {"passage": {"texts": texts}}
        if config.index.dense == "auto":
            lists = _lists(config, upstream["ingest"], upstream["embed"])
            found["index"] = {"lists": lists, "seed": config.seed if lists else None}
        return found

    def lasting(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
        return (lexical.TASKS,) if _of_words(before) == _of_words(now) else ()

    def check(self, config: Config, counts: Mapping[str, Any] | None) -> None:
        lexical.check(config)
        factory = config.index.dense
        if factory in ("exact", "auto"):
            return
        if counts is None:
            from negmine.retrieval.approximate import new_index, set_search_params

            # Whether the dimension fits is known later; that the string is one, now.
            try:
                index = new_index(factory, 64 * 9 * 5 * 7, "dot")
            except ConfigError:
                index = new_index(factory, 384, "dot")
            if config.index.search_params is not None:
                set_search_params(index, config.index.search_params)
            return
        lists = re.search(r"IVF(\d+)", factory)
        if lists and int(lists[1]) > counts["passages"]:
            raise ConfigError(
                f"'{factory}' has {int(lists[1]):,} lists, and there are {counts['passages']:,} distinct passages",
                where="index.dense",
                hint="Use fewer lists, or exact.",
            )

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        passages = job.manifest("ingest").counts["passages"]
        search = _search(job)
        if search["method"] == "faiss":
            _refuse_what_cannot_be_built(job, passages)
        if search["method"] == "lists":
            _refuse_lists_beyond_memory(job, search["lists"])
        segments = ranges(passages, SEGMENT_ROWS, "vectors")
        counts = lexical.count_tasks(passages) if job.config.mine.bm25 else []
        yield [*segments, *_tasks_of_others(job, passages), *counts]
        if counts:
            yield [lexical.merge_task(counts)]
        args = {"segments": [f"{task.name}.npy" for task in segments], "passages": passages}
        if search["method"] == "faiss":
            yield [Task("dense", args, passages)]
        if search["method"] == "lists":
            yield [Task("centroids", {**args, "lists": search["lists"]}, 0)]
            yield [Task("lists", args, passages)]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        if task.name.startswith(lexical.TASKS):
            return lexical.execute(task, job)
        job.facts["search"] = _search(job)
        if task.name.startswith("vectors-"):
            return _flatten(task, job)
        if task.name.startswith("others/"):
            name = task.name.split("/")[1]
            return weighted.merge(job, name) if job.config.others[name].kind == "sparse" else _flatten(task, job, name)
        source = flat_vectors(job, [job.own(path) for path in task.args["segments"]])
        {"dense": _build, "centroids": _train, "lists": _fill}[task.name](task, job, source)
        return {}


def _of_words(made_from: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the files of BM25: no vector does."""
    words = {key: value for key, value in made_from["config"].items() if key.startswith("index.bm25")}
    return {"config": words, **{kind: made_from.get(kind) for kind in ("schema", "setting", "library", "passage")}}


def _lists(config: Config, ingest: Manifest, embed: Manifest) -> int:
    """How many lists auto decides for; 0 for exact search."""
    if embed.facts["similarity"] == "manhattan":
        return 0
    counts = ingest.counts
    return choose_lists(counts["passages"], counts["distinct_queries"], config.mine.k, embed.facts["dimension"])


def _search(job: Job) -> dict[str, Any]:
    """What this index is for, as later stages read it."""
    dense = job.config.index.dense
    if dense not in ("exact", "auto"):
        return {"method": "faiss", "factory": dense}
    lists = _lists(job.config, job.manifest("ingest"), job.manifest("embed")) if dense == "auto" else 0
    return {"method": "lists", "lists": lists} if lists else {"method": "exact"}


def _refuse_what_cannot_be_built(job: Job, passages: int) -> None:
    """Raise ConfigError before long work for an index that does not fit the vectors or the memory."""
    from negmine.retrieval.approximate import index_bytes, new_index

    index = new_index(job.config.index.dense, job.manifest("embed").facts["dimension"], similarity(job))
    needed = index_bytes(index, passages)
    if needed > job.config.memory_limit:
        raise ConfigError(
            f"'{job.config.index.dense}' over {passages:,} passages takes {needed / 1e9:.2f} GB of memory,"
            f" and memory_limit is {job.config.memory_limit / 1e9:.2f} GB",
            where="index.dense",
            hint="Use auto, a compressed index such as IVF1024,PQ48x4fs, or a higher memory_limit.",
        )


def _refuse_lists_beyond_memory(job: Job, lists: int) -> None:
    needed = 3 * sample_bytes(lists, job.manifest("embed").facts["dimension"]) // 2
    if needed > job.config.memory_limit:
        raise ConfigError(
            f"training {lists:,} lists takes {needed / 1e6:.0f} MB of memory, and memory_limit is"
            f" {job.config.memory_limit / 1e6:.0f} MB",
            where="memory_limit",
            hint="Raise it, or set index.dense: exact.",
        )


def _tasks_of_others(job: Job, passages: int) -> Iterator[Task]:
    """A matrix of every further encoder, or the weights of a sparse one by term: they are searched exactly."""
    for name, other in job.config.others.items():
        if other.kind == "sparse":
            yield Task(f"{folder_of(name)}terms", {}, passages)
        else:
            yield from ranges(passages, SEGMENT_ROWS, f"{folder_of(name)}vectors")


def _flatten(task: Task, job: Job, encoder: str | None = None) -> Mapping[str, int]:
    start, stop = task.args["start"], task.args["stop"]
    dimension = job.manifest("embed").facts[fact_of("dimension", encoder)]
    stored = job.config.embed if encoder is None else job.config.others[encoder]
    with job.publish(f"{task.name}.npy") as output, output.path.open("wb") as file:
        header = {"descr": np.dtype(stored.store_dtype).str, "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (stop - start, dimension)})
        for vectors in embedded(job, "corpus", start, stop, encoder):
            if vectors.shape[1] != dimension:
                raise InputError(f"vectors of {vectors.shape[1]} dimensions among vectors of {dimension}")
            file.write(np.ascontiguousarray(vectors).data)
            job.progress(len(vectors))
        output.rows = stop - start
    return {"vectors": stop - start}


def _build(task: Task, job: Job, source: FlatVectors) -> None:
    import faiss

    from negmine.retrieval import approximate

    index = approximate.new_index(job.config.index.dense, source.dimension, similarity(job))
    with native_output_silenced():
        approximate.build(index, lambda: source.blocks(_ADDED_ROWS), source.rows, job.config.seed)
    with job.publish("dense.faiss") as output:
        faiss.write_index(index, str(output.path))
        output.rows = source.rows


def _train(task: Task, job: Job, source: FlatVectors) -> None:
    from negmine.retrieval.approximate import sampled
    from negmine.retrieval.lists import train_lists

    lists = task.args["lists"]
    rows = min(block_rows(job.config, source.dimension), SEGMENT_ROWS)
    sample = sampled(lambda: source.blocks(rows), source.rows, max(TRAIN_ROWS) * lists, job.config.seed)
    _save(job, "centroids.npy", train_lists(sample, lists, similarity(job), job.config.seed))


def _fill(task: Task, job: Job, source: FlatVectors) -> None:
    """Copy the matrix in the order of the lists, one pass to find it and one to write."""
    from negmine.retrieval.lists import assign_lists

    centroids = np.load(job.own("centroids.npy"))
    rows = min(block_rows(job.config, source.dimension), SEGMENT_ROWS)
    assigned = np.empty(source.rows, np.int32)
    for start, vectors in source.blocks(rows):
        assigned[start : start + len(vectors)] = assign_lists(vectors, centroids, similarity(job))
        job.progress(len(vectors))
    place = np.empty(source.rows, np.int64)
    place[np.argsort(assigned, kind="stable")] = np.arange(source.rows)
    with job.publish("lists.npy") as output:
        source.reordered(output.path, place, rows)
        output.rows = source.rows
    _save(job, "assigned.npy", assigned)


def _save(job: Job, name: str, array: np.ndarray) -> None:
    with job.publish(name) as output:
        with output.path.open("wb") as file:
            np.save(file, array)
        output.rows = len(array)


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
