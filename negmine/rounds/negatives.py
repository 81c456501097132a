"""What became of the negatives of a run when another model mined anew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.arrays import find_pairs
from negmine.comparing.reading import KEPT, NOT_MINED, NOT_THERE, Side, matched_passages, matched_queries
from negmine.retrieval.similarity import score_pairs
from negmine.selection.verdicts import reference_scores
from negmine.stages.base import Run
from negmine.stages.final import final_stage, kept_rows
from negmine.stages.texts import queries_of
from negmine.stages.vectors import block_rows, embedded, flat_vectors, similarity
from negmine.store.tables import iter_batches, read_columns, to_numpy

MOST_QUERIES = 20_000
"""Queries that are looked at, those with the least hashes of their ids."""
_SPARED = ("not_sampled", "range", "reuse", "starved", "min_score")


@dataclass(frozen=True)
class Look:
    """Negatives as a model sees them: means of the score and of the margin (the reference score minus it), the
    tenth, half and nine tenths of the margins, the mean risk and the median rank of those among its candidates."""

    negatives: int
    score: float | None
    margin: float | None
    margins: tuple[float, float, float] | None
    risk: float | None
    rank: float | None


@dataclass(frozen=True)
class Became:
    """Mined negatives of ``queries`` (of ``queries_of_run``) before and after.

    ``old`` and ``new`` are each run's negatives as its own model sees them, ``old_now`` those of the old run as the
    new model does. ``reasons`` counts the old ones by what the new run says of them: the reasons of its filter,
    ``not_mined`` for no candidate any more, ``not_there`` for texts that are not in its data.
    """

    queries: int
    queries_of_run: int
    old: Look
    old_now: Look
    new: Look
    reasons: Mapping[str, int]

    @property
    def kept(self) -> int:
        """Old negatives that are negatives again."""
        return self.reasons.get(KEPT, 0)

    @property
    def spared(self) -> int:
        """Old negatives that may be negatives still, and for which others were taken."""
        return sum(count for reason, count in self.reasons.items() if reason in _SPARED)

    @property
    def false(self) -> int:
        """Old negatives that the rules take for relevant now."""
        return sum(self.why_false.values())

    @property
    def why_false(self) -> dict[str, int]:
        """The same by reason, the most frequent first."""
        others = (KEPT, NOT_MINED, NOT_THERE, *_SPARED)
        return {reason: count for reason, count in self.reasons.items() if reason not in others}

    @property
    def gone(self) -> int:
        """Old negatives that became so easy that they are no candidates."""
        return self.reasons.get(NOT_MINED, 0)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values, with the sums."""
        sums = {name: getattr(self, name) for name in ("kept", "spared", "false", "gone")}
        return {**asdict(self), **sums}


def became(old: Run, new: Run) -> Became:
    """Compare the negatives of two runs of the same queries. Random ones are left out.

    Both must have finished filter. Raises ArtifactError for files that are damaged.
    """
    keys = to_numpy(queries_of(old).column("id_hash"))
    chosen = np.zeros(len(keys), bool)
    chosen[np.argsort(keys, kind="stable")[:MOST_QUERIES]] = True
    before = _kept(old, chosen)
    sides = _side(old), _side(new)
    to_query = matched_queries(*sides).to_b
    chosen_now = np.zeros(len(queries_of(new)), bool)
    chosen_now[to_query[chosen & (to_query >= 0)]] = True
    now = _kept(new, chosen_now)
    query = to_query[before.query]
    passage = matched_passages(*sides, before.passage, now.passage)[0][before.passage]
    there = (query >= 0) & (passage >= 0)
    reason, rank, risk = _said(new, query, passage, there)
    counts = {name: int((reason == name).sum()) for name in np.unique(reason)} if len(reason) else {}
    moved = _Pairs(query[there], passage[there], rank[there], risk[there])
    return Became(
        queries=int(chosen.sum()),
        queries_of_run=len(keys),
        old=_look(old, before),
        old_now=_look(new, moved),
        new=_look(new, now),
        reasons=dict(sorted(counts.items(), key=lambda each: (-each[1], each[0]))),
    )


def _side(run: Run) -> Side:
    stages = dict.fromkeys((final_stage(run.config), "filter", "ingest"))
    return Side(run.work, {stage: run.manifest(stage) for stage in stages})


