"""How fast this machine is: its processor, exact search, the disk of the run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from negmine.planning.kept import Measured, cores, kept

Note = Callable[[str], None]
"""Is told in a few words what is being measured."""

_BLOCK, _BLOCKS = 8192, 5
"""Passages of a block, and the blocks of the larger of two searches whose difference is measured."""
_QUERIES = 1024
"""As fast as more queries at once; fewer are slower."""
_SEARCH_SECONDS = 2.5
_USUAL_FLOPS = 2e10
_HASHED = 8 * 10**6
_WRITTEN = 32 * 10**6
_REFERENCE_SECONDS = 0.0435
"""What ``_chores`` takes on the machine that the constants of ``negmine.planning.costs`` were fitted on."""


@dataclass(frozen=True)
class Machine:
    """Rates of this machine, as it is when nothing else runs on it.

    ``speed`` is that of one thread, 1 for the machine that constants were fitted on. ``search_flops``
    is 2 per dimension and pair of vectors, on ``threads`` threads. ``hash_bytes`` (SHA-256),
    ``read_bytes`` and ``write_bytes`` are per second; ``sync_seconds`` is what it takes to make a
    small file safe.
    """

    threads: int
    speed: float
    hash_bytes: float
    search_flops: float
    read_bytes: float
    write_bytes: float
    sync_seconds: float


def machine(
    folder: Path,
    dimension: int,
    depth: int,
    queries: int,
    similarity: str,
    threads: int | None,
    note: Note,
    *,
    again: bool = False,
    searched: bool = True,
) -> Machine:
    """The machine as it is for a run in ``folder`` that searches ``depth`` passages for each of ``queries``.

    Without ``searched`` there is so little to search that its speed is not measured.

    Measured where it is not known from an earlier command, or ``again``; leaves nothing in ``folder``.
    """
    # Other numbers of this size are as fast.
    depth, queries = 1 << max(depth - 1, 1).bit_length(), min(1 << max(queries - 1, 1).bit_length(), _QUERIES)

    def processor() -> Measured:
        note("measuring the processor")
        return {"speed": _REFERENCE_SECONDS / _fastest(_chores, 5), "hash_bytes": _HASHED / _fastest(_hash, 3)}

    def search() -> Measured:
        note(f"measuring exact search of {dimension} dimensions")
        with _limited(threads):
            return {"flops": _search_rate(dimension, depth, queries, similarity)}

    def disk() -> Measured:
        note("measuring the disk")
        return _disk(_existing(folder))

    found = {
        **kept("processor", {}, processor, again=again),
        **kept("disk", {"device": os.stat(_existing(folder)).st_dev}, disk, again=again),  # noqa: PTH116
    }
    asked = {"dimension": dimension, "depth": depth, "queries": queries, "similarity": similarity, "threads": threads}
    flops = kept("search", asked, search, again=again)["flops"] if searched or again else _USUAL_FLOPS
    return Machine(threads=threads or cores(), search_flops=flops, **found)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(each for each in (folder, *folder.absolute().parents) if each.is_dir())


def _fastest(work: Callable[[], object], times: int, clock: Callable[[], float] = time.thread_time) -> float:
    """Seconds of the fastest of some runs: the first warms up, and others may be disturbed."""
    found = []
    for _ in range(times):
        started = clock()
        work()
        found.append(clock() - started)
    return max(min(found), 1e-9)


def _chores() -> None:
    """Some of what ingest, filter and export do, on one thread: text, tables, sorting, gathering."""
    import orjson
    import pyarrow as pa

    texts = [f"passage number {i} of some words that a text may have" for i in range(15_000)]
    lines = [orjson.dumps({"_id": text[8:22], "text": text}) for text in texts]
    rows = [orjson.loads(line) for line in lines]
    seen = {hashlib.blake2b(" ".join(row["text"].lower().split()).encode(), digest_size=16).digest() for row in rows}
    pa.array([row["text"] for row in rows]).dictionary_encode().take(pa.array(np.arange(len(seen))[::-1]))
    numbers = np.random.default_rng(0).random(200_000)
    order = np.lexsort((numbers, numbers > 0.5))
    np.cumsum(numbers[order] * numbers)


def _hash() -> None:
    hashlib.sha256(bytes(_HASHED)).digest()


def _search_rate(dimension: int, depth: int, queries: int, similarity: str) -> float:
    """What a search over some blocks takes longer than one over a single block."""
    from negmine.retrieval.exact import search_exact

    random = np.random.default_rng(0)
    if similarity == "manhattan":
        queries = min(queries, _QUERIES // 8)  # far slower than products of matrices
    vectors = random.standard_normal((queries, dimension), np.float32)
    passages = random.standard_normal((_BLOCK * _BLOCKS, dimension), np.float32)
    wanted = np.full(queries, min(depth, _BLOCK))

    def seconds(blocks: int) -> float:
        parts = [(number * _BLOCK, passages[number * _BLOCK :][:_BLOCK]) for number in range(blocks)]
        how = "dot" if similarity in ("auto", "cosine") else similarity
        work = partial(search_exact, vectors, lambda: iter(parts), wanted, blocks * _BLOCK, how)
        return _fastest(work, 1, time.perf_counter)

    seconds(1)
    few = many = np.inf
    spent = 0.0
    while spent < _SEARCH_SECONDS:
        few, many = min(few, first := seconds(1)), min(many, second := seconds(_BLOCKS))
        spent += first + second + 0.1
    extra = many - few if many > few else many
    return float(2 * dimension * queries * _BLOCK * (_BLOCKS - 1) / extra)


@contextlib.contextmanager
def _limited(threads: int | None) -> Iterator[None]:
    """Limit the threads of faiss for a while."""
    import faiss

    before = faiss.omp_get_max_threads()
    if threads is not None:
        faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _disk(folder: Path) -> Measured:
    data = np.random.default_rng(0).bytes(_WRITTEN)
    with _unnamed(folder) as file:
        syncs = [_fastest(lambda: _written(file, b"0"), 1, time.perf_counter) for _ in range(5)]
        written = _fastest(lambda: _written(file, data), 2, time.perf_counter)
        with contextlib.suppress(OSError, AttributeError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        read = _fastest(lambda: file.read(_WRITTEN), 1, time.perf_counter)
    return {"write_bytes": _WRITTEN / written, "read_bytes": _WRITTEN / read, "sync_seconds": float(np.median(syncs))}


def _written(file: BinaryIO, data: bytes) -> None:
    file.seek(0)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def _unnamed(folder: Path) -> Iterator[BinaryIO]:
    """A file without a name on the disk of ``folder``, which does not change by it; elsewhere where
    the file system has no such files."""
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    except (OSError, AttributeError):
        with tempfile.TemporaryFile() as file:
            yield file
        return
    with os.fdopen(descriptor, "w+b") as file:
        yield file
