"""What becomes of pairs: queries, positives by text and by id, documents that are added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ingesting import Ingested, ingest_files, ingest_rows

from negmine.errors import InputError
from negmine.text import text_digest

CORPUS: list[dict[str, Any]] = [
    {"_id": "a", "text": "alpha"},
    {"_id": "b", "text": "beta", "title": "B"},
    {"_id": "c", "text": "alpha", "title": "C"},
    {"_id": "blank", "text": " "},
]


def pair(anchor: str, positive: Any = None, **more: Any) -> dict[str, Any]:
    return {"anchor": anchor, **({} if positive is None else {"positive": positive}), **more}


def pairs(folder: Path, *rows: dict[str, Any], corpus: Any = CORPUS, **data: Any) -> Ingested:
    return ingest_rows(folder, pairs=rows, corpus=corpus, **data)


def named(text: str) -> str:
    return text_digest(text).hex()[:16]


def test_a_positive_text_is_found_in_the_corpus(tmp_path: Path) -> None:
    assert pairs(tmp_path, pair("q", "Alpha ")).rows("positives", "doc_id", "passage") == [("a", 0)]


def test_a_positive_text_is_found_without_the_title(tmp_path: Path) -> None:
    assert pairs(tmp_path, pair("q", "beta")).rows("positives", "doc_id") == ["b"]


def test_a_positive_text_is_found_with_the_title(tmp_path: Path) -> None:
    assert pairs(tmp_path, pair("q", "C alpha")).rows("positives", "doc_id") == ["c"]


def test_a_positive_that_is_not_in_the_corpus_is_added(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", "Gamma"))
    assert run.rows("corpus", "doc_id", "text", "title")[-1] == (named("gamma"), "Gamma", "")
    assert run.rows("positives", "doc_id") == [named("gamma")]


def test_added_positives_are_counted_once_each(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", ["gamma", "alpha"]), pair("r", "GAMMA"), pair("s", "delta"))
    assert run.counts["positives_added_to_corpus"] == 2
    assert run.counts["documents"] == 5


def test_without_a_corpus_the_distinct_positives_are_it(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", "x"), pair("r", ["X", "y"]), corpus=None)
    assert run.rows("corpus", "text", "passage", "source_row") == [("x", 0, 0), ("y", 1, 2)]
    assert run.counts["positives_added_to_corpus"] == 0


def test_without_a_corpus_ids_name_the_positives(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", ["x", "y"], positive_id=[1, "2"]), pair("r", "x", positive_id=3), corpus=None)
    assert run.rows("corpus", "doc_id", "passage") == [("1", 0), ("2", 1), ("3", 0)]
    assert run.rows("positives", "doc_id") == ["1", "2", "3"]


def test_without_a_corpus_an_id_given_to_two_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs.jsonl:2: document id '1' was given to another text in line 1"):
        pairs(tmp_path, pair("q", "x", positive_id=1), pair("r", "y", positive_id=1), corpus=None)


def test_without_a_corpus_a_skipped_clash_labels_nothing(tmp_path: Path) -> None:
    rows = [pair("q", "x", positive_id=1), pair("r", "y", positive_id=1)]
    run = pairs(tmp_path, *rows, corpus=None, on_bad_row="skip")
    assert [row["line"] for row in run.rejected()] == [2]
    assert run.rows("positives", "query_id", "doc_id") == [(named("q"), "1")]


def test_without_a_corpus_an_id_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs.jsonl:1: the positive id '1' has no text, and data.corpus is not set"):
        pairs(tmp_path, pair("q", positive_id=1), corpus=None)


def test_pairs_of_ids_alone_without_a_corpus_leave_nothing_to_skip_to(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no query has a positive"):
        pairs(tmp_path, pair("q", positive_id=1), corpus=None, on_bad_row="skip")


def test_a_positive_id_is_a_document_of_the_corpus(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", positive_id=["c", "a"]))
    assert run.rows("positives", "doc_id", "grade") == [("c", 1.0), ("a", 1.0)]


def test_with_a_corpus_an_id_decides_and_its_text_adds_nothing(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", "as we say it", positive_id="b"))
    assert run.rows("positives", "doc_id") == ["b"]
    assert run.counts["positives_added_to_corpus"] == 0


def test_an_unknown_positive_id_is_refused_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs.jsonl:2: the positive id 'zz' is not in the corpus"):
        pairs(tmp_path, pair("q", "alpha"), pair("q", positive_id=["a", "zz"]))


def test_a_positive_id_of_a_blank_document_is_skipped_and_counted(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", positive_id=["a", "blank"]))
    assert run.rows("positives", "doc_id") == ["a"]
    assert (run.counts["blank_documents"], run.counts["blank_positives"]) == (1, 1)
    assert run.rejected() == []


def test_a_query_whose_positives_are_all_blank_is_left_out_and_counted(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", positive_id="blank"), pair("r", "alpha"))
    assert run.rows("queries", "text") == ["r"]
    assert run.counts["queries_without_positive"] == 1


def test_pairs_whose_positives_are_all_blank_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs.jsonl: no query has a positive"):
        pairs(tmp_path, pair("q", positive_id="blank"))


def test_pairs_of_bad_rows_alone_are_refused_when_they_are_skipped(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs.jsonl: the file has no pairs. Check data.pairs"):
        pairs(tmp_path, pair(" ", "x"), on_bad_row="skip")


def test_an_anchor_on_several_rows_has_several_positives(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", "alpha"), pair("r", "beta"), pair("q", "beta"))
    assert run.rows("positives", "query", "doc_id") == [(0, "a"), (0, "b"), (1, "b")]
    assert run.counts["most_positives"] == 2


def test_a_pair_given_twice_is_one_positive(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", ["alpha", "alpha"]), pair("Q", "ALPHA"))
    assert run.rows("positives", "doc_id") == ["a"]


def test_a_query_without_id_is_named_by_its_text(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("A  Query", "alpha"), pair("a query", "beta"))
    assert run.rows("queries", "query_id", "text") == [(named("a query"), "A  Query")]


def test_queries_of_equal_text_share_number_and_positives(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", "alpha", query_id="1"), pair(" Q", "beta", query_id="2"), pair("r", "beta"))
    assert run.rows("queries", "query_id", "query") == [("1", 0), ("2", 0), (named("r"), 1)]
    assert run.rows("positives", "query_id", "query", "doc_id")[:2] == [("1", 0, "a"), ("2", 0, "b")]
    assert run.rows("excluded", "query", "passage", "reason") == [
        (0, 0, "positive"),
        (0, 1, "positive"),
        (0, 2, "positive_text"),
        (1, 1, "positive"),
    ]


def test_a_query_id_given_to_two_texts_is_refused_naming_both_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs.jsonl:3: query id '7' was given to another text in line 1"):
        pairs(tmp_path, pair("q", "alpha", query_id=7), pair("r", "beta"), pair("s", "beta", query_id="7"))


def test_query_ids_in_parquet_that_clash_are_named_by_their_rows(tmp_path: Path) -> None:
    table = pa.table({"query_id": [7, 7], "anchor": ["q", "r"], "positive": ["x", "y"]})
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"p.parquet \(row 2\): query id '7' was given to another text in row 1"):
        ingest_files(tmp_path, pairs="p.parquet")


def test_an_added_positive_whose_name_is_taken_is_refused_where_it_is(tmp_path: Path) -> None:
    corpus = [{"_id": named("new"), "text": "old"}]
    with pytest.raises(InputError, match=r"pairs.jsonl:1: document id '\w+' was given .* in line 1 of .*corpus.jsonl"):
        pairs(tmp_path, pair("q", "new"), corpus=corpus)


def test_bad_rows_are_skipped_and_written_down_with_file_line_and_reason(tmp_path: Path) -> None:
    rows = [pair("q", "alpha"), pair("r", 5), pair("s", positive_id="zz"), pair("t", ["beta"])]
    run = pairs(tmp_path, *rows, on_bad_row="skip")
    assert run.rejected() == [
        {"file": str(tmp_path / "pairs.jsonl"), "line": 2, "reason": "'positive' is a number and not a text"},
        {"file": str(tmp_path / "pairs.jsonl"), "line": 3, "reason": "the positive id 'zz' is not in the corpus"},
    ]
    assert run.rows("queries", "text") == ["q", "t"]
    assert run.counts["rows_rejected"] == 2


def test_bad_rows_of_several_files_are_written_down_in_order(tmp_path: Path) -> None:
    corpus = [*CORPUS, {"_id": "a", "text": "other"}, {"_id": None, "text": "x"}]
    rows = [pair("q", "alpha"), pair("", "alpha"), pair("r", positive_id="zz"), pair("s", 1)]
    run = pairs(tmp_path, *rows, corpus=corpus, on_bad_row="skip")
    assert [(Path(row["file"]).name, row["line"]) for row in run.rejected()] == [
        ("corpus.jsonl", 5),
        ("corpus.jsonl", 6),
        ("pairs.jsonl", 2),
        ("pairs.jsonl", 3),
        ("pairs.jsonl", 4),
    ]


def test_a_row_of_several_positives_is_rejected_once(tmp_path: Path) -> None:
    rows = [pair("q", "alpha", query_id="1"), pair("r", ["alpha", "beta"], query_id="1")]
    run = pairs(tmp_path, *rows, on_bad_row="skip")
    assert [row["line"] for row in run.rejected()] == [2]
    assert run.rows("positives", "doc_id") == ["a"]


def test_source_row_of_a_query_counts_rows_of_the_file(tmp_path: Path) -> None:
    run = pairs(tmp_path, pair("q", ["alpha", "beta"]), pair("q", "gamma"), pair("r", "alpha"))
    assert run.rows("queries", "text", "source_row") == [("q", 0), ("r", 2)]
    assert run.counts["query_rows"] == 3