@dataclass(frozen=True)
class _Pairs:
    """Arrays (n,); ``rank`` is infinite and ``risk`` NaN where they are not known."""

    query: np.ndarray
    passage: np.ndarray
    rank: np.ndarray
    risk: np.ndarray


def _kept(run: Run, chosen: np.ndarray) -> _Pairs:
    """The mined negatives of the ``chosen`` queries (q,)."""
    columns: list[tuple[np.ndarray, ...]] = []
    for path in run.files(final_stage(run.config), "part-"):
        for batch in kept_rows(path, ["query", "passage", "rank", "risk"]):
            table = batch.filter(pc.is_valid(batch["rank"]))
            query = to_numpy(table["query"])
            rows = chosen[query]
            columns.append(
                tuple(values[rows] for values in (query, to_numpy(table["passage"]), _rank(table), _risk(table)))
            )
    return _Pairs(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _verdicts(run: Run) -> Iterator[pa.RecordBatch]:
    for path in run.files(final_stage(run.config), "part-"):
        yield from iter_batches(path, ["query", "passage", "reason", "rank", "risk"], rows=1 << 20)


def _rank(table: pa.RecordBatch) -> np.ndarray:
    return to_numpy(pc.fill_null(table["rank"].cast(pa.float64()), np.inf))


def _risk(table: pa.RecordBatch) -> np.ndarray:
    return to_numpy(pc.fill_null(table["risk"], np.nan))


def _said(
    run: Run, query: np.ndarray, passage: np.ndarray, there: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a run says of pairs (n,), of which some are ``there`` (n,): reason, rank, risk (n,)."""
    reason = np.where(there, NOT_MINED, NOT_THERE).astype(object)
    rank, risk = np.full(len(query), np.inf), np.full(len(query), np.nan)
    rows = np.flatnonzero(there)
    rows = rows[np.lexsort((passage[rows], query[rows]))]
    passages = run.manifest("ingest").counts["passages"]
    for table in _verdicts(run):
        place = find_pairs(to_numpy(table["query"]), to_numpy(table["passage"]), query[rows], passage[rows], passages)
        hit = place >= 0
        mask = pa.array(hit)
        to = rows[place[hit]]
        reason[to] = table["reason"].filter(mask).to_numpy(zero_copy_only=False)
        rank[to], risk[to] = _rank(table)[hit], _risk(table)[hit]
    return reason.astype(str), rank, risk


def _look(run: Run, pairs: _Pairs) -> Look:
    if not len(pairs.query):
        return Look(0, None, None, None, None, None)
    score = _scores(run, pairs.query, pairs.passage)
    margin = _references(run)[pairs.query] - score
    known = pairs.risk[~np.isnan(pairs.risk)]
    rank = float(np.median(pairs.rank))
    low, middle, high = (float(value) for value in np.quantile(margin, [0.1, 0.5, 0.9]))
    return Look(
        negatives=len(score),
        score=_mean(score),
        margin=_mean(margin),
        margins=(low, middle, high),
        risk=_mean(known) if len(known) else None,
        rank=rank if math.isfinite(rank) else None,
    )


def _mean(values: np.ndarray) -> float:
    return math.fsum(values) / len(values)


def _references(run: Run) -> np.ndarray:
    """The reference score by the vectors of every query (q,)."""
    table = read_columns(run.file("mine", "positives.parquet"), ["query", "score"])
    how, queries = run.config.filter.reference, run.manifest("ingest").counts["distinct_queries"]
    return reference_scores(to_numpy(table["query"]), to_numpy(table["score"]), how, queries)


def _scores(run: Run, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
    """Scores of pairs by the run's vectors: float64 (n,)."""
    numbers, of = np.unique(query, return_inverse=True)
    source = flat_vectors(run)
    vectors, first = np.empty((len(numbers), source.dimension), np.float32), 0
    for part in embedded(run, "queries", 0, run.manifest("ingest").counts["distinct_queries"]):
        low, high = np.searchsorted(numbers, [first, first + len(part)])
        vectors[low:high] = part[numbers[low:high] - first]
        first += len(part)

    def blocks() -> Iterator[tuple[int, np.ndarray]]:
        return source.blocks(block_rows(run.config, source.dimension))

    return score_pairs(vectors, blocks, of, passage, similarity(run))
