"""The readers of other tools make of an export what the run decided. Each runs in the environment of consumers."""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import environments
import pytest
from sample import Group, Passage, documents

pytestmark = pytest.mark.slow
READERS = Path(__file__).with_name("readers.py")


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory):
    """Runs a reader of ``readers.py`` on paths; skips where the environment cannot be made."""
    try:
        environments.make()
    except RuntimeError as error:
        pytest.skip(f"the environment of consumers cannot be made: {error}")
    cache = tmp_path_factory.mktemp("cache")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(cache)}
    surroundings = {**os.environ, **offline, "MODELSCOPE_CACHE": str(cache / "modelscope")}

    def reading(name: str, *arguments: Any) -> Any:
        command = [environments.PYTHON, READERS, name, *arguments]
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, check=False, env=surroundings, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.rstrip("\n").rpartition("\n")[2])

    return reading


def with_negatives(groups: list[Group]) -> list[Group]:
    return [group for group in groups if group.negatives]


def whole(passages: tuple[Passage, ...]) -> list[str]:
    return [passage.whole for passage in passages]


def scored(passages: tuple[Passage, ...]) -> dict[str, float]:
    return {passage.whole: passage.score for passage in passages}


def test_beir_reads_corpus_queries_and_positives(read, exported: Path, groups: list[Group]) -> None:
    """Mined negatives are not among the judgements; all documents are there, to be searched."""
    found = read("beir", exported / "beir")
    given = {row["_id"]: {"title": row.get("title", ""), "text": row["text"]} for row in documents()}
    assert found["corpus"] == given
    assert found["queries"] == {group.query_id: group.text for group in groups}
    assert found["qrels"] == {group.query_id: {one.doc_id: 1 for one in group.positives} for group in groups}


def test_gpl_draws_triples_of_every_query(read, exported: Path, groups: list[Group]) -> None:
    found = read("gpl", exported / "beir")
    by_id = {group.query_id: group for group in with_negatives(groups)}
    assert found["rows"] == len(by_id)
    drawn = defaultdict(set)
    for query_id, positive_id, negative_id, query, positive, negative in found["drawn"]:
        group = by_id[query_id]
        assert query == group.text
        assert (positive_id, positive) in [(one.doc_id, one.whole.strip()) for one in group.positives]
        assert (negative_id, negative) in [(one.doc_id, one.whole.strip()) for one in group.negatives]
        drawn[query_id].add(negative_id)
    assert set(drawn) == set(by_id)
    assert sum(map(len, drawn.values())) > 2 * len(by_id)


