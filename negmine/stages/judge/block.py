"""Some queries of filter's verdicts with the candidates that a judge may be asked about, and their texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.arrays import positions
from negmine.selection.near_duplicates import near_duplicates
from negmine.stages.base import Run
from negmine.stages.judge.judges import Question
from negmine.stages.texts import passage_texts, passages_of, queries_of
from negmine.store.tables import iter_batches, read_columns, rows_between, to_numpy
from negmine.text import Template, text_digest

_QUERIES_AT_ONCE = 512
"""Queries whose texts are in memory."""
_POSITIVES = 3
"""Known answers that a judge is shown."""
_COLUMNS = ("query", "passage", "retriever", "reason", "place", "risk")
RANDOM = "random"


@dataclass(frozen=True)
class Group:
    """The rows of one query in a block, in the order in which it takes them: its mined negatives, its random ones,
    and the survivors that may take the place of others. ``near`` are survivors that are nearly a positive."""

    query: int
    kept: tuple[int, ...]
    drawn: tuple[int, ...]
    further: tuple[int, ...]
    near: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """``passage`` and ``risk`` (n,) of the rows, NaN where there is no risk, and the texts of all that may be asked."""

    groups: tuple[Group, ...]
    passage: np.ndarray
    risk: np.ndarray
    _queries: dict[int, str]
    _query_digests: dict[int, str]
    _positives: dict[int, tuple[str, ...]]
    _passages: dict[int, str]
    _digests: dict[int, str]

    def pair(self, group: Group, row: int) -> str:
        """The name of a row's pair of texts."""
        return f"{self._query_digests[group.query]}-{self._digests[int(self.passage[row])]}"

    def question(self, group: Group, rows: Sequence[int]) -> Question:
        """What is asked about some rows of a query."""
        numbers = [int(self.passage[row]) for row in rows]
        passages = tuple((self._digests[number], self._passages[number]) for number in numbers)
        query = group.query
        return Question(self._query_digests[query], self._queries[query], self._positives[query], passages)


def blocks(run: Run) -> Iterator[Block]:
    """All queries of the finished filter that have something to be judged, block by block."""
    size = run.manifest("mine").made_from["config"]["mine.part_queries"]
    queries = run.manifest("ingest").counts["distinct_queries"]
    for number, path in enumerate(sorted(run.files("filter", "part-"))):
        table = read_columns(path, _COLUMNS)
        taking = pc.is_in(table["reason"], value_set=pa.array(["kept", "not_sampled"]))
        table = table.filter(taking).combine_chunks()
        query = to_numpy(table["query"])
        first, last = number * size, min((number + 1) * size, queries)
        for start in range(first, last, _QUERIES_AT_ONCE):
            low, high = np.searchsorted(query, [start, min(start + _QUERIES_AT_ONCE, last)])
            if high > low:
                block = _block(run, table.slice(low, high - low))
                if block.groups:
                    yield block


def _block(run: Run, table: pa.Table) -> Block:
    query, passage = to_numpy(table["query"]), to_numpy(table["passage"])
    first, last = int(query[0]), int(query[-1]) + 1
    kept = to_numpy(pc.equal(table["reason"], "kept"))
    drawn = to_numpy(pc.equal(table["retriever"], RANDOM))
    place = to_numpy(pc.fill_null(table["place"], 1 << 30))
    has_negatives = np.bincount(query[kept] - first, minlength=last - first) > 0
    answers = _known_answers(run, first, last)
    judged = has_negatives[query - first] & np.isin(query, list(answers))
    candidate = ~kept & judged & _may_serve(run, passage)
    candidate &= _within_depth(run, query, kept & judged, candidate, place)
    rows = np.flatnonzero((kept & judged) | candidate)
    numbers = np.unique(np.concatenate([passage[rows], *answers.values()])) if len(rows) else np.zeros(0, np.int64)
    texts = dict(zip(numbers.tolist(), _texts(run, numbers), strict=True))
    near = _near_positives(run, query, passage, np.flatnonzero(candidate), answers, texts)
    order = rows[np.lexsort((place[rows], query[rows]))]
    groups = []
    for part in np.split(order, np.flatnonzero(np.diff(query[order])) + 1):
        if len(part):
            chosen = [kept[part] & ~drawn[part], kept[part] & drawn[part], ~kept[part] & ~near[part], near[part]]
            lists = [tuple(part[which].tolist()) for which in chosen]
            groups.append(Group(int(query[part[0]]), *lists))
    wanted = np.array([group.query for group in groups], np.int64)
    asked = queries_of(run).take(wanted, ["text"])["text"].to_pylist() if groups else []
    shown = {number: tuple(texts[int(p)] for p in answers[number][:_POSITIVES]) for number in wanted.tolist()}
    digests = {number: text_digest(texts[number]).hex() for number in np.unique(passage[rows]).tolist()}
    queries = dict(zip(wanted.tolist(), asked, strict=True))
    named = {number: text_digest(text).hex() for number, text in queries.items()}
    risk = to_numpy(pc.fill_null(table["risk"], np.nan))
    return Block(tuple(groups), passage, risk, queries, named, shown, texts, digests)


