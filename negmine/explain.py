"""Why every candidate of a query is a negative or not, as a finished run stored it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from negmine.config import Config
from negmine.config.mining import DENSE
from negmine.errors import UsageError
from negmine.remote.steady import steady
from negmine.selection.verdicts import explanation, reference_scores
from negmine.stages.base import Run
from negmine.stages.final import final_reads, final_stage, kept_rows
from negmine.stages.scored import positive_scores
from negmine.stages.texts import StandingTable, passage_texts
from negmine.store.files import read_json
from negmine.store.manifest import Manifest
from negmine.store.tables import iter_batches, rows_with, to_numpy
from negmine.store.workdir import WorkDir
from negmine.text import Template

T = TypeVar("T")
_LOOKED_AT = 20_000
_SOURCE = ("retriever", "rank", "retrievers", "ranks")
_JUDGED = ("judgement", "judged_by")
_OF_CANDIDATE = ("doc_id", *_SOURCE, "score", "positive_similarity", "risk", "verdict", "reason", "position")


@dataclass(frozen=True)
class ExplainedPositive:
    """A labelled positive passage with its score, its rank (None: deeper than was searched) and what was
    found about the pair (nothing when ``pairs.action`` is keep)."""

    doc_id: str
    text: str
    score: float
    rank: int | None
    findings: tuple[str, ...]


@dataclass(frozen=True)
class ExplainedCandidate:
    """A candidate with its verdict; ``explanation`` is the ``reason`` in words.

    ``rank`` counts from 1 over what ``retriever`` found, and is None for a random fill; it is the first of
    the ``retrievers`` that found the candidate, at these ``ranks``;
    ``position`` counts the kept ones from 1, and is None for the dropped;
    ``score`` is the one that decides, None for what the reranker did not score; ``scores`` is what each scorer gave,
    by its name, empty in a run with one scorer;
    ``positive_similarity`` is the greatest cosine to a positive, None for a random fill; ``risk`` is the
    probability of being relevant, None for a random fill and in a run without ``filter.risk``;
    ``judgement`` is what the judge said and ``judged_by`` who that was, None where nobody did.
    """

    doc_id: str
    text: str
    retriever: str
    rank: int | None
    retrievers: tuple[str, ...]
    ranks: tuple[int | None, ...]
    score: float | None
    scores: Mapping[str, float | None]
    positive_similarity: float | None
    risk: float | None
    verdict: str
    reason: str
    explanation: str
    position: int | None
    judgement: str | None = None
    judged_by: str | None = None


@dataclass(frozen=True)
class ExplainedQuery:
    """A query with its positives and all its candidates, in the order of the run's files.

    ``query_id`` is the id that was asked for. ``ids`` are the ids of all queries with this text,
    which share the candidates; the first of them is the one in the verdicts.
    """

    query_id: str
    ids: tuple[str, ...]
    text: str
    reference: float
    positives: tuple[ExplainedPositive, ...]
    candidates: tuple[ExplainedCandidate, ...]

    @property
    def kept(self) -> int:
        """How many of the candidates are negatives of the query."""
        return sum(candidate.verdict == "kept" for candidate in self.candidates)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


def explain(config: Config, query_ids: Sequence[str]) -> list[ExplainedQuery]:
    """Each of the queries with its candidates, in the order asked for.

    Reads finished stages only, and of the verdicts only the rows of these queries. Raises
    UsageError for an id that is not there; ArtifactError when filter has not finished, an earlier
    stage was made again since, or a file is damaged.
    """
    return _steady(config, lambda run: run.explained(query_ids))


def random_ids(config: Config, count: int) -> list[str]:
    """Ids of ``count`` queries, or all if there are fewer: drawn by the config's seed, in query order."""

    def draw(run: _Run) -> list[str]:
        queries = run.queries()
        chosen = np.random.default_rng(config.seed).permutation(len(queries))[:count]
        ids: list[str] = queries.take(np.sort(chosen), ["query_id"])["query_id"].to_pylist()
        return ids

    return _steady(config, draw)


def starved_ids(config: Config, count: int) -> tuple[list[str], int]:
    """Ids of the first ``count`` queries that came out short of negatives, and how many there are.

    The report of the last verdicts names the first thousand.
    """

    def read(run: _Run) -> tuple[list[str], int]:
        report = read_json(run.file(final_stage(config), "report.json"))
        ids = [row["query_id"] for row in report["starved"]]
        return ids[:count], len(ids) + report["starved_not_listed"]

    return _steady(config, read)


