"""A part of mine with all that the rules need to know of its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.arrays import find_pairs
from negmine.config.filtering import RERANK
from negmine.config.mining import DENSE
from negmine.errors import ConfigError
from negmine.selection.candidates import Candidates
from negmine.selection.groups import same_group
from negmine.selection.identity import EXCLUSION_REASONS
from negmine.selection.near_duplicates import near_duplicates
from negmine.selection.verdicts import NearDuplicates, reference_scores
from negmine.stages.base import Run
from negmine.stages.filter.labels import decided, deciding_columns, positives_of, ranks_among, stays, trusted
from negmine.stages.reranked import rerank_scores
from negmine.stages.texts import passage_texts, passages_of, queries_of
from negmine.store.tables import read_columns, rows_between, to_numpy
from negmine.text import Template


@dataclass(frozen=True)
class MinedPart:
    """The rows of one part of mine, best first by the score that decides; queries are counted from ``start`` in
    ``candidates``. ``rest`` are those that the reranker did not score."""

    name: str
    start: int
    stop: int
    table: pa.Table
    named: pa.Table
    """``query_id`` and ``id_hash`` of the queries (stop - start,)."""
    candidates: Candidates
    rest: pa.Table | None = None


def mined_parts(run: Run) -> list[tuple[str, int, int]]:
    """Every part of mine: its name without ending, its first query and the one after its last."""
    queries = run.manifest("ingest").counts["distinct_queries"]
    size = run.manifest("mine").made_from["config"]["mine.part_queries"]
    paths = sorted(part.path for part in run.manifest("mine").parts if part.path.startswith("part-"))
    return [(path.removesuffix(".parquet"), i * size, min((i + 1) * size, queries)) for i, path in enumerate(paths)]


def load_part(
    run: Run, name: str, start: int, stop: int, exclude_same: Sequence[str], *, numbers_only: bool = False
) -> MinedPart:
    """One of ``mined_parts``; with ``numbers_only`` its ``table`` has no ids and names, which no rule looks at."""
    columns = schemas.candidates(run.config.mine.further)
    names = [field.name for field in columns if not numbers_only or pa.types.is_primitive(field.type)]
    table = read_columns(run.file("mine", f"{name}.parquet"), names)
    table, rest = _scored(run, table)
    query, passage = to_numpy(table["query"]) - start, to_numpy(table["passage"])
    positives = decided(run, positives_of(run, start, stop))
    of_query, of_passage = to_numpy(positives["query"]) - start, to_numpy(positives["passage"])
    used = trusted(of_query, stays(run, positives), stop - start)

    def reference(column: str) -> np.ndarray:
        how = run.config.filter.reference
        return reference_scores(of_query[used], to_numpy(positives[column])[used], how, stop - start)

    more = deciding_columns(run)[1:]
    named = queries_of(run).slice(start, stop, ["query_id", "id_hash"])
    score, excluded = to_numpy(table["score"]), excluded_codes(run, start, stop, query, passage)
    rival = excluded == 0
    ranks = ranks_among(run, positives, of_query, query[rival], score[rival])
    candidates = Candidates(
        query=query,
        passage=passage,
        rank=to_numpy(table["rank"]),
        score=score,
        positive_similarity=to_numpy(table["positive_similarity"]),
        excluded=excluded,
        passage_key=passage_keys(run)[passage],
        reference=reference("score"),
        positive_rank=_best(of_query[used], ranks[used], stop - start),
        query_key=to_numpy(named["id_hash"]),
        same=tuple(same_value(run, column, query, passage, of_query, of_passage) for column in exclude_same),
        more_scores=tuple(to_numpy(table[column]) for column in more),
        more_references=tuple(map(reference, more)),
    )
    return MinedPart(name, start, stop, table, named, candidates, rest)


def scorers_of(run: Run) -> tuple[str, ...]:
    """All that score candidates, where there are several; each has a column in the verdicts."""
    config = run.config
    found = (DENSE, *config.mine.further, *((RERANK,) if config.rerank is not None else ()))
    return found if len(found) > 1 else ()


def _scored(run: Run, table: pa.Table) -> tuple[pa.Table, pa.Table | None]:
    """Candidates with the scores of all, best first by the one that decides; and those that the reranker did not
    score, where it has a say."""
    scorers = scorers_of(run)
    if not scorers:
        return table, None
    query, passage = to_numpy(table["query"]), to_numpy(table["passage"])
    table = table.append_column(schemas.score_column(DENSE), table["score"])
    rest = None
    asked = np.arange(len(query))
    if RERANK in scorers:
        scores = rerank_scores(run, query, passage)
        table = table.append_column(schemas.score_column(RERANK), pa.array(scores, mask=np.isnan(scores)))
        rest, asked = table.filter(pa.array(np.isnan(scores))), np.flatnonzero(~np.isnan(scores))
        _check_scale(run, scores[asked])
    first = schemas.score_column(run.config.scorers[0])
    table = table.set_column(table.column_names.index("score"), "score", table[first])
    if rest is not None:
        rest = rest.set_column(rest.column_names.index("score"), "score", rest[first])
    if RERANK not in scorers and first == schemas.score_column(DENSE):
        return table, rest  # as it was mined, which may be by ranks
    score = to_numpy(table["score"])
    order = asked[np.lexsort((passage[asked], -score[asked], query[asked]))]
    return table.take(pa.array(order)), rest


def _check_scale(run: Run, scores: np.ndarray) -> None:
    """Refuse a share of a score that may be negative: a server gives what it gives."""
    section = run.config.filter
    hard = section.risk.as_hard_as if section.risk is not None and run.config.scorers[0] == RERANK else None
    key = "filter.risk.as_hard_as" if section.relative_margin is None else "filter.relative_margin"
    if (section.relative_margin is not None or hard is not None) and len(scores) and scores.min() < 0:
        raise ConfigError(
            f"it is a share of the reference score, and the reranker has scores below zero ({scores.min():g})",
            where=key,
            hint="Set filter.absolute_margin instead, and filter.risk to null or {max: 0.5}.",
        )


def near_duplicates_of(run: Run, candidates: Candidates, start: int, jaccard: float) -> NearDuplicates:
    """The rule that compares candidates' texts with those of their queries' positives.

    ``start`` is the number of the first query of ``candidates``.
    """
    path = run.file("mine", "positives.parquet")
    positives = rows_between(path, "query", start, start + candidates.queries, ["query", "passage"])
    of_query, of_passage = to_numpy(positives["query"]) - start, to_numpy(positives["passage"])
    return near_duplicates_among(run, candidates, of_query, of_passage, jaccard)


def near_duplicates_among(
    run: Run, candidates: Candidates, of_query: np.ndarray, of_passage: np.ndarray, jaccard: float
) -> NearDuplicates:
    """The same for positives that are given: query (ascending, as in ``candidates``) and passage (p,)."""
    offsets = np.searchsorted(of_query, np.arange(candidates.queries + 1))
    template = Template(run.config.data.passage_template)

    def near(rows: np.ndarray) -> np.ndarray:
        query = candidates.query[rows]
        counts = np.diff(offsets)[query]
        which = np.repeat(np.arange(len(rows)), counts)
        first = np.cumsum(counts) - counts
        positive = of_passage[np.arange(len(which)) - first[which] + offsets[query][which]]
        candidate = candidates.passage[rows][which]
        numbers, place = np.unique(np.concatenate([candidate, positive]), return_inverse=True)
        texts = passage_texts(passages_of(run).take(numbers, list(template.names)), template).to_pylist()
        found = near_duplicates(texts, place[: len(which)], texts, place[len(which) :], jaccard)
        return np.bincount(which[found], minlength=len(rows)) > 0

    return near


def _best(query: np.ndarray, rank: np.ndarray, queries: int) -> np.ndarray:
    best = np.full(queries, np.inf)
    np.minimum.at(best, query, rank)
    return best


def passage_keys(run: Run) -> np.ndarray:
    """What seeds draws of each passage: uint64, by its number."""
    return run.resource("passage_keys", lambda: to_numpy(passages_of(run).column("id_hash")))


def excluded_codes(run: Run, start: int, stop: int, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
    """``Candidates.excluded`` of some (query, passage), counted from the query ``start``: (n,)."""
    columns = ["query", "passage", "reason"]
    rows = rows_between(run.file("ingest", "excluded.parquet"), "query", start, stop, columns)
    codes = to_numpy(pc.index_in(rows["reason"], value_set=pa.array(EXCLUSION_REASONS))) + 1
    passages = run.manifest("ingest").counts["passages"]
    row = find_pairs(query, passage, to_numpy(rows["query"]) - start, to_numpy(rows["passage"]), passages)
    return np.where(row >= 0, codes[row], 0)


def same_value(
    run: Run, column: str, query: np.ndarray, passage: np.ndarray, of_query: np.ndarray, of_passage: np.ndarray
) -> np.ndarray:
    """Whether candidates (n,) have the value of a positive (p,) of their query in a metadata column: bool (n,)."""

    def values() -> tuple[np.ndarray, np.ndarray]:
        table = read_columns(run.file("ingest", "corpus.parquet"), ["passage", column])
        codes = table[column].combine_chunks().dictionary_encode().indices
        return to_numpy(table["passage"]), to_numpy(pc.fill_null(codes, -1))

    known = run.resource(f"metadata {column}", values)
    return same_group(query, passage, of_query, of_passage, *known, run.manifest("ingest").counts["passages"])