def _known_answers(run: Run, start: int, stop: int) -> dict[int, np.ndarray]:
    """Passages of each query's positives, the best scored ones first. Queries whose pairs are all dropped have none."""
    if run.config.pairs.action == "drop":
        path = run.file("filter", "pairs.parquet")
        rows = rows_between(path, "query", start, stop, ["query", "passage", "score", "dropped"])
        rows = rows.filter(pc.invert(rows["dropped"]))
    else:
        path = run.file("mine", "positives.parquet")
        rows = rows_between(path, "query", start, stop, ["query", "passage", "score"])
    query, passage, score = (to_numpy(rows[name]) for name in ("query", "passage", "score"))
    order = np.lexsort((passage, -score, query))
    parts = np.split(order, np.flatnonzero(np.diff(query[order])) + 1)
    return {int(query[part[0]]): passage[part] for part in parts if len(part)}


def _within_depth(
    run: Run, query: np.ndarray, kept: np.ndarray, candidate: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """Which candidates (n,) are among the first ``judge.depth`` of their query, whose negatives come first."""
    assert run.config.judge is not None
    first = int(query[0])
    room = np.maximum(run.config.judge.depth - np.bincount(query[kept] - first, minlength=query[-1] - first + 1), 0)
    rows = np.flatnonzero(candidate)
    rows = rows[np.lexsort((place[rows], query[rows]))]
    within = np.zeros(len(query), bool)
    within[rows] = positions(query[rows]) < room[query[rows] - first]
    return within


def _may_serve(run: Run, passage: np.ndarray) -> np.ndarray:
    """Which passages (n,) can be given to one more query: with ``max_reuse``, those that all queries could have that
    might want them."""
    most = run.config.filter.max_reuse
    if most is None:
        return np.ones(len(passage), bool)

    def count() -> np.ndarray:
        wanted = np.zeros(run.manifest("ingest").counts["passages"], np.int64)
        for path in run.files("filter", "part-"):
            for batch in iter_batches(path, ["passage", "reason"]):
                taking = pc.is_in(batch["reason"], value_set=pa.array(["kept", "not_sampled"]))
                wanted += np.bincount(to_numpy(batch.filter(taking)["passage"]), minlength=len(wanted))
        return wanted

    served: np.ndarray = run.resource("wanted passages", count)[passage] <= most
    return served


def _near_positives(
    run: Run,
    query: np.ndarray,
    passage: np.ndarray,
    rows: np.ndarray,
    answers: dict[int, np.ndarray],
    texts: dict[int, str],
) -> np.ndarray:
    """Which of some rows have nearly the text of a positive: bool (n,). Filter looks only at what it takes."""
    near = np.zeros(len(query), bool)
    section = run.config.filter.near_duplicates
    if section is None or section.jaccard is None or not len(rows):
        return near
    which = np.concatenate([np.full(len(answers[int(query[row])]), row) for row in rows])
    positive = np.concatenate([answers[int(query[row])] for row in rows])
    numbers, place = np.unique(np.concatenate([passage[which], positive]), return_inverse=True)
    listed = [texts[int(number)] for number in numbers]
    near[which[near_duplicates(listed, place[: len(which)], listed, place[len(which) :], section.jaccard)]] = True
    return near


def _texts(run: Run, numbers: np.ndarray) -> list[str]:
    template = Template(run.config.data.passage_template)
    texts: list[str] = passage_texts(passages_of(run).take(numbers, list(template.names)), template).to_pylist()
    return texts


def ids_of(run: Run, block: Block, pairs: Sequence[tuple[Group, int]]) -> list[tuple[str, str]]:
    """The ids of query and document of some rows."""
    wanted = np.unique([group.query for group, _ in pairs])
    numbers = np.unique([block.passage[row] for _, row in pairs])
    names = dict(zip(wanted.tolist(), queries_of(run).take(wanted, ["query_id"])["query_id"].to_pylist(), strict=True))
    documents = dict(
        zip(numbers.tolist(), passages_of(run).take(numbers, ["doc_id"])["doc_id"].to_pylist(), strict=True)
    )
    return [(names[group.query], documents[int(block.passage[row])]) for group, row in pairs]
