"""What a file or folder is taken for, and when nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reader_help import write

from negmine.config import ColumnsConfig
from negmine.readers import LabelSettings
from negmine.readers.peeking import Look, look
from negmine.readers.recognise import recognise_collection, recognise_file, recognise_folder, recognise_labels

AMONG = ("pairs", "triplets", "labeled", "flagembedding", "tevatron", "tevatron-ids", "dpr", "msmarco")
DEFAULT = LabelSettings(ColumnsConfig())


def formats(names: str, settings: LabelSettings = DEFAULT) -> list[str]:
    seen = Look("a.jsonl", tuple(names.split()))
    return [found.format for found in recognise_labels(seen, settings, AMONG)]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("anchor positive", ["pairs"]),
        ("anchor positive_id query_id", ["pairs"]),
        ("anchor positive negative", ["triplets"]),
        ("anchor positive negative_1 negative_2", ["triplets"]),
        ("anchor positive negatives", ["triplets"]),
        ("anchor positive negative label", ["triplets"]),
        ("anchor text label", ["labeled"]),
        ("anchor documents scores", ["labeled"]),
        ("query pos neg", ["flagembedding"]),
        ("query pos", ["flagembedding"]),
        ("query_id query positive_passages negative_passages answers", ["tevatron"]),
        ("query_id query_text positive_document_ids negative_document_ids", ["tevatron-ids"]),
        ("dataset question answers positive_ctxs hard_negative_ctxs", ["dpr"]),
        ("question positive", []),
        ("anchor positive label", ["pairs", "labeled"]),
        ("anchor positive text label", ["pairs", "labeled"]),
        ("anchor positive negative text label", ["triplets", "labeled"]),
        ("anchor positive query pos neg", ["pairs", "flagembedding"]),
        ("question positive_ctxs query positive_passages", ["tevatron", "dpr"]),
    ],
)
def test_a_layout_is_told_by_its_columns(names: str, found: list[str]) -> None:
    assert formats(names) == found


def test_chosen_names_of_columns_are_those_that_count() -> None:
    settings = LabelSettings(ColumnsConfig(anchor="query", positive="pos", negative="neg"))
    seen = Look("a.jsonl", ("query", "pos", "neg"))
    assert [found.format for found in recognise_labels(seen, settings, ("pairs", "triplets"))] == ["triplets"]


def test_the_reason_names_file_and_columns() -> None:
    (found,) = recognise_labels(Look("fe.jsonl", ("query", "pos", "neg", "prompt")), DEFAULT, AMONG)
    assert found.why == "fe.jsonl has query, pos, neg"


@pytest.mark.parametrize(
    ("name", "data", "ids", "found"),
    [
        ("triples.train.tsv", "a b\tc d\te\n", False, ["msmarco"]),
        ("Triples.tsv.gz", "a b\tc d\te\n", False, ["msmarco"]),
        ("train.tsv", "a b\tc d\te\n", False, []),
        ("triples.tsv", "anchor\tpositive\tnegative\na\tb\tc\n", False, ["triplets"]),
        ("train.tsv", "1\t2\t3\n", True, ["msmarco"]),
        ("triples.tsv", "1\t2\t3\n", False, []),
        ("train.tsv", "1\tb\t3\n", True, []),
    ],
)
def test_triples_without_header(tmp_path: Path, name: str, data: str, ids: bool, found: list[str]) -> None:
    seen = look(write(tmp_path / name, data))
    settings = LabelSettings(ColumnsConfig(), queries=ids)
    assert [each.format for each in recognise_labels(seen, settings, AMONG)] == found


def collection(tmp_path: Path, corpus: str, queries: str, qrels: str) -> list[Any]:
    files = {"corpus": corpus, "queries": queries}
    looks = [
        look(write(tmp_path / f"{key}.{data.partition(':')[0]}", data.partition(":")[2])) for key, data in files.items()
    ]
    width = len(qrels.split())
    return recognise_collection(looks[0], looks[1], Look("qrels.txt"), ("_id", "text", "title"), width)


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels", "found"),
    [
        ('jsonl:{"_id": "1", "text": "a"}', 'jsonl:{"_id": "1", "text": "a"}', "1 1 1", ["beir"]),
        ('jsonl:{"_id": "1", "text": "a"}', 'jsonl:{"_id": "1", "text": "a"}', "1 0 1 1", ["trec"]),
        ('jsonl:{"_id": "1", "text": "a"}', "tsv:_id\ttext\n1\ta\n", "1 0 1 1", ["beir"]),
        ("tsv:1\ta\n2\tb\n", "tsv:1\ta\n", "1 0 1 1", ["msmarco"]),
        ("tsv:D1\thttp://a\tT\tb\n", "tsv:1\ta\n", "1 0 D1 1", ["msmarco"]),
        ('jsonl:{"_id": "1", "text": "a"}', "tsv:1\ta\n", "1 0 1 1", ["msmarco"]),
        ("tsv:1\ta\n", "tsv:_id\ttext\n1\ta\n", "1 1 1", ["msmarco", "beir"]),
        ("tsv:idd\ttxt\n1\ta\n", "tsv:_id\ttext\n1\ta\n", "1 1 1", ["beir"]),
    ],
)
def test_a_collection_is_told_by_its_files(
    tmp_path: Path, corpus: str, queries: str, qrels: str, found: list[str]
) -> None:
    """A misspelt header is no file without one: its first field has no digit."""
    assert [each.format for each in collection(tmp_path, corpus, queries, qrels)] == found


def test_a_file_is_found_by_what_people_call_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", json.dumps({"question": "q", "answer": "a", "id": 1}))
    (found,) = recognise_file(path)
    assert found.format == "pairs"
    assert found.keys == {
        "pairs": "p.jsonl",
        "format": "pairs",
        "columns.anchor": "question",
        "columns.positive": "answer",
    }


def test_a_labeled_file_is_found_by_what_people_call_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "sentence1,sentence2,label\na,b,1\n")
    found = {each.format: each.keys for each in recognise_file(path)}
    assert set(found) == {"pairs", "labeled"}
    assert found["labeled"] == {
        "pairs": "p.csv",
        "format": "labeled",
        "columns.anchor": "sentence1",
        "columns.passage": "sentence2",
    }


def test_a_file_with_names_of_its_own_needs_no_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "fe.jsonl", json.dumps({"query": "q", "pos": ["a"], "neg": []}))
    (found,) = recognise_file(path)
    assert found.keys == {"pairs": "fe.jsonl", "format": "flagembedding"}


def test_a_corpus_is_no_file_of_labels(tmp_path: Path) -> None:
    assert recognise_file(write(tmp_path / "corpus.jsonl", json.dumps({"_id": "1", "text": "a"}))) == []


def test_folders(tmp_path: Path) -> None:
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/dev.tsv", "qrels/test.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (found,) = recognise_folder(tmp_path)
    assert (found.format, dict(found.keys)) == ("beir", {"path": str(tmp_path)})
    assert found.why == "the folder has a corpus, queries and qrels: dev, test"
    for name in ("collection.tsv", "queries.dev.tsv", "qrels.dev.tsv"):
        (tmp_path / name).touch()
    assert [each.format for each in recognise_folder(tmp_path)] == ["beir", "msmarco"]
    assert recognise_folder(tmp_path)[1].keys["split"] == "dev"
    assert recognise_folder(tmp_path / "qrels") == []
