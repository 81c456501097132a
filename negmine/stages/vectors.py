"""Reading a run's vectors: embed's parts by row range, index's flat matrix by blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from negmine.config import Config
from negmine.stages.base import Run
from negmine.store.tables import read_columns, to_numpy
from negmine.store.vectors import FlatVectors


def embedded(run: Run, kind: str, start: int, stop: int) -> Iterator[np.ndarray]:
    """Vectors [start, stop) of ``kind`` ("corpus" or "queries"), part by part, as stored."""
    first = 0
    for part in run.manifest("embed").parts:
        if not part.path.startswith(f"{kind}/"):
            continue
        low, high = max(start - first, 0), min(stop - first, part.rows)
        if high > low:
            yield to_numpy(read_columns(run.file("embed", part.path), ["vector"])["vector"])[low:high]
        first += part.rows


def query_vectors(run: Run, start: int, stop: int) -> np.ndarray:
    """Query vectors [start, stop) as float32 (q, d)."""
    return np.concatenate(list(embedded(run, "queries", start, stop))).astype(np.float32, copy=False)


def flat_vectors(run: Run, paths: list[Path] | None = None) -> FlatVectors:
    """The corpus matrix: index's segments, or ``paths``; kept in memory where it is one block."""
    import faiss

    vectors = FlatVectors.open(paths or run.files("index", "vectors-"), threads=faiss.omp_get_max_threads())
    return replace(vectors, hold=block_rows(run.config, vectors.dimension))


def block_rows(config: Config, dimension: int) -> int:
    """Passages per block of a search: a quarter of the memory limit holds one block."""
    return max(int(config.memory_limit / 4 / (4 * dimension)), 256)


def similarity(run: Run) -> str:
    """The function that compares this run's vectors."""
    return str(run.manifest("embed").facts["similarity"])
