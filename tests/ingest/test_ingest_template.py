"""What a passage says: the template that puts title, text and metadata together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingesting import ingest_rows

from negmine.errors import ConfigError
from negmine.stages.texts import passage_texts
from negmine.text import DEFAULT_TEMPLATE, Template

PAIRS = [{"query_id": "q", "anchor": "a question", "positive_id": "a"}]
VALUES = st.one_of(st.none(), st.text(max_size=5))


def test_a_template_decides_which_documents_are_one_passage(tmp_path: Path) -> None:
    corpus = [{"_id": "a", "title": "A", "text": "x"}, {"_id": "b", "title": "B", "text": "x"}]
    assert ingest_rows(tmp_path, pairs=PAIRS, corpus=corpus).counts["passages"] == 2
    assert ingest_rows(tmp_path, pairs=PAIRS, corpus=corpus, passage_template="{text}").counts["passages"] == 1


def test_metadata_in_a_template_tell_passages_apart(tmp_path: Path) -> None:
    corpus = [{"_id": "a", "text": "x", "product": "P"}, {"_id": "b", "text": "x", "product": "R"}]
    data = {"metadata": ["product"], "passage_template": "{product}: {text}"}
    assert ingest_rows(tmp_path, pairs=PAIRS, corpus=corpus, **data).counts["passages"] == 2


def test_a_document_without_text_is_blank_whatever_the_template_adds(tmp_path: Path) -> None:
    corpus = [{"_id": "a", "text": "x"}, {"_id": "b", "text": " "}, {"_id": "c", "text": "", "title": "T"}]
    run = ingest_rows(tmp_path, pairs=PAIRS, corpus=corpus, passage_template="Passage: {text}")
    assert run.rows("corpus", "doc_id") == ["a"]
    run = ingest_rows(tmp_path, pairs=PAIRS, corpus=corpus, passage_template="Passage: {title}|{text}")
    assert run.rows("corpus", "doc_id") == ["a", "c"]


def test_a_positive_text_is_found_with_any_template(tmp_path: Path) -> None:
    corpus = [{"_id": "a", "title": "T", "text": "x"}]
    for positive in ("x", "T :: x"):
        pairs = [{"anchor": "q", "positive": positive}]
        run = ingest_rows(tmp_path, pairs=pairs, corpus=corpus, passage_template="{title} :: {text}")
        assert run.rows("positives", "doc_id") == ["a"]


def test_positives_named_by_id_without_a_corpus_take_any_template(tmp_path: Path) -> None:
    pairs = [{"anchor": "q", "positive": "x", "positive_id": "p"}]
    run = ingest_rows(tmp_path, pairs=pairs, passage_template="Passage: {text}")
    assert run.rows("positives", "doc_id") == ["p"]


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{titel} {text}", r"data.passage_template: there is no \{titel\} to fill in .*Did you mean 'title'\?"),
        ("{product} {text}", r"there is no \{product\}.*Add 'product' to data.metadata"),
        ("{title}", r"it lacks \{text\}"),
        ("{text", "the brace at character 1 names no column"),
        ("{} {text}", "the brace at character 1 names no column"),
        ("{text} }", "a single '}' at character 8"),
        ("{text!r}", r"there is no \{text!r\}"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused(tmp_path: Path, template: str, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        ingest_rows(tmp_path, pairs=PAIRS, corpus=[{"_id": "a", "text": "x"}], passage_template=template)


@given(
    st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=5),
    st.sampled_from([DEFAULT_TEMPLATE, "{text}", "{{{title}}}: {text} ({kind}) {text}", "a{title}{text}"]),
)
def test_a_table_is_filled_in_as_lists_are(rows: list[tuple[Any, Any, Any]], text: str) -> None:
    template = Template(text)
    if template.is_default:
        rows = [(title or "", body or "", kind) for title, body, kind in rows]
    columns = dict(zip(("title", "text", "kind"), map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table({name: pa.array(values, pa.large_string()) for name, values in columns.items()})
    if template.is_default:
        expected = [f"{title} {body}" if title and body else title or body for title, body, _ in rows]
    else:
        names = ("title", "text", "kind")
        expected = [text.format(**{n: v or "" for n, v in zip(names, row, strict=True)}) for row in rows]
    assert template.fill(columns) == expected
    assert passage_texts(table, template).to_pylist() == expected