def riskiest_ids(config: Config, count: int) -> list[str]:
    """Ids of the ``count`` queries with the likeliest false negative, or of all that have a negative.

    In the order of the greatest risk among their mined negatives; ties by the order of the queries.
    Raises UsageError when the run has no risks.
    """

    def read(run: _Run) -> list[str]:
        greatest = run.greatest_risks()
        if greatest is None:
            raise UsageError(
                "this run has no risks: its filter.risk is null",
                hint="Set filter.risk and run filter again, such as --set filter.risk.max=0.5.",
            )
        worst = np.argsort(-greatest, kind="stable")[:count]
        chosen = worst[np.isfinite(greatest[worst])]
        ordered = np.sort(chosen)
        names = run.queries().take(ordered, ["query_id"])["query_id"].to_pylist()
        return [names[place] for place in np.searchsorted(ordered, chosen)]

    return _steady(config, read)


def _steady(config: Config, read: Callable[[_Run], T]) -> T:
    """What ``read`` makes of one state of the run."""
    return steady(config, *final_reads(config), lambda work, manifests: read(_Run(config, work, manifests)))


class _Run:
    """What is read of a run, under manifests that belong together."""

    def __init__(self, config: Config, work: WorkDir, manifests: Mapping[str, Manifest]) -> None:
        self._config = config
        self._work = work
        self._manifests = manifests
        self._final = final_stage(config)

    def file(self, stage: str, path: str) -> Path:
        """A file of a finished stage, verified."""
        return self._work.file(self._manifests[stage], path)

    def queries(self) -> StandingTable:
        return StandingTable(self.file("ingest", "queries.parquet"), "query")

    def greatest_risks(self) -> np.ndarray | None:
        """The greatest risk among each query's mined negatives: (q,), -inf without any; None without risks."""
        if self._manifests["filter"].made_from["config"].get("filter.risk.weights") is None:
            return None
        greatest = np.full(len(self.queries()), -np.inf)
        for part in self._verdict_parts():
            for negatives in kept_rows(self.file(self._final, part), ["query", "risk"]):
                rows = negatives.filter(pc.is_valid(negatives["risk"]))
                np.maximum.at(greatest, to_numpy(rows["query"]), to_numpy(rows["risk"]))
        return greatest

    def explained(self, query_ids: Sequence[str]) -> list[ExplainedQuery]:
        number = self._numbers(query_ids)
        wanted = np.unique(np.array(list(number.values()), np.int64))
        names = self._names(wanted)
        texts = dict(zip(wanted.tolist(), self.queries().take(wanted, ["text"])["text"].to_pylist(), strict=True))
        candidates, positives = self._candidates(wanted), self._positives(wanted)
        passage = self._passages([*candidates.values(), *positives.values()])
        found = []
        for query_id in query_ids:
            query = number[query_id]
            rows, labelled = candidates[query], positives[query]
            found.append(
                ExplainedQuery(
                    query_id=query_id,
                    ids=names[query],
                    text=texts[query],
                    reference=rows[0]["reference"] if rows else self._reference(labelled),
                    positives=tuple(_positive(row, passage[row["passage"]]) for row in labelled),
                    candidates=tuple(_candidate(row, passage[row["passage"]]) for row in rows),
                )
            )
        return found

    def _numbers(self, query_ids: Sequence[str]) -> dict[str, int]:
        """The number of each query's text."""
        path = self.file("ingest", "queries.parquet")
        wanted = pa.array(query_ids, pa.string())
        found: dict[str, int] = {}
        for batch in iter_batches(path, ["query_id", "query"]):
            rows = batch.filter(pc.is_in(batch["query_id"], value_set=wanted))
            found |= zip(rows["query_id"].to_pylist(), rows["query"].to_pylist(), strict=True)
        unknown = next((query_id for query_id in query_ids if query_id not in found), None)
        if unknown is not None:
            near = ", ".join(f"'{name}'" for name in _nearest(unknown, path))
            hint = f"The nearest ids are {near}." if near else f"The ids are the column query_id of {path}."
            raise UsageError(f"there is no query '{unknown}' in this run", hint=hint)
        return found

    def _names(self, numbers: np.ndarray) -> dict[int, tuple[str, ...]]:
        """Every id of each numbered text, in input order."""
        wanted = pa.array(numbers)
        found: dict[int, tuple[str, ...]] = {}
        for batch in iter_batches(self.file("ingest", "queries.parquet"), ["query_id", "query"]):
            rows = batch.filter(pc.is_in(batch["query"], value_set=wanted))
            for query_id, query in zip(rows["query_id"].to_pylist(), rows["query"].to_pylist(), strict=True):
                found[query] = (*found.get(query, ()), query_id)
        return found

    def _candidates(self, numbers: np.ndarray) -> dict[int, list[dict[str, Any]]]:
        """The verdicts of each of some queries (ascending numbers)."""
        judged = _JUDGED if self._final == "judge" else ()
        found: dict[int, list[dict[str, Any]]] = {query: [] for query in numbers.tolist()}
        part = numbers // self._manifests["mine"].made_from["config"]["mine.part_queries"]
        for place in np.unique(part).tolist():
            path = self.file(self._final, self._verdict_parts()[place])
            scorers = {n.removesuffix("_score"): n for n in pq.read_schema(path).names if n.endswith("_score")}
            columns = (*_OF_CANDIDATE, *scorers.values(), *judged, "reference", "passage")
            for row in rows_with(path, "query", numbers[part == place], columns).to_pylist():
                scores = {name: row[column] for name, column in scorers.items()}
                found[row["query"]].append({**dict.fromkeys(_JUDGED), **row, "scores": scores})
        return found

    def _verdict_parts(self) -> list[str]:
        return sorted(part.path for part in self._manifests[self._final].parts if part.path.startswith("part-"))

    def _positives(self, numbers: np.ndarray) -> dict[int, list[dict[str, Any]]]:
        """The labelled pairs of each of some queries (ascending numbers)."""
        listed = any(part.path == "pairs.parquet" for part in self._manifests["filter"].parts)
        path = self.file("filter", "pairs.parquet") if listed else self.file("mine", "positives.parquet")
        columns = ["doc_id", "score", "rank", "passage", *(["findings", "dropped"] if listed else [])]
        table = rows_with(path, "query", numbers, columns)
        rows = table.to_pylist()
        scorer = self._manifests["filter"].facts.get("scorers", [DENSE])[0]
        if scorer != DENSE:
            run = Run(self._config, self._work)
            scores = positive_scores(run, scorer, to_numpy(table["query"]), to_numpy(table["passage"]))
            rows = [{**row, "score": float(score)} for row, score in zip(rows, scores, strict=True)]
        found: dict[int, list[dict[str, Any]]] = {query: [] for query in numbers.tolist()}
        for row in rows:
            found[row["query"]].append({"findings": [], "dropped": False, **row})
        return found

    def _passages(self, tables: Sequence[Sequence[Mapping[str, Any]]]) -> dict[int, str]:
        """The text of every passage in the rows."""
        wanted = np.array(sorted({row["passage"] for rows in tables for row in rows}), np.int64)
        template = Template(self._manifests["ingest"].made_from["config"]["data.passage_template"])
        corpus = StandingTable(self.file("ingest", "corpus.parquet"), "passage")
        texts = passage_texts(corpus.take(wanted, list(template.names)), template).to_pylist()
        return dict(zip(wanted.tolist(), texts, strict=True))

    def _reference(self, positives: Sequence[Mapping[str, Any]]) -> float:
        """The reference score of a query without candidates, which has no row that says it."""
        how = self._manifests["filter"].made_from["config"]["filter.reference"]
        scores = np.array([row["score"] for row in ([row for row in positives if not row["dropped"]] or positives)])
        return float(reference_scores(np.zeros(len(scores), np.int64), scores, how, 1)[0])


def _positive(row: Mapping[str, Any], text: str) -> ExplainedPositive:
    return ExplainedPositive(row["doc_id"], text, row["score"], row["rank"], tuple(row["findings"]))


def _candidate(row: Mapping[str, Any], text: str) -> ExplainedCandidate:
    known = {name: row[name] for name in (*_OF_CANDIDATE, *_JUDGED, "scores")}
    known |= {name: tuple(row[name]) for name in ("retrievers", "ranks")}
    return ExplainedCandidate(text=text, explanation=explanation(row["reason"]), **known)


def _nearest(query_id: str, path: Path) -> list[str]:
    """Up to three ids like ``query_id``, looked for among those that begin as it does."""
    for length in (len(query_id) // 2, 0):
        found: list[str] = []
        for batch in iter_batches(path, ["query_id"]):
            ids = batch["query_id"]
            found += ids.filter(pc.starts_with(ids, query_id[:length])).to_pylist()
            if len(found) >= _LOOKED_AT:
                break
        near = get_close_matches(query_id, found[:_LOOKED_AT], n=3)
        if near:
            return near
    return []
