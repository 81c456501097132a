"""Ingest against brute force, and what must not change its result."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingesting import Ingested, ingest_rows

from negmine.selection.identity import (
    EXCLUSION_REASONS,
    Digests,
    digest_array,
    excluded_passages,
    number_by_first_appearance,
)
from negmine.text import normalise, text_digest

words = st.sampled_from(["", " ", "a", "A ", "b", "a b", "B", "ａ  b", "c"])
titles = st.sampled_from(["", "a", "T"])
documents = st.lists(st.tuples(titles, words), min_size=1, max_size=8)
queries = st.lists(words.filter(str.strip), min_size=1, max_size=4)
quick = settings(max_examples=60, deadline=None)


def passage_text(title: str, text: str) -> str:
    return f"{title} {text}" if title and text else title or text


def key(text: str) -> str | None:
    """What makes texts equal; a blank one equals nothing."""
    return normalise(text) or None


def same(one: str, other: str) -> bool:
    return key(one) is not None and key(one) == key(other)


def numbered(keys: list[Any]) -> list[int]:
    order = list(dict.fromkeys(keys))
    return [order.index(k) for k in keys]


def expected_exclusions(
    texts_of_queries: list[str], corpus: list[tuple[str, str]], labels: list[tuple[int, int]]
) -> list[tuple[int, int, str]]:
    """Every rule, for every query and document, one by one."""
    query = numbered([key(text) for text in texts_of_queries])
    passage = numbered([key(passage_text(*document)) for document in corpus])
    reasons: dict[tuple[int, int], str] = {}
    for q, text in enumerate(texts_of_queries):
        positives = [d for other, d in labels if query[other] == query[q]]
        for d, (title, body) in enumerate(corpus):
            if d in positives and passage.index(passage[d]) == d:
                reason = "positive"
            elif any(
                same(mine, theirs)
                for p in positives
                for mine in (body, passage_text(title, body))
                for theirs in (corpus[p][1], passage_text(*corpus[p]))
            ):
                reason = "positive_text"
            elif same(text, body) or same(text, passage_text(title, body)):
                reason = "query_text"
            else:
                continue
            pair = (query[q], passage[d])
            reasons[pair] = min(reason, reasons.get(pair, reason), key=EXCLUSION_REASONS.index)
    return [(*pair, reason) for pair, reason in sorted(reasons.items())]


def digests(texts: list[str]) -> np.ndarray:
    return digest_array([text_digest(text) for text in texts])


@settings(max_examples=300, deadline=None)
@given(data=st.data(), texts=queries, corpus=documents)
def test_excluded_passages_are_those_of_brute_force(
    data: st.DataObject, texts: list[str], corpus: list[tuple[str, str]]
) -> None:
    corpus = [document for document in corpus if passage_text(*document).strip()] or [("", "a")]
    pair = st.tuples(st.integers(0, len(texts) - 1), st.integers(0, len(corpus) - 1))
    labels = data.draw(st.lists(pair, min_size=1, max_size=6))
    number, standing = number_by_first_appearance(digests(texts))
    passage_digests = digests([passage_text(*document) for document in corpus])
    passage, first = number_by_first_appearance(passage_digests)
    query, found, reason = excluded_passages(
        number[[q for q, _ in labels]],
        np.array([d for _, d in labels]),
        digests(texts)[standing],
        passage,
        np.isin(np.arange(len(corpus)), first),
        Digests(passage_digests, digests([text for _, text in corpus])),
    )
    reasons = [EXCLUSION_REASONS[code] for code in reason]
    assert list(zip(query.tolist(), found.tolist(), reasons, strict=True)) == expected_exclusions(texts, corpus, labels)


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]], list[tuple[int, int]]]:
    """Texts of queries, documents as (title, text), labels (query, document) of documents with a text."""
    texts, corpus = draw(queries), draw(documents)
    corpus.append(("", "a document"))
    named = [d for d, document in enumerate(corpus) if passage_text(*document).strip()]
    pair = st.tuples(st.integers(0, len(texts) - 1), st.sampled_from(named))
    return texts, corpus, draw(st.lists(pair, min_size=1, max_size=6))


def ingested(
    folder: str,
    texts: list[str],
    corpus: list[tuple[str, str]],
    labels: list[tuple[int, int]],
    order: int | None = None,
) -> Ingested:
    """Run ingest on a collection, its rows repeated and shuffled when ``order`` is given."""
    rows: list[list[Any]] = [
        [{"_id": f"d{i}", "title": title, "text": text} for i, (title, text) in enumerate(corpus)],
        [{"_id": f"q{i}", "text": text} for i, text in enumerate(texts)],
        [f"q{q}\td{d}\t1\n" for q, d in labels],
    ]
    if order is not None:
        chance = random.Random(order)
        rows = [chance.sample(part * 2, len(part) * 2) for part in rows]
    return ingest_rows(Path(folder), corpus=rows[0], queries=rows[1], qrels="".join(rows[2]))


@quick
@given(collections())
def test_the_tables_are_those_of_brute_force(
    collection: tuple[list[str], list[tuple[str, str]], list[tuple[int, int]]],
) -> None:
    texts, corpus, labels = collection
    with tempfile.TemporaryDirectory() as folder:
        run = ingested(folder, texts, corpus, labels)
        kept = [d for d, document in enumerate(corpus) if passage_text(*document).strip()]
        passage = numbered([key(passage_text(*corpus[d])) for d in kept])
        assert run.rows("corpus", "doc_id", "passage", "source_row") == [
            (f"d{d}", p, d) for d, p in zip(kept, passage, strict=True)
        ]
        used = sorted({q for q, _ in labels})
        number = numbered([key(texts[q]) for q in used])
        assert run.rows("queries", "query_id", "query", "source_row") == [
            (f"q{q}", n, q) for q, n in zip(used, number, strict=True)
        ]
        assert sorted(run.rows("positives", "query_id", "doc_id", "query", "passage")) == sorted(
            (f"q{q}", f"d{d}", number[used.index(q)], passage[kept.index(d)]) for q, d in set(labels)
        )
        assert run.rows("positives", "query") == sorted(run.rows("positives", "query"))
        place = {q: i for i, q in enumerate(used)}
        assert run.rows("excluded", "query", "passage", "reason") == expected_exclusions(
            [texts[q] for q in used], [corpus[d] for d in kept], [(place[q], kept.index(d)) for q, d in labels]
        )


def by_name(run: Ingested) -> tuple[Any, ...]:
    """What ingest found, in words that do not depend on the order of rows."""
    together: dict[int, set[str]] = {}
    for doc_id, passage in run.rows("corpus", "doc_id", "passage"):
        together.setdefault(passage, set()).add(doc_id)
    asked: dict[int, set[str]] = {}
    for query_id, query in run.rows("queries", "query_id", "query"):
        asked.setdefault(query, set()).add(query_id)
    return (
        {frozenset(ids) for ids in together.values()},
        {frozenset(ids) for ids in asked.values()},
        set(run.rows("positives", "query_id", "doc_id", "grade")),
        {(frozenset(asked[q]), frozenset(together[p])) for q, p in run.rows("excluded", "query", "passage")},
        {frozenset(row) for row in run.rows("corpus", "doc_id", "id_hash", "text_key")},
    )


@quick
@given(collections(), st.integers(0, 1000))
def test_the_order_and_repetition_of_rows_change_nothing_but_numbers(
    collection: tuple[list[str], list[tuple[str, str]], list[tuple[int, int]]], order: int
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        assert by_name(ingested(one, *collection)) == by_name(ingested(other, *collection, order=order))


@pytest.mark.parametrize("table", ["corpus.parquet", "queries.parquet", "positives.parquet", "excluded.parquet"])
def test_two_runs_leave_the_same_bytes(tmp_path: Path, table: str) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run = ingest_rows(
            tmp_path / name,
            corpus=[{"_id": i, "title": "t" * (i % 2), "text": f"text {i % 900}", "m": i % 3} for i in range(3000)],
            pairs=[{"anchor": f"query {i % 70}", "positive": [f"text {i}", f"new {i % 9}"]} for i in range(99)],
            metadata=["m"],
        )
        found.append((run.folder / table).read_bytes())
    assert found[0] == found[1]
