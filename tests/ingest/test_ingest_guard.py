"""Texts of an evaluation set are kept out of the training data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ingesting import Ingested, ingest_rows, write_rows

from negmine.errors import ConfigError, InputError

CORPUS = [{"_id": "a", "text": "Text A", "title": "T"}, {"_id": "b", "text": "text b"}, {"_id": "c", "text": "text c"}]
PAIRS = [
    {"query_id": "1", "anchor": "one", "positive_id": "a"},
    {"query_id": "2", "anchor": "two", "positive_id": ["b", "c"]},
    {"query_id": "3", "anchor": "three", "positive_id": "c"},
]


def guarded(folder: Path, rows: list[dict[str, Any]], name: str = "eval.jsonl", **guard: Any) -> Ingested:
    write_rows(folder / name, rows)
    return ingest_rows(folder, pairs=PAIRS, corpus=CORPUS, eval_guard={"files": [str(folder / name)], **guard})


def lines(run: Ingested) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "guarded.jsonl").read_text("utf-8").splitlines()]


def test_a_query_of_the_evaluation_set_leaves_with_its_pairs(tmp_path: Path) -> None:
    run = guarded(tmp_path, [{"query": "nothing"}, {"query": " TWO "}])
    assert run.rows("queries", "query_id") == ["1", "3"]
    assert run.rows("positives", "query_id", "doc_id") == [("1", "a"), ("3", "c")]
    assert (run.counts["guarded_queries"], run.counts["queries_without_positive"]) == (1, 0)
    assert lines(run) == [
        {"what": "query", "id": "2", "text": "two", "file": str(tmp_path / "eval.jsonl"), "line": 2},
    ]


@pytest.mark.parametrize("text", ["text a", "t text a"])
def test_a_document_of_the_evaluation_set_leaves_the_corpus_with_or_without_its_title(
    tmp_path: Path, text: str
) -> None:
    run = guarded(tmp_path, [{"passage": text}])
    assert run.rows("corpus", "doc_id") == ["b", "c"]
    assert run.rows("queries", "query_id") == ["2", "3"]
    assert (run.counts["guarded_passages"], run.counts["queries_without_positive"]) == (1, 1)
    assert [(line["what"], line["id"], line["line"]) for line in lines(run)] == [("passage", "a", 1)]


def test_nothing_in_common_changes_nothing(tmp_path: Path) -> None:
    run = guarded(tmp_path, [{"query": "four"}])
    plain = tmp_path / "plain"
    plain.mkdir()
    without = ingest_rows(plain, pairs=PAIRS, corpus=CORPUS)
    for table in ("corpus", "queries", "positives", "excluded"):
        same = [(folder / f"{table}.parquet").read_bytes() for folder in (run.folder, without.folder)]
        assert same[0] == same[1]
    assert lines(run) == []


@pytest.mark.parametrize("columns", [["answer", "nothing"], ["frage"]])
def test_columns_are_checked(tmp_path: Path, columns: list[str]) -> None:
    with pytest.raises(
        InputError, match=r"eval.jsonl:1: there is no column '(nothing|frage)'.*data.eval_guard.columns"
    ):
        guarded(tmp_path, [{"answer": "x"}], columns=columns)


def test_a_file_without_a_usual_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column has a name that tells of texts \(found: 'frage'\)"):
        guarded(tmp_path, [{"frage": "x"}])


@pytest.mark.parametrize("value", [["x", "text b"], [{"docid": "9", "title": "", "text": "text b"}], "text b"])
def test_lists_and_objects_of_texts_are_read(tmp_path: Path, value: Any) -> None:
    assert guarded(tmp_path, [{"positive_passages": value}]).rows("corpus", "doc_id") == ["a", "c"]


def test_of_a_beir_folder_the_queries_are_read_and_not_the_corpus(tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    folder.mkdir()
    write_rows(folder / "queries.jsonl", [{"_id": "x", "text": "three"}])
    write_rows(folder / "corpus.jsonl", CORPUS)
    run = ingest_rows(tmp_path, pairs=PAIRS, corpus=CORPUS, eval_guard={"files": [str(folder)]})
    assert run.rows("queries", "query_id") == ["1", "2"]
    assert run.counts["guarded_passages"] == 0


def test_parquet_and_csv_are_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "question": ["one"]}), tmp_path / "e.parquet")
    (tmp_path / "e.csv").write_text("id,passage\n1,text c\n")
    files = [str(tmp_path / "e.parquet"), str(tmp_path / "e.csv")]
    run = ingest_rows(tmp_path, pairs=PAIRS, corpus=CORPUS, eval_guard={"files": files})
    assert run.rows("positives", "query_id", "doc_id") == [("2", "b")]


def test_error_names_both_places(tmp_path: Path) -> None:
    found = r"pairs.jsonl:2 has a text of the evaluation set \(.*eval.jsonl:1\); .*corpus.jsonl:3 .*eval.jsonl:2"
    with pytest.raises(InputError, match=found):
        guarded(tmp_path, [{"query": "two"}, {"query": "text c"}], action="error")


def test_error_finds_nothing_in_other_texts(tmp_path: Path) -> None:
    assert guarded(tmp_path, [{"query": "four"}], action="error").counts["queries"] == 3


def test_a_chunk_of_the_evaluation_set_takes_its_document_along(tmp_path: Path) -> None:
    text = "".join(f"Sentence number {number} of this text. " for number in range(12))
    corpus = [*CORPUS, {"_id": "long", "text": text}]
    data = {"long_documents": "chunk", "chunk": {"max_chars": 100, "overlap_chars": 20}}
    chunk = ingest_rows(tmp_path, pairs=PAIRS, corpus=corpus, **data).rows("corpus", "doc_id", "text")[-1]
    assert chunk[0].startswith("long#")
    write_rows(tmp_path / "eval.jsonl", [{"passage": chunk[1]}])
    data |= {"eval_guard": {"files": [str(tmp_path / "eval.jsonl")]}}
    run = ingest_rows(tmp_path, pairs=PAIRS, corpus=corpus, **data)
    assert run.rows("corpus", "doc_id") == ["a", "b", "c"]
    assert lines(run)[0]["id"] == "long"


def test_bad_rows_of_the_evaluation_set_are_skipped_and_written_down(tmp_path: Path) -> None:
    (tmp_path / "eval.jsonl").write_text('{"query": "one"}\nno json\n')
    guard = {"files": [str(tmp_path / "eval.jsonl")]}
    run = ingest_rows(tmp_path, pairs=PAIRS, corpus=CORPUS, eval_guard=guard, on_bad_row="skip")
    assert [(row["line"], run.counts["rows_rejected"]) for row in run.rejected()] == [(2, 1)]


def test_files_are_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.eval_guard.files: must not be empty"):
        ingest_rows(tmp_path, pairs=PAIRS, eval_guard={"files": []})
    with pytest.raises(InputError, match="this file does not exist"):
        ingest_rows(tmp_path, pairs=PAIRS, eval_guard={"files": ["nowhere.jsonl"]})