def test_flagembedding_trains_on_every_row(read, exported: Path, groups: list[Group]) -> None:
    """Its readers for embedding models (by row, and by batch of one data set) and for rerankers, with scores."""
    found = read("flagembedding", exported / "flagembedding.jsonl")
    by_query = {group.text: group for group in with_negatives(groups)}

    def check(query: str, passages: list[str], scores: list[float]) -> None:
        group = by_query[query]
        positive, *negatives = passages
        assert positive in whole(group.positives)
        assert set(negatives) <= set(whole(group.negatives))
        expected = [scored(group.positives)[positive], *(scored(group.negatives)[text] for text in negatives)]
        assert scores == pytest.approx(expected, abs=1e-12)

    for query, passages, scores in found["rows"]:
        assert len(passages) == 6
        check(query, passages, scores)
    assert {query for query, _, _ in found["rows"]} == set(by_query)
    seen = set()
    for queries, passages, scores in found["batches"]:
        for number, query in enumerate(queries):
            some = slice(6 * number, 6 * number + 6)
            check(query.removeprefix("Instruct: "), passages[some], scores[some])
            seen.add(query.removeprefix("Instruct: "))
    assert len(seen) == 4 * (len(by_query) // 4)  # its batches leave the odd rows of an epoch out
    for pairs, scores in found["reranker"]:
        assert len({query for query, _ in pairs}) == 1
        check(pairs[0][0], [passage for _, passage in pairs], scores)
    assert len(found["reranker"]) == len(found["rows"])


def test_tevatron_reads_titles_and_texts(read, exported: Path, groups: list[Group]) -> None:
    found = read("tevatron", exported / "tevatron.jsonl")

    def texts(passages: tuple[Passage, ...]) -> list[str]:
        return [f"{one.title} {one.text}" for one in passages]

    kept = with_negatives(groups)
    assert found["rows"] == [
        {"query": group.text, "positives": texts(group.positives), "negatives": texts(group.negatives)}
        for group in kept
    ]
    for group, (query, (positive, *negatives)) in zip(kept, found["drawn"], strict=True):
        assert query == group.text
        assert positive in texts(group.positives)
        assert len(negatives) == 5
        assert set(negatives) <= set(texts(group.negatives))


def test_pylate_finds_every_document_of_ids(read, exported: Path, groups: list[Group]) -> None:
    folder = exported / "ids"
    found = read("pylate", folder / "train.jsonl", folder / "queries.jsonl", folder / "documents.jsonl")
    assert found["missing"] == []
    assert found["rows"] == found["lazily"]
    assert found["rows"] == [
        {
            "query": group.text,
            "documents": [positive.whole, *whole(group.negatives)],
            "scores": [positive.score, *(one.score for one in group.negatives)],
        }
        for group in with_negatives(groups)
        for positive in group.positives
    ]


def test_trec_tools_read_the_run(read, exported: Path, groups: list[Group], tmp_path: Path) -> None:
    """Scores and order as they are; measured against the positives, a run of negatives is worth nothing."""
    qrels = tmp_path / "qrels"
    lines = [f"{group.query_id} 0 {one.doc_id} 1\n" for group in groups for one in group.positives]
    qrels.write_text("".join(lines), "utf-8")
    found = read("trec", exported / "run.trec", qrels)
    expected = {group.query_id: {one.doc_id: one.score for one in group.negatives} for group in with_negatives(groups)}
    assert found["pytrec_eval"] == expected
    rows = [[query, doc, score] for query, scores in expected.items() for doc, score in scores.items()]
    assert found["ir_measures"] == rows
    assert set(found["measures"].values()) == {0.0}


def test_nemo_automodel_reads_questions_and_documents(read, exported: Path, groups: list[Group]) -> None:
    """Five passages a question: its first positive, then its negatives in order, over again where there are fewer."""
    found = read("nemo", exported / "nemo" / "train.json")
    kept = with_negatives(groups)
    expected = []
    for group in kept:
        passages = [group.positives[0], *(group.negatives * 4)[:4]]
        ids, texts = [one.doc_id for one in passages], [one.whole for one in passages]
        expected.append({"question": group.text, "doc_text": texts, "doc_id": ids})
    assert found["rows"] == expected
    assert found["cross_encoder"] == len(kept)


def test_ms_swift_encodes_rows_for_embedding_models_and_rerankers(
    read, exported: Path, groups: list[Group], plain_model: Path
) -> None:
    found = read("swift", exported / "ms-swift.jsonl", plain_model)
    kept = with_negatives(groups)

    def contents(conversations: list[list[dict[str, str]]]) -> list[str]:
        return [message["content"] for conversation in conversations for message in conversation]

    for group, row in zip(kept, found["rows"], strict=True):
        assert contents([row["chosen"]]) == [group.text]
        assert contents(row["positive"]) == whole(group.positives)
        assert contents(row["negative"]) == whole(group.negatives)
    for group, encoded in zip(kept, found["embedding"], strict=True):
        assert encoded["labels"] == [1.0, *(0.0 for _ in group.negatives)]
        assert len(encoded["negative_input_ids"]) == len(group.negatives)
        assert len(encoded["positive_input_ids"]) > 2
    for group, encoded in zip(kept, found["reranker"], strict=True):
        assert encoded["labels"] == [*(1 for _ in group.positives), *(0 for _ in group.negatives)]
        assert len(encoded["input_ids"]) == len(encoded["labels"])
