"""Judged collections: of each query one relevant passage is shown as its positive, the others are hidden.

A folder is a BEIR collection with ready vectors in a subfolder, `corpus.parquet` (doc_id, vector) and
`queries.parquet` (query_id, vector). Relevant are the pairs of `qrels/train.tsv` and `qrels/test.tsv`
with a grade above zero; every other passage counts as not relevant.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from negmine.arrays import find_pairs, positions, spans
from negmine.config.models import ColumnsConfig
from negmine.readers import BadRows, read_corpus, read_qrels, read_queries
from negmine.retrieval.evidence import Closeness
from negmine.retrieval.exact import search_exact
from negmine.selection.candidates import Candidates
from negmine.selection.depth import within_depth
from negmine.selection.identity import digest_array, excluded_passages
from negmine.selection.near_duplicates import near_duplicates
from negmine.selection.random import mix
from negmine.selection.verdicts import reference_scores
from negmine.store.tables import to_numpy
from negmine.text import BLANK, DEFAULT_TEMPLATE, Template, id_hash, text_digest

_BLOCK = 65_536


@dataclass(frozen=True)
class Collection:
    """Passages (n) and queries (q) with unit vectors, and what is relevant.

    ``of_query`` and ``of_passage`` (p,) are the relevant pairs by number, sorted. Keys are hashes of ids.
    """

    name: str
    passages: np.ndarray
    queries: np.ndarray
    texts: list[str]
    passage_digest: np.ndarray
    query_digest: np.ndarray
    passage_key: np.ndarray
    query_key: np.ndarray
    of_query: np.ndarray
    of_passage: np.ndarray
    query_texts: list[str]

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """A pass over the passage vectors."""
        for low in range(0, len(self.passages), _BLOCK):
            yield low, self.passages[low : low + _BLOCK]


@dataclass(frozen=True)
class Trial:
    """Candidates of all queries of a collection when one positive of each is ``shown`` (q,)."""

    collection: Collection
    shown: np.ndarray
    candidates: Candidates
    relevant: np.ndarray
    """Whether a candidate is a hidden positive: bool (n,)."""

    def near_duplicates(self, rows: np.ndarray, jaccard: float) -> np.ndarray:
        """Whether candidates in these rows have nearly the text of the shown positive: bool, as many."""
        passages = np.concatenate([self.candidates.passage[rows], self.shown[self.candidates.query[rows]]])
        numbers, place = np.unique(passages, return_inverse=True)
        texts = [self.collection.texts[number] for number in numbers]
        return near_duplicates(texts, place[: len(rows)], texts, place[len(rows) :], jaccard)


def load(folder: Path, vectors: str, at_least: int) -> Collection:
    """The passages that have a text, and the queries with at least so many relevant ones among them."""
    names, columns = ("corpus", "queries"), ColumnsConfig(doc_id="_id")
    tables = {name: pq.read_table(folder / vectors / f"{name}.parquet") for name in names}
    unit = {name: _unit(to_numpy(table["vector"]).astype(np.float32)) for name, table in tables.items()}
    row_of = {name: {key: row for row, key in enumerate(table[0].to_pylist())} for name, table in tables.items()}
    text_of = {name: [""] * len(unit[name]) for name in names}
    for documents in read_corpus(folder / "corpus.jsonl", columns, (), BadRows()):
        passages = Template(DEFAULT_TEMPLATE).fill({"title": documents.titles, "text": documents.texts})
        for key, text in zip(documents.doc_ids, passages, strict=True):
            text_of["corpus"][row_of["corpus"][key]] = text
    for queries in read_queries(folder / "queries.jsonl", columns, BadRows()):
        for key, text in zip(queries.query_ids, queries.texts, strict=True):
            text_of["queries"][row_of["queries"][key]] = text
    digest = {name: digest_array([text_digest(text) for text in text_of[name]]) for name in names}
    keys = {name: np.array([id_hash(key) for key in row_of[name]], np.uint64) for name in names}

    passages = np.flatnonzero((digest["corpus"] != digest_array([BLANK])).any(axis=1))
    of_query, of_passage = _relevant(folder, row_of)
    found = np.isin(of_passage, passages)
    of_query, of_passage = of_query[found], np.searchsorted(passages, of_passage[found])
    count = np.bincount(of_query, minlength=len(unit["queries"]))
    kept = np.flatnonzero(count >= at_least)
    pairs = np.isin(of_query, kept)
    return Collection(
        folder.name,
        unit["corpus"][passages],
        unit["queries"][kept],
        [text_of["corpus"][row] for row in passages],
        digest["corpus"][passages],
        digest["queries"][kept],
        keys["corpus"][passages],
        keys["queries"][kept],
        np.searchsorted(kept, of_query[pairs]),
        of_passage[pairs],
        [text_of["queries"][row] for row in kept],
    )


def trial(data: Collection, seed: int, k: int) -> Trial:
    """The first ``k`` candidates of each query as a run has them; which positive is shown depends on ``seed``."""
    count, passages = len(data.queries), len(data.passages)
    draw = mix(seed, data.query_key[data.of_query], data.passage_key[data.of_passage])
    order = np.lexsort((draw, data.of_query))
    shown = data.of_passage[order][positions(data.of_query[order]) == 0]
    numbers = np.arange(count)
    digests = (data.query_digest, np.arange(passages), np.ones(passages, bool), data.passage_digest)
    of_query, of_passage, code = excluded_passages(numbers, shown, *digests, data.passage_digest)

    depth = k + np.bincount(of_query, minlength=count)
    closeness = Closeness(data.passages[shown], numbers, count, normalized=True)
    found = search_exact(data.queries, data.blocks, depth, passages, "cosine", closeness)
    own = find_pairs(found.query, found.passage, of_query, of_passage, passages)
    keep = within_depth(found.query, own >= 0, k)
    found, own = found.rows(keep), own[keep]
    rank = positions(found.query) + 1
    positive_rank = np.full(count, np.inf)
    is_shown = (own >= 0) & (code[own] == 0)
    positive_rank[found.query[is_shown]] = rank[is_shown]
    candidates = Candidates(
        query=found.query,
        passage=found.passage,
        rank=rank,
        score=found.score,
        positive_similarity=found.cosines[:, 1],
        excluded=np.where(own >= 0, code[own] + 1, 0),
        passage_key=data.passage_key[found.passage],
        reference=np.einsum("ij,ij->i", data.queries, data.passages[shown], dtype=np.float64),
        positive_rank=positive_rank,
        query_key=data.query_key,
    )
    relevant = find_pairs(found.query, found.passage, data.of_query, data.of_passage, passages) >= 0
    return Trial(data, shown, candidates, relevant & (own < 0))


def hidden_gaps(data: Collection, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One positive of each query is hidden: key of the query, least score of the remaining positives, score of
    the hidden one; three arrays (q,). Queries must have two positives."""
    draw = mix(seed, data.query_key[data.of_query], data.passage_key[data.of_passage])
    order = np.lexsort((draw, data.of_query))
    query, passage = data.of_query[order], data.of_passage[order]
    score = np.einsum("ij,ij->i", data.queries[query], data.passages[passage], dtype=np.float64)
    offsets = spans(query, len(data.queries))
    first = np.zeros(len(query), bool)
    first[offsets[:-1]] = True
    reference = reference_scores(query[~first], score[~first], "min", len(data.queries))
    return data.query_key, reference, score[first]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What commands over judged collections have in common."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=5, help="draws of the positives that are shown (default 5)")
    parser.add_argument("--vectors", default="minilm", metavar="NAME", help="subfolder with vectors (default minilm)")
    parser.add_argument("--positives", type=int, default=2, help="only queries with at least so many (default 2)")


def _relevant(folder: Path, row_of: dict[str, dict[str, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct relevant pairs (query row, corpus row) (p,) each, sorted."""
    pairs: set[tuple[int, int]] = set()
    for split in ("train", "test"):
        for batch in read_qrels(folder / "qrels" / f"{split}.tsv", BadRows()):
            for query, document, grade in zip(batch.query_ids, batch.doc_ids, batch.grades, strict=True):
                if grade > 0:
                    pairs.add((row_of["queries"][query], row_of["corpus"][document]))
    of_query, of_passage = np.array(sorted(pairs), np.int64).T
    return of_query, of_passage


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)
