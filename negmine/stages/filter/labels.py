"""The labelled pairs as mine scored them, and which of them ``pairs.action: drop`` leaves in place."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.arrays import find_pairs
from negmine.config.mining import DENSE
from negmine.selection.pairs import beaten_by, is_low
from negmine.stages.base import Run
from negmine.stages.scored import positive_scores
from negmine.store.tables import read_columns, rows_between, to_numpy

_COLUMNS = ("query_id", "doc_id", "score", "rank", "query", "passage")


def positives_of(run: Run, start: int, stop: int) -> pa.Table:
    """The labelled pairs of the queries [start, stop), by query: ids, score, rank, query, passage."""
    return rows_between(run.file("mine", "positives.parquet"), "query", start, stop, _COLUMNS)


def staying_positives(run: Run) -> pa.Table:
    """All labelled pairs but those that are dropped, with the scores that decide (see ``decided``)."""
    positives = decided(run, read_columns(run.file("mine", "positives.parquet"), _COLUMNS))
    return positives.filter(pa.array(stays(run, positives)))


def decided(run: Run, positives: pa.Table) -> pa.Table:
    """Labelled pairs, by query, with the scores of ``config.scorers`` in the ``deciding_columns``."""
    query, passage = to_numpy(positives["query"]), to_numpy(positives["passage"])
    dense = positives
    for column, scorer in zip(deciding_columns(run), run.config.scorers, strict=True):
        scores = dense["score"] if scorer == DENSE else pa.array(positive_scores(run, scorer, query, passage))
        place = positives.column_names.index(column) if column in positives.column_names else positives.num_columns
        put = positives.set_column if place < positives.num_columns else positives.add_column
        positives = put(place, column, scores)
    return positives


def deciding_columns(run: Run) -> list[str]:
    """Where the scores of ``config.scorers`` are: ``score`` is that of the first."""
    return ["score", *map(schemas.score_column, run.config.scorers[1:])]


def stays(run: Run, positives: pa.Table) -> np.ndarray:
    """Which of all labelled pairs of some queries are not dropped: bool (p,)."""
    if run.config.pairs.action != "drop":
        return np.ones(positives.num_rows, bool)
    return ~(ranked_low(run, positives) | in_conflict(run, positives))


def trusted(query: np.ndarray, staying: np.ndarray, queries: int) -> np.ndarray:
    """Which pairs the reference score of their query is over: those that stay, or all where none does.

    ``query`` (p,) counts from 0, ``staying`` bool (p,); the result is bool (p,).
    """
    left = np.bincount(query[staying], minlength=queries)
    return staying | (left == 0)[query]


def ranks_of(positives: pa.Table) -> np.ndarray:
    """Where each positive was found, infinite when it was not: float64 (p,)."""
    return to_numpy(pc.fill_null(positives["rank"].cast(pa.float64()), np.inf))


def ranks_among(
    run: Run, positives: pa.Table, of_query: np.ndarray, query: np.ndarray, score: np.ndarray
) -> np.ndarray:
    """The same where the vectors were searched; else the place of each positive among the candidates that may
    be negatives of its query, by score: float64 (p,).

    ``query`` and ``score`` (n,) are those candidates', ``of_query`` (p,) numbers the positives' queries as they do.
    """
    if run.config.mine.dense:
        return ranks_of(positives)
    return 1.0 + beaten_by(query, score, of_query, to_numpy(positives["score"]))


def ranked_low(run: Run, positives: pa.Table) -> np.ndarray:
    """Which of all labelled pairs of some queries rank worse than ``pairs.max_rank``: bool (p,)."""
    return is_low(to_numpy(positives["query"]), ranks_of(positives), run.config.pairs.max_rank)


def in_conflict(run: Run, positives: pa.Table) -> np.ndarray:
    """Whose texts are also judged not relevant: bool (p,)."""

    def read() -> tuple[np.ndarray, np.ndarray]:
        table = read_columns(run.file("ingest", "conflicts.parquet"), ["query", "passage"])
        return to_numpy(table["query"]), to_numpy(table["passage"])

    return among(run, positives, *run.resource("conflicts", read))


def among(run: Run, positives: pa.Table, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
    """Which labelled pairs are among the pairs ``query``, ``passage`` (in any order): bool (p,)."""
    pairs = np.unique(np.stack([query, passage]), axis=1)
    passages = run.manifest("ingest").counts["passages"]
    place = find_pairs(to_numpy(positives["query"]), to_numpy(positives["passage"]), pairs[0], pairs[1], passages)
    found: np.ndarray = place >= 0
    return found
