"""Audits of a run whose true relevance is known, repeated: do the intervals hold what they say?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.arrays import expand, find_pairs
from negmine.config import Config
from negmine.errors import InputError
from negmine.quality.design import allocation, draw, draw_keys, strata
from negmine.quality.estimating import Rate, stratified_rate
from negmine.quality.population import Population, population
from negmine.readers import BadRows, read_qrels
from negmine.stages.base import Run
from negmine.stages.final import final_reads, final_stage
from negmine.store.manifest import Manifest
from negmine.store.steady import steady
from negmine.store.tables import iter_batches, to_numpy
from negmine.store.workdir import WorkDir


@dataclass(frozen=True)
class Design:
    """What became of the audits of one design: the share whose interval held the truth, the mean error of the
    rate, the mean width of the interval."""

    coverage: float
    bias: float
    width: float


@dataclass(frozen=True)
class Simulation:
    """Repeated audits of ``judgements`` each, beside ones with a simple random sample of as many."""

    population: int
    relevant: int
    judgements: int
    repeats: int
    stratified: Design
    simple: Design

    @property
    def rate(self) -> float:
        """The true rate of false negatives."""
        return self.relevant / self.population

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"rate": self.rate, **asdict(self)}


def simulate(config: Config, qrels: Path, judgements: int, repeats: int) -> Simulation:
    """Audit a finished run ``repeats`` times, with other seeds, on the relevance that ``qrels`` tells.

    A negative is relevant when it has a grade of ``data.min_grade`` or more; without a grade it is not.
    Raises InputError when the qrels cannot be read or are about other queries; ArtifactError when filter (or judge) has
    not finished, or a file is damaged.
    """
    pairs = _relevant(qrels, config.data.min_grade)

    def read(work: WorkDir, manifests: Mapping[str, Manifest]) -> tuple[Population, np.ndarray]:
        of = population(config, work, manifests, final_stage(config))
        return of, _among(Run(config, work), of, pairs, qrels)

    of, relevant = steady(config, *final_reads(config), read)
    return repeated(of, relevant, judgements, repeats, config.seed)


def repeated(of: Population, relevant: np.ndarray, judgements: int, repeats: int, seed: int) -> Simulation:
    """Audits with the seeds from ``seed`` on, where ``relevant`` (n,) is the truth."""
    every = np.zeros(len(of), np.int64)
    designs = [
        _simulated(of, relevant, stratum, judgements, repeats, seed)
        for stratum in (strata(of.risk, of.retriever, judgements), every)
    ]
    return Simulation(len(of), int(relevant.sum()), min(judgements, len(of)), repeats, *designs)


def _simulated(
    of: Population, relevant: np.ndarray, stratum: np.ndarray, judgements: int, repeats: int, seed: int
) -> Design:
    sizes = np.bincount(stratum)
    judged = allocation(sizes, np.bincount(stratum, weights=of.risk) / sizes, judgements)
    found: list[Rate] = []
    for number in range(repeats):
        rows = draw(stratum, judged, draw_keys(seed + number, of.query_key, of.passage_key))
        hits = np.bincount(stratum[rows], weights=relevant[rows], minlength=len(sizes))
        found.append(stratified_rate(sizes, judged, hits))
    rate, low, high = np.array([[each.rate, each.low, each.high] for each in found], np.float64).T
    truth = relevant.mean()
    return Design(
        coverage=float(((low <= truth) & (truth <= high)).mean()),
        bias=float(rate.mean() - truth),
        width=float((high - low).mean()),
    )


def _relevant(path: Path, min_grade: float) -> tuple[pa.Array, pa.Array]:
    """Ids of the queries and documents of all relevant pairs."""
    queries, documents = [], []
    for batch in read_qrels(path, BadRows()):
        graded = pa.array(np.array(batch.grades) >= min_grade)
        queries.append(pa.array(batch.query_ids, pa.string()).filter(graded))
        documents.append(pa.array(batch.doc_ids, pa.string()).filter(graded))
    joined = [pa.concat_arrays([*arrays, pa.array([], pa.string())]) for arrays in (queries, documents)]
    return joined[0], joined[1]


def _among(run: Run, of: Population, pairs: tuple[pa.Array, pa.Array], path: Path) -> np.ndarray:
    """Which negatives (n,) are relevant pairs; a chunk is when its document is."""
    query_ids, doc_ids = pairs
    names = pc.unique(query_ids)
    name, number = _rows_of(run, "queries", "query_id", "query", names)
    if not len(name):
        raise InputError(
            "none of its relevant pairs is about a query of this run",
            where=str(path),
            hint="Are these the qrels of this data? data.min_grade says what is relevant.",
        )
    query_of = np.full(len(names), -1)
    query_of[name] = number
    documents = pc.unique(doc_ids)
    chunked = run.manifest("ingest").made_from["config"].get("data.long_documents") == "chunk"
    document, passage = _rows_of(run, "corpus", "document" if chunked else "doc_id", "passage", documents)
    order = np.argsort(document, kind="stable")
    offsets = np.searchsorted(document[order], np.arange(len(documents) + 1))
    query = query_of[to_numpy(pc.index_in(query_ids, value_set=names))]
    which = to_numpy(pc.index_in(doc_ids, value_set=documents))
    of_passage = passage[order][expand(offsets, which)]
    of_query = np.repeat(query, np.diff(offsets)[which])
    known = np.unique(np.stack([of_query, of_passage])[:, of_query >= 0], axis=1)
    passages = run.manifest("ingest").counts["passages"]
    return find_pairs(of.query, of.passage, known[0], known[1], passages) >= 0


def _rows_of(run: Run, table: str, column: str, number: str, ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a table of ingest whose id is one of ``ids``: its place among them, and the row's number."""
    places, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for batch in iter_batches(run.file("ingest", f"{table}.parquet"), [column, number], rows=1 << 18):
        place = to_numpy(pc.fill_null(pc.index_in(batch[column], value_set=ids), -1))
        places.append(place[place >= 0].astype(np.int64))
        numbers.append(to_numpy(batch[number])[place >= 0])
    return np.concatenate(places), np.concatenate(numbers)
