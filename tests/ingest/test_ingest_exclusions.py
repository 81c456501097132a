"""Which passages can never be a negative of a query, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingesting import ingest_rows


def excluded(folder: Path, query: str, positives: list[str], *corpus: tuple[str, str, str]) -> list[tuple[str, str]]:
    """(id of the first document of the passage, reason) for one query; documents are id, title, text."""
    run = ingest_rows(
        folder,
        pairs=[{"anchor": query, "positive_id": positives}],
        corpus=[{"_id": doc_id, "title": title, "text": text} for doc_id, title, text in corpus],
    )
    first: dict[int, str] = {}
    for doc_id, passage in run.rows("corpus", "doc_id", "passage"):
        first.setdefault(passage, doc_id)
    return [(first[passage], reason) for passage, reason in run.rows("excluded", "passage", "reason")]


def test_a_labelled_document_is_excluded_as_positive(tmp_path: Path) -> None:
    assert excluded(tmp_path, "q", ["b"], ("a", "", "x"), ("b", "", "y")) == [("b", "positive")]


def test_a_twin_of_the_labelled_document_is_excluded_by_its_text(tmp_path: Path) -> None:
    assert excluded(tmp_path, "q", ["b"], ("a", "", "x"), ("b", "", "X")) == [("a", "positive_text")]


def test_the_same_text_under_another_title_is_excluded_by_its_text(tmp_path: Path) -> None:
    corpus = [("a", "A", "Text"), ("b", "B", "text "), ("c", "", "TEXT"), ("d", "A", "other")]
    found = excluded(tmp_path, "q", ["a"], *corpus)
    assert found == [("a", "positive"), ("b", "positive_text"), ("c", "positive_text")]


def test_a_passage_that_says_what_the_query_says_is_excluded(tmp_path: Path) -> None:
    found = excluded(tmp_path, "The Query", ["a"], ("a", "", "x"), ("b", "", "the query"), ("c", "T", "the query"))
    assert found == [("a", "positive"), ("b", "query_text"), ("c", "query_text")]


def test_a_query_that_equals_title_and_text_is_excluded(tmp_path: Path) -> None:
    assert excluded(tmp_path, "the query", ["a"], ("a", "", "x"), ("b", "The", "Query"))[1] == ("b", "query_text")


def test_the_label_is_the_reason_when_several_hold(tmp_path: Path) -> None:
    found = excluded(tmp_path, "x", ["a"], ("a", "", "x"), ("b", "B", "x"))
    assert found == [("a", "positive"), ("b", "positive_text")]


def test_exclusions_are_those_of_all_queries_of_equal_text(tmp_path: Path) -> None:
    corpus: list[dict[str, Any]] = [{"_id": i, "text": f"text {i}"} for i in range(3)]
    pairs = [
        {"query_id": "1", "anchor": "q", "positive_id": "0"},
        {"query_id": "2", "anchor": " Q ", "positive_id": "2"},
    ]
    run = ingest_rows(tmp_path, pairs=pairs, corpus=corpus)
    assert run.rows("excluded", "query", "passage", "reason") == [(0, 0, "positive"), (0, 2, "positive")]
