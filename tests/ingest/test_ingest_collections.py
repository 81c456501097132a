"""What becomes of collections with qrels, as single files and as a BEIR folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ingesting import Ingested, ingest_files, ingest_rows, write_rows

from negmine.errors import InputError

CORPUS: list[dict[str, Any]] = [
    {"_id": "a", "text": "alpha"},
    {"_id": "b", "text": "beta", "title": "B"},
    {"_id": "blank", "text": "", "title": None},
]
QUERIES = [{"_id": "q", "text": "one"}, {"_id": "r", "text": "two"}, {"_id": "s", "text": "ONE"}]


def collection(folder: Path, qrels: str, **data: Any) -> Ingested:
    given = {"corpus": CORPUS, "queries": QUERIES, **data}
    return ingest_rows(folder, qrels=qrels, **given)


def test_judgements_become_positives_with_their_grades(tmp_path: Path) -> None:
    run = collection(tmp_path, "query-id\tcorpus-id\tscore\nr\ta\t2\nq\tb\t1\n")
    assert run.rows("positives", "query_id", "doc_id", "grade") == [("q", "b", 1.0), ("r", "a", 2.0)]


def test_trec_qrels_mean_the_same(tmp_path: Path) -> None:
    run = collection(tmp_path, "r 0 a 2\nq 0 b 1\n")
    assert run.rows("positives", "query_id", "doc_id", "grade") == [("q", "b", 1.0), ("r", "a", 2.0)]


def test_the_first_line_of_headerless_qrels_counts(tmp_path: Path) -> None:
    assert collection(tmp_path, "q\tb\t1\n").rows("positives", "query_id") == ["q"]


@pytest.mark.parametrize(("min_grade", "left"), [(1, ["a", "b"]), (2, ["b"]), (1.5, ["b"]), (0, ["a", "b"])])
def test_grades_below_the_least_are_no_positives(tmp_path: Path, min_grade: float, left: list[str]) -> None:
    run = collection(tmp_path, "q a 1\nq b 2\nr a -1\n", min_grade=min_grade)
    assert run.rows("positives", "doc_id") == left


def test_judgements_that_all_stay_below_the_least_grade_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"qrels.tsv: no judgement reaches grade 3. Check data.qrels, data.split"):
        collection(tmp_path, "q a 1\nq b 2\n", min_grade=3)


def test_a_judgement_of_an_unknown_document_is_refused_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"qrels.tsv:2: the document id 'zz' is not in .*corpus.jsonl"):
        collection(tmp_path, "q a 1\nq zz 1\n")


def test_a_judgement_of_an_unknown_query_is_refused_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"qrels.tsv:1: the query id 'zz' is not in .*queries.jsonl"):
        collection(tmp_path, "zz a 1\nq a 1\n")


def test_a_judgement_of_a_blank_document_is_skipped_and_counted(tmp_path: Path) -> None:
    run = collection(tmp_path, "q a 1\nq blank 1\nr blank 2\ns blank 0\n")
    assert run.rows("positives", "query_id", "doc_id") == [("q", "a")]
    assert (run.counts["blank_documents"], run.counts["blank_positives"]) == (1, 2)
    assert run.rejected() == []


def test_judgements_of_blank_documents_alone_leave_no_query(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"qrels.tsv: no query has a positive"):
        collection(tmp_path, "q blank 1\n")


def test_a_blank_document_does_not_excuse_an_unknown_one(tmp_path: Path) -> None:
    run = collection(tmp_path, "q a 1\nq zz 1\nzz a 1\n", on_bad_row="skip")
    assert [row["line"] for row in run.rejected()] == [2, 3]


def test_a_query_without_judgement_is_left_out_and_counted(tmp_path: Path) -> None:
    run = collection(tmp_path, "s a 1\n")
    assert run.rows("queries", "query_id", "query", "source_row") == [("s", 0, 2)]
    assert (run.counts["queries"], run.counts["query_rows"], run.counts["queries_without_positive"]) == (1, 3, 2)


def test_queries_of_equal_text_share_their_positives(tmp_path: Path) -> None:
    run = collection(tmp_path, "q a 1\ns b 1\nr b 1\n")
    assert run.rows("queries", "query_id", "query") == [("q", 0), ("r", 1), ("s", 0)]
    assert run.rows("excluded", "query", "passage") == [(0, 0), (0, 1), (1, 1)]


def test_a_judgement_given_twice_is_one_positive_with_the_first_grade(tmp_path: Path) -> None:
    run = collection(tmp_path, "q a 2\nq b 1\nq a 1\n")
    assert run.rows("positives", "doc_id", "grade") == [("a", 2.0), ("b", 1.0)]


def test_source_row_of_a_query_is_its_row_in_the_file(tmp_path: Path) -> None:
    queries = [QUERIES[0], QUERIES[0], QUERIES[1]]
    run = collection(tmp_path, "q a 1\nr a 1\n", queries=queries)
    assert run.rows("queries", "query_id", "source_row") == [("q", 0), ("r", 2)]
    assert run.counts["query_rows"] == 3


def test_a_query_id_given_to_two_texts_is_refused_naming_both_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"queries.jsonl:4: query id 'q' was given to another text in line 1"):
        collection(tmp_path, "q a 1\n", queries=[*QUERIES, {"_id": "q", "text": "three"}])


def test_a_query_id_may_equal_a_document_id(tmp_path: Path) -> None:
    run = collection(tmp_path, "a b 1\n", queries=[{"_id": "a", "text": "one"}])
    assert run.rows("positives", "query_id", "doc_id") == [("a", "b")]


def test_a_folder_is_read_by_its_split(tmp_path: Path) -> None:
    (tmp_path / "set" / "qrels").mkdir(parents=True)
    write_rows(tmp_path / "set" / "corpus.jsonl", CORPUS)
    write_rows(tmp_path / "set" / "queries.jsonl", QUERIES)
    (tmp_path / "set" / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    (tmp_path / "set" / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nr\tb\t1\n")
    assert ingest_files(tmp_path, path="set", split="dev").rows("positives", "query_id", "doc_id") == [("r", "b")]


def test_a_folder_without_the_split_is_refused_with_those_it_has(tmp_path: Path) -> None:
    (tmp_path / "set" / "qrels").mkdir(parents=True)
    (tmp_path / "set" / "qrels" / "dev.tsv").write_text("r\tb\t1\n")
    with pytest.raises(InputError, match=r"there is no qrels/train.tsv. There are: dev. Set data.split"):
        ingest_files(tmp_path, path="set")
