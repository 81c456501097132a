"""Reading a run's vectors: embed's parts by row range, index's flat matrix by blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from negmine.config import Config
from negmine.stages.base import Run
from negmine.store.manifest import Part
from negmine.store.tables import read_columns, to_numpy
from negmine.store.vectors import FlatVectors


def folder_of(encoder: str | None) -> str:
    """Where the files of a further encoder lie in embed and index; those of the main one (None) need no folder."""
    return "" if encoder is None else f"others/{encoder}/"


def fact_of(name: str, encoder: str | None) -> str:
    """What the manifest of embed calls a fact about the vectors of an encoder."""
    return name if encoder is None else f"{name} {encoder}"


def embedded_parts(
    run: Run, kind: str, start: int, stop: int, encoder: str | None = None
) -> Iterator[tuple[Part, slice]]:
    """The parts that hold the vectors [start, stop) of ``kind`` ("corpus" or "queries"), and which of their rows do."""
    first = 0
    for part in run.manifest("embed").parts:
        if not part.path.startswith(f"{folder_of(encoder)}{kind}/"):
            continue
        low, high = max(start - first, 0), min(stop - first, part.rows)
        if high > low:
            yield part, slice(low, high)
        first += part.rows


def embedded(run: Run, kind: str, start: int, stop: int, encoder: str | None = None) -> Iterator[np.ndarray]:
    """Vectors [start, stop) of ``kind`` ("corpus" or "queries"), part by part, as stored."""
    for part, rows in embedded_parts(run, kind, start, stop, encoder):
        yield to_numpy(read_columns(run.file("embed", part.path), ["vector"])["vector"])[rows]


def query_vectors(run: Run, start: int, stop: int, encoder: str | None = None) -> np.ndarray:
    """Query vectors [start, stop) as float32 (q, d)."""
    found = list(embedded(run, "queries", start, stop, encoder))
    return (found[0] if len(found) == 1 else np.concatenate(found)).astype(np.float32, copy=False)


def flat_vectors(run: Run, paths: list[Path] | None = None, encoder: str | None = None) -> FlatVectors:
    """The corpus matrix: index's segments, or ``paths``; kept in memory where it is one block."""
    import faiss

    found = paths or run.files("index", f"{folder_of(encoder)}vectors-")
    vectors = FlatVectors.open(found, threads=faiss.omp_get_max_threads())
    return replace(vectors, hold=block_rows(run.config, vectors.dimension))


def block_rows(config: Config, dimension: int) -> int:
    """Passages per block of a search: a quarter of the memory limit holds one block of every encoder."""
    encoders = 1 + sum(other.kind == "dense" for other in config.embed.others)
    return max(int(config.memory_limit / 4 / encoders / (4 * dimension)), 256)


def similarity(run: Run, encoder: str | None = None) -> str:
    """The function that compares this run's vectors."""
    return str(run.manifest("embed").facts[fact_of("similarity", encoder)])
