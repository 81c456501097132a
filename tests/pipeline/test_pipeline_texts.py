"""Texts reach the training files as they were given, and documents in chunks stay what labels say of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from slow_negmine import PretendedEncoder, pretend

import negmine
from negmine.results import read_verdicts
from negmine.text import normalise

KNOWN = [
    "مَرْحَبًا بِالْعَالَمِ \u202b(RTL)\u202c",
    "שָׁלוֹם עוֹלָם\u200f!",
    "e\u0301 vs \u00e9, A\u030a vs \u212b",
    "👩‍👩‍👧‍👦🏽 🇩🇪 ❤️",
    "\ufeffbom in the middle\ufeff \u2028 line\u2029",
    "𐎠𐎡 \U000e0041 \U0010fffd",
    'quotes " \\ / \t tab\r\nline\x1f\x7f',
]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30)


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch.setattr)


def run(folder: Path, pairs: list[dict[str, Any]], corpus: list[dict[str, Any]], **data: Any) -> Path:
    """Mine with the pretended model; the folder of the run."""
    for name, rows in (("pairs", pairs), ("corpus", corpus)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_bytes(lines.encode())
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    config = {
        "work_dir": "run",
        "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl", **data},
        "embed": {"model": "./model"},
        "mine": {"k": 6},
        "filter": {"num_negatives": 2, "risk": None, "near_duplicates": None},
        "export": [{"format": "triplet", "file": f"t.{suffix}"} for suffix in ("jsonl", "parquet")],
    }
    negmine.run(negmine.config_from_dict(config, folder))
    return folder / "run"


def exported(work: Path) -> list[dict[str, str]]:
    lines = (work / "export" / "t.jsonl").read_bytes().decode().split("\n")
    rows = [json.loads(line) for line in lines if line]
    assert pq.read_table(work / "export" / "t.parquet").to_pylist() == rows
    return rows


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXT, min_size=12, max_size=24, unique_by=normalise).filter(lambda texts: all(map(normalise, texts))))
def test_texts_of_all_planes_arrive_unchanged(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("texts")
    given = [*KNOWN, *(text for text in texts if normalise(text) not in set(map(normalise, KNOWN)))]
    queries, passages = given[::2], given[1::2]
    pairs = [{"anchor": q, "positive_id": f"d{i % len(passages)}"} for i, q in enumerate(queries)]
    rows = exported(run(folder, pairs, [{"_id": f"d{i}", "text": text} for i, text in enumerate(passages)]))
    positive = {q: passages[i % len(passages)] for i, q in enumerate(queries)}
    assert rows
    assert {row["anchor"]: row["positive"] for row in rows} == {row["anchor"]: positive[row["anchor"]] for row in rows}
    assert {row["negative"] for row in rows} <= set(passages)
    assert {row["anchor"] for row in rows} == set(queries)


def long_text(number: int) -> str:
    return "".join(f"Sentence {place} of document {number}. " for place in range(3 * (number % 4) + 1))


def test_of_a_document_in_chunks_the_nearest_is_the_positive_and_none_a_negative(tmp_path: Path) -> None:
    corpus = [{"_id": f"d{i}", "title": f"T{i}", "text": long_text(i)} for i in range(12)]
    pairs = [
        {"query_id": f"q{i}", "anchor": f"query {i}", "positive_id": [f"d{i}", f"d{(i + 5) % 12}"]} for i in range(8)
    ]
    work = run(
        tmp_path, pairs, corpus, long_documents="chunk", chunk={"max_chars": 80, "overlap_chars": 20},
        passage_template="{title} | {text}",
    )  # fmt: skip
    rows = pq.read_table(work / "ingest" / "corpus.parquet").to_pylist()
    said = {row["doc_id"]: f"{row['title']} | {row['text']}" for row in rows}
    whole = {row["doc_id"]: row["document"] for row in rows}
    assert len(rows) > len(corpus)
    encoder = PretendedEncoder()
    vectors = dict(zip(said, encoder.encode_passages(list(said.values())).astype(np.float64), strict=True))
    mined = pq.read_table(work / "mine" / "positives.parquet").to_pylist()
    for i, pair in enumerate(pairs):
        asked = encoder.encode_queries([pair["anchor"]])[0].astype(np.float64)
        expected = set()
        for document in pair["positive_id"]:
            chunks = [doc_id for doc_id in said if whole[doc_id] == document]
            expected.add(max(chunks, key=lambda doc_id: asked @ vectors[doc_id]))
        assert {row["doc_id"] for row in mined if row["query_id"] == f"q{i}"} == expected
    verdicts = read_verdicts(work).to_pylist()
    positive = {(pair["query_id"], document) for pair in pairs for document in pair["positive_id"]}
    own = [row for row in verdicts if (row["query_id"], whole[row["doc_id"]]) in positive]
    assert {row["reason"] for row in own} == {"positive"}
    of_query = {pair["anchor"]: pair["query_id"] for pair in pairs}
    best = {(row["query_id"], said[row["doc_id"]]) for row in mined}
    assert {(of_query[row["anchor"]], row["positive"]) for row in exported(work)} == best
