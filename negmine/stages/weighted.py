"""The weights of a sparse encoder over a run's passages: the files that index makes, and the search that mine does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from negmine.retrieval.sparse import Matches, Postings, search_weights
from negmine.stages.base import Job, Run
from negmine.stages.lexical import array_on_disk, write_array
from negmine.stages.vectors import embedded_parts, folder_of
from negmine.store.tables import read_columns, to_numpy

_OFFSETS, _PASSAGES, _WEIGHTS = "offsets.npy", "passages.npy", "weights.npy"

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Offsets (n + 1,) of texts in their terms and weights (m,)."""


def merge(job: Job, encoder: str) -> Mapping[str, int]:
    """The weights of all passages in the order of their terms: two passes over the parts, one at a time."""
    passages = job.manifest("ingest").counts["passages"]
    frequency = np.zeros(0, np.int64)
    for _, terms, _ in _parts(job, "corpus", 0, passages, encoder):
        found = np.bincount(terms)
        frequency = np.pad(frequency, (0, max(len(found) - len(frequency), 0)))
        frequency[: len(found)] += found
    offsets = np.concatenate([[0], np.cumsum(frequency)]).astype(np.int64)
    folder = folder_of(encoder)
    with job.publish(f"{folder}{_PASSAGES}") as passage_file, job.publish(f"{folder}{_WEIGHTS}") as weight_file:
        passage = array_on_disk(passage_file, np.dtype(np.int32), int(offsets[-1]))
        weight = array_on_disk(weight_file, np.dtype(np.float32), int(offsets[-1]))
        free, first = offsets[:-1].copy(), 0
        for starts, terms, weights in _parts(job, "corpus", 0, passages, encoder):
            of = first + np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            order = np.argsort(terms, kind="stable")  # passages ascend already
            term = terms[order]
            count = np.bincount(term, minlength=len(free))
            to = free[term] + np.arange(len(term)) - (np.cumsum(count) - count)[term]
            passage[to], weight[to] = of[order], weights[order]
            free += count
            first += len(starts) - 1
            job.progress(len(starts) - 1)
        for array in (passage, weight):
            if isinstance(array, np.memmap):
                array.flush()
    with job.publish(f"{folder}{_OFFSETS}") as output:
        write_array(output, offsets)
    return {f"weights {encoder}": int(offsets[-1])}


def _parts(run: Run, kind: str, start: int, stop: int, encoder: str) -> Iterator[Rows]:
    """The sparse vectors [start, stop) of ``kind``, part by part."""
    for part, rows in embedded_parts(run, kind, start, stop, encoder):
        table = read_columns(run.file("embed", part.path), ["terms", "weights"])
        table = table.slice(rows.start, rows.stop - rows.start)
        terms, weights = (table[name].combine_chunks() for name in ("terms", "weights"))
        lengths = to_numpy(terms.value_lengths()).astype(np.int64)
        yield np.concatenate([[0], np.cumsum(lengths)]), to_numpy(terms.flatten()), to_numpy(weights.flatten())


class WeightedSearch:
    """The finished index of a sparse encoder; its arrays stay on disk, and what a query needs of them is read."""

    def __init__(self, run: Run, encoder: str) -> None:
        def mapped(name: str) -> np.ndarray:
            return np.asarray(np.load(run.file("index", f"{folder_of(encoder)}{name}"), mmap_mode="r"))

        passages = run.manifest("ingest").counts["passages"]
        self._postings = Postings(np.array(mapped(_OFFSETS)), mapped(_PASSAGES), mapped(_WEIGHTS), passages)

    def search(self, queries: Rows, depth: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> Matches:
        """What is found for queries, and the scores of ``pairs``: see ``search_weights``."""
        offsets, terms, weights = queries
        return search_weights(self._postings, terms, weights, offsets, depth, pairs)


def query_weights(run: Run, start: int, stop: int, encoder: str) -> Rows:
    """The sparse vectors of the queries [start, stop)."""
    parts = list(_parts(run, "queries", start, stop, encoder))
    counts = np.concatenate([np.diff(offsets) for offsets, _, _ in parts])
    terms, weights = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    return np.concatenate([[0], np.cumsum(counts)]), terms, weights
