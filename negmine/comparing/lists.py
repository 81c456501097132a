"""The negatives of single queries in both runs, side by side, with their texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.comparing.matching import Matched
from negmine.comparing.reading import KEPT, Negatives, Side
from negmine.errors import UsageError, nearest
from negmine.stages.texts import passage_texts
from negmine.store.tables import iter_batches, rows_between
from negmine.text import Template

_LOOKED_AT = 20_000


@dataclass(frozen=True)
class ListedNegative:
    """A negative of one run; ``elsewhere`` is what the other run made of it: ``kept``, or why not."""

    doc_id: str
    text: str
    score: float
    margin: float
    risk: float | None
    rank: int | None
    elsewhere: str


@dataclass(frozen=True)
class QueryChange:
    """A query with its negatives in both runs, hardest first, and the texts of its positives.

    ``id_a`` and ``id_b`` are its ids, None where a run does not have it; ``jaccard`` is None then.
    """

    id_a: str | None
    id_b: str | None
    text: str
    positives: tuple[str, ...]
    jaccard: float | None
    a: tuple[ListedNegative, ...]
    b: tuple[ListedNegative, ...]

    @property
    def query_id(self) -> str:
        """The id in run B, or in A where B does not have the query."""
        return self.id_b or self.id_a or ""


@dataclass(frozen=True)
class Shown:
    """A run's negatives with what the other run made of each: ``fate`` (n,) are codes of ``names``."""

    side: Side
    negatives: Negatives
    fate: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True)
class _Listed:
    """Some queries of one run, by number."""

    ids: dict[int, str]
    texts: dict[int, str]
    positives: dict[int, tuple[str, ...]]
    negatives: dict[int, tuple[ListedNegative, ...]]


def query_changes(a: Shown, b: Shown, pairs: Sequence[tuple[int, int]]) -> tuple[QueryChange, ...]:
    """The queries with these numbers in ``a`` and in ``b``, -1 where a run does not have one."""
    in_a = _listed(a, [number for number, _ in pairs if number >= 0])
    in_b = _listed(b, [number for _, number in pairs if number >= 0])
    found = []
    for of_a, of_b in pairs:
        one, number = (in_b, of_b) if of_b >= 0 else (in_a, of_a)
        left, right = in_a.negatives.get(of_a, ()), in_b.negatives.get(of_b, ())
        both = sum(negative.elsewhere == KEPT for negative in left)
        union = len(left) + len(right) - both
        found.append(
            QueryChange(
                id_a=in_a.ids.get(of_a),
                id_b=in_b.ids.get(of_b),
                text=one.texts[number],
                positives=one.positives[number],
                jaccard=None if of_a < 0 or of_b < 0 else both / union if union else 1.0,
                a=left,
                b=right,
            )
        )
    return tuple(found)


def query_number(a: Side, b: Side, queries: Matched, query_id: str) -> tuple[int, int]:
    """The numbers in both runs of the query with an id, -1 where a run does not have it; run B's ids come first.

    Raises UsageError, with the ids that come near, when neither has it.
    """
    near: list[str] = []
    for side, is_b in ((b, True), (a, False)):
        path = side.work.file(side.manifests["ingest"], "queries.parquet")
        for batch in iter_batches(path, ["query_id", "query"]):
            hit = batch.filter(pc.equal(batch["query_id"], query_id))
            if hit.num_rows:
                number = int(hit["query"][0].as_py())
                if not is_b:
                    return number, int(queries.to_b[number])
                return int(queries.to_a(b.queries)[number]), number
            if len(near) < _LOOKED_AT:
                near += batch["query_id"].to_pylist()
    hint = nearest(query_id, near) or "Ids of queries are the column query_id of ingest/queries.parquet."
    raise UsageError(f"neither run has a query '{query_id}'", hint=hint)


def _listed(of: Shown, numbers: Sequence[int]) -> _Listed:
    wanted = np.unique(np.array(numbers, np.int64))
    side, negatives = of.side, of.negatives
    rows = side.table("queries", "query").take(wanted, ["query_id", "text"])
    ids = dict(zip(wanted.tolist(), rows["query_id"].to_pylist(), strict=True))
    texts = dict(zip(wanted.tolist(), rows["text"].to_pylist(), strict=True))
    path = side.work.file(side.manifests["ingest"], "positives.parquet")
    positives = {n: rows_between(path, "query", n, n + 1, ["passage"])["passage"].to_pylist() for n in wanted.tolist()}
    low, high = np.searchsorted(negatives.query, wanted), np.searchsorted(negatives.query, wanted, side="right")
    spans = dict(zip(wanted.tolist(), zip(low.tolist(), high.tolist(), strict=True), strict=True))
    passages = [int(negatives.passage[row]) for start, stop in spans.values() for row in range(start, stop)]
    documents = _documents(side, [*passages, *(passage for each in positives.values() for passage in each)])
    return _Listed(
        ids=ids,
        texts=texts,
        positives={n: tuple(documents[p][1] for p in dict.fromkeys(each)) for n, each in positives.items()},
        negatives={
            number: tuple(_negative(of, row, documents) for row in range(start, stop))
            for number, (start, stop) in spans.items()
        },
    )


def _negative(of: Shown, row: int, documents: dict[int, tuple[str, str]]) -> ListedNegative:
    own = of.negatives
    doc_id, text = documents[int(own.passage[row])]
    return ListedNegative(
        doc_id=doc_id,
        text=text,
        score=float(own.score[row]),
        margin=float(own.margin[row]),
        risk=float(own.risk[row]) if np.isfinite(own.risk[row]) else None,
        rank=int(own.rank[row]) if np.isfinite(own.rank[row]) else None,
        elsewhere=of.names[int(of.fate[row])],
    )


def _documents(side: Side, passages: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Id and text of some passages, by number."""
    wanted = np.unique(np.array(passages, np.int64))
    template = Template(side.manifests["ingest"].made_from["config"]["data.passage_template"])
    table = side.table("corpus", "passage").take(wanted, list(dict.fromkeys(["doc_id", *template.names])))
    if not len(wanted):
        return {}
    texts: pa.Array = passage_texts(table, template)
    return dict(zip(wanted.tolist(), zip(table["doc_id"].to_pylist(), texts.to_pylist(), strict=True), strict=True))
