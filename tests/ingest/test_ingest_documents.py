"""What becomes of documents: merging, refusing, leaving out, carrying along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ingesting import Ingested, ingest_files, ingest_rows, write_rows

from negmine.errors import InputError
from negmine.text import text_digest

PAIRS = [{"query_id": "q", "anchor": "a question", "positive_id": "a"}]


def documents(folder: Path, *rows: dict[str, Any], **data: Any) -> Ingested:
    return ingest_rows(folder, pairs=data.pop("pairs", PAIRS), corpus=rows, **data)


def parquet_corpus(folder: Path) -> Ingested:
    write_rows(folder / "pairs.jsonl", PAIRS)
    return ingest_files(folder, pairs="pairs.jsonl", corpus="c.parquet")


def doc(doc_id: Any, text: str | None, **more: Any) -> dict[str, Any]:
    return {"_id": doc_id, "text": text, **more}


@pytest.mark.parametrize(
    "twin", ["The Text", " the\ttext ", "THE  TEXT\n", "ｔｈｅ ｔｅｘｔ", "the\u00a0text"], ids=ascii
)
def test_documents_of_equal_text_are_one_passage_under_several_ids(tmp_path: Path, twin: str) -> None:
    run = documents(tmp_path, doc("a", "The text"), doc("b", twin), doc("c", "Another"))
    assert run.rows("corpus", "doc_id", "passage") == [("a", 0), ("b", 0), ("c", 1)]
    assert (run.counts["documents"], run.counts["passages"]) == (3, 2)


def test_a_document_keeps_its_own_spelling(tmp_path: Path) -> None:
    run = documents(tmp_path, doc("a", "The  text\n", title=" T "))
    assert run.rows("corpus", "title", "text") == [(" T ", "The  text\n")]


def test_passages_are_numbered_by_first_appearance(tmp_path: Path) -> None:
    run = documents(tmp_path, doc("z", "x"), doc("a", "y"), doc("b", "x"), doc("c", "v"), doc("d", "y"))
    assert run.rows("corpus", "passage") == [0, 1, 0, 2, 1]


def test_an_id_given_twice_with_equal_text_is_one_document(tmp_path: Path) -> None:
    run = documents(tmp_path, doc("a", "Text"), doc("b", "x"), doc("a", "text"))
    assert run.rows("corpus", "doc_id", "text") == [("a", "Text"), ("b", "x")]


def test_an_id_given_twice_with_different_text_is_refused_naming_both_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus.jsonl:3: document id 'a' was given to another text in line 1\. Fix"):
        documents(tmp_path, doc("a", "one"), doc("b", "x"), doc("a", "two"))


def test_an_id_given_twice_with_different_titles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus.jsonl:2: document id 'a' was given to another text in line 1"):
        documents(tmp_path, doc("a", "one", title="A"), doc("a", "one", title="B"))


def test_ids_in_parquet_that_clash_are_named_by_their_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"_id": ["a", "a"], "text": ["one", "two"]}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match=r"c.parquet \(row 2\): document id 'a' was given to another text in row 1"):
        parquet_corpus(tmp_path)


def test_ids_one_a_number_and_one_a_text_are_the_same(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="document id '1' was given to another text in line 1"):
        documents(tmp_path, doc(1, "one"), doc("1", "two"))


def test_equal_text_under_different_titles_is_two_passages(tmp_path: Path) -> None:
    run = documents(tmp_path, doc("a", "text", title="A"), doc("b", "text", title="B"))
    assert run.rows("corpus", "passage") == [0, 1]


def test_the_text_key_is_that_of_the_text_without_title(tmp_path: Path) -> None:
    run = documents(tmp_path, doc("a", "text", title="A"), doc("b", "Text"))
    assert run.rows("corpus", "text_key") == [text_digest("text").hex()] * 2


@pytest.mark.parametrize("text", ["", "  ", "\n\u00a0", None])
def test_a_document_without_text_is_left_out_and_counted(tmp_path: Path, text: str | None) -> None:
    run = documents(tmp_path, doc("b", text), doc("a", "x"))
    assert run.rows("corpus", "doc_id") == ["a"]
    assert run.counts["blank_documents"] == 1
    assert run.rejected() == []


def test_a_document_that_has_only_a_title_is_kept(tmp_path: Path) -> None:
    run = documents(tmp_path, doc("a", "", title="Title"))
    assert run.rows("corpus", "doc_id", "text", "title") == [("a", "", "Title")]


def test_documents_that_have_only_a_title_do_not_share_a_text(tmp_path: Path) -> None:
    run = documents(tmp_path, doc("a", "", title="A"), doc("b", "", title="B"))
    assert run.rows("excluded", "passage", "reason") == [(0, "positive")]


@pytest.mark.parametrize("rows", [[doc("a", "")], [doc("a", ""), doc("b", "  ")]])
def test_a_corpus_without_any_text_is_refused(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(InputError, match=r"corpus.jsonl: the corpus has no passages. Check data.corpus"):
        documents(tmp_path, *rows)


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus.jsonl: this file is empty"):
        documents(tmp_path)


def test_a_corpus_of_bad_rows_alone_is_refused_when_they_are_skipped(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the corpus has no passages"):
        documents(tmp_path, doc(None, "x"), doc(1.5, "x"), on_bad_row="skip")


def test_a_missing_corpus_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write_rows(tmp_path / "pairs.jsonl", PAIRS)
    write_rows(tmp_path / "c.parqet", PAIRS)
    with pytest.raises(InputError, match=r"c.parquet: this file does not exist. Did you mean 'c.parqet'\?"):
        parquet_corpus(tmp_path)


def test_metadata_are_carried_along(tmp_path: Path) -> None:
    run = documents(
        tmp_path, doc("a", "x", lang="en", year=2020), doc("b", "", lang="de"), doc("c", "y"), metadata=["year", "lang"]
    )
    assert run.rows("corpus", "doc_id", "lang", "year") == [("a", "en", "2020"), ("c", None, None)]


def test_added_positives_have_no_metadata(tmp_path: Path) -> None:
    pairs = [{"anchor": "q", "positive": "new"}]
    run = documents(tmp_path, doc("a", "x", lang="en"), pairs=pairs, metadata=["lang"])
    assert run.rows("corpus", "text", "lang") == [("x", "en"), ("new", None)]


def test_metadata_that_no_row_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'lang'.*Set data.metadata"):
        documents(tmp_path, doc("a", "x"), metadata=["lang"])


def test_source_row_counts_documents_as_they_were_given(tmp_path: Path) -> None:
    run = documents(tmp_path, doc("b", ""), doc("a", "x"), doc("a", "x"), doc("c", "y"))
    assert run.rows("corpus", "doc_id", "source_row") == [("a", 1), ("c", 3)]
    assert run.counts["corpus_rows"] == 4


def test_a_corpus_larger_than_a_row_group_is_whole(tmp_path: Path) -> None:
    run = documents(tmp_path, doc("a", "first"), *(doc(i, f"text {i // 2}") for i in range(40_000)))
    assert run.rows("corpus", "doc_id") == ["a", *map(str, range(40_000))]
    assert run.rows("corpus", "passage") == [0, *(1 + i // 2 for i in range(40_000))]
    assert run.rows("corpus", "source_row") == list(range(40_001))
