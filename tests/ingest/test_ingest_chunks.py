"""Documents that are cut into passages, and what labels of them mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ingesting import Ingested, ingest_rows

from negmine.errors import ConfigError, InputError

LONG = "".join(f"Sentence number {number} of this text. " for number in range(12))
CHUNK = {"long_documents": "chunk", "chunk": {"max_chars": 100, "overlap_chars": 20}}
PAIRS = [{"query_id": "q", "anchor": "a question", "positive_id": "long"}]


def chunked(folder: Path, corpus: list[dict[str, Any]], pairs: Any = PAIRS, **data: Any) -> Ingested:
    return ingest_rows(folder, pairs=pairs, corpus=corpus, **{**CHUNK, **data})


def doc(doc_id: str, text: str, **more: Any) -> dict[str, Any]:
    return {"_id": doc_id, "text": text, **more}


def test_a_long_document_becomes_chunks_that_carry_its_title_and_metadata(tmp_path: Path) -> None:
    run = chunked(tmp_path, [doc("short", "x"), doc("long", LONG, title="T", kind="k")], metadata=["kind"])
    rows = run.rows("corpus", "doc_id", "document", "title", "kind", "source_row")
    assert rows[0] == ("short", "short", "", None, 0)
    assert rows[1:] == [(f"long#{n}", "long", "T", "k", 1) for n in range(1, len(rows))]
    assert len(rows) > 4
    assert all(len(text) <= 100 for text in run.rows("corpus", "text"))
    assert (run.counts["documents"], run.counts["documents_cut"], run.counts["rows"]) == (2, 1, len(rows))


def test_without_chunks_there_is_no_column_of_documents(tmp_path: Path) -> None:
    run = ingest_rows(tmp_path, pairs=PAIRS, corpus=[doc("long", LONG)])
    assert "document" not in pq.read_schema(run.folder / "corpus.parquet").names


def test_no_chunk_of_a_positive_is_a_negative(tmp_path: Path) -> None:
    run = chunked(tmp_path, [doc("short", "x"), doc("long", LONG)])
    chunks = len(run.rows("corpus", "doc_id")) - 1
    assert run.rows("excluded", "query", "passage", "reason") == [(0, p, "positive") for p in range(1, chunks + 1)]
    assert run.rows("positives", "doc_id") == [f"long#{n}" for n in range(1, chunks + 1)]
    assert len(set(run.rows("positives", "document"))) == run.counts["positives"] == 1


def test_a_positive_text_means_the_whole_document_that_says_it(tmp_path: Path) -> None:
    run = chunked(tmp_path, [doc("short", "x"), doc("long", LONG)], [{"anchor": "q", "positive": LONG.upper()}])
    assert run.rows("positives", "doc_id")[0] == "long#1"
    assert run.counts["positives_added_to_corpus"] == 0


def test_a_positive_text_that_is_part_of_a_document_is_a_document_of_its_own(tmp_path: Path) -> None:
    run = chunked(tmp_path, [doc("long", LONG)], [{"anchor": "q", "positive": LONG[:50]}])
    assert run.counts["positives_added_to_corpus"] == 1
    assert len(run.rows("positives", "doc_id")) == 1


def test_a_long_positive_text_that_is_not_in_the_corpus_is_cut_too(tmp_path: Path) -> None:
    run = chunked(tmp_path, [doc("short", "x")], [{"anchor": "q", "positive": LONG}])
    assert run.rows("positives", "doc_id")[0].endswith("#1")
    assert run.counts["documents_cut"] == 1


def test_a_chunk_that_a_document_says_too_is_one_passage_and_excluded_with_it(tmp_path: Path) -> None:
    first = chunked(tmp_path, [doc("long", LONG)]).rows("corpus", "text")[0]
    run = chunked(tmp_path, [doc("twin", first), doc("long", LONG)])
    assert run.rows("corpus", "passage")[:2] == [0, 0]
    assert (0, 0, "positive_text") in run.rows("excluded", "query", "passage", "reason")


def test_chunks_of_white_space_alone_are_left_out(tmp_path: Path) -> None:
    run = chunked(tmp_path, [doc("long", "a. " + " " * 400 + "b"), doc("blank", " " * 400, title="T")])
    assert run.rows("corpus", "doc_id") == ["long#1", "long#2", "blank"]


def test_an_id_of_a_chunk_that_a_document_has_is_refused_naming_both(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"corpus.jsonl:2: this document is to be cut, and the id of its part 'long#2'"
    ):
        chunked(tmp_path, [doc("long#2", "x"), doc("long", LONG)])


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"long_documents": "keep"}, "data.chunk: applies only to data.long_documents: chunk"),
        ({"chunk": {"max_chars": 100, "overlap_chars": 60}}, "may overlap by half"),
        ({"metadata": ["document"]}, "data.metadata: 'document' is a column that negmine writes itself"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(tmp_path: Path, data: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        chunked(tmp_path, [doc("long", LONG)], **data)
