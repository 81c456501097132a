"""Vectors are taken over from the last run for the texts that are still there, and for no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny_models

import negmine
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that goes to a model."""
    found: list[str] = []
    for method in ("encode_passages", "encode_queries"):
        real = getattr(SentenceTransformerEncoder, method)
        monkeypatch.setattr(
            SentenceTransformerEncoder,
            method,
            lambda self, texts, progress, real=real: found.extend(texts) or real(self, texts, progress),
        )
    return found


def add(data: Any) -> list[str]:
    data.corpus["new"] = "a truck waits at the depot"
    return ["a truck waits at the depot"]


def change(data: Any) -> list[str]:
    data.corpus["d30"] = data.corpus["d30"] + " and more"
    return [data.corpus["d30"]]


def remove(data: Any) -> list[str]:
    del data.corpus["d40"]
    return []


def reverse(data: Any) -> list[str]:
    data.corpus = dict(reversed(data.corpus.items()))
    return []


def rename(data: Any) -> list[str]:
    data.corpus = {f"x{key}": text for key, text in data.corpus.items()}
    return []


def ask(data: Any) -> list[str]:
    data.queries[3] = "where is the depot"
    return ["where is the depot"]


@pytest.mark.parametrize("edit", [add, change, remove, reverse, rename, ask])
@pytest.mark.parametrize("store", ["float32", "float16"])
def test_only_new_texts_are_embedded_and_the_bytes_are_those_of_a_fresh_run(
    edit: Callable[[Any], list[str]], store: str, bert: Any, seen: list[str]
) -> None:
    bert.run(part_rows=16, store_dtype=store)
    seen.clear()
    new = edit(bert)
    manifest = bert.run(part_rows=16, store_dtype=store)
    assert seen == new
    texts = len(bert.corpus) + len(bert.queries)
    assert (manifest.counts["vectors"], manifest.counts["reused"]) == (texts, texts - len(new))
    fresh = bert.run("fresh", part_rows=16, store_dtype=store)
    assert fresh.counts["reused"] == 0
    assert bert.bytes() == bert.bytes("fresh")
    assert manifest.facts == fresh.facts


def test_other_parts_take_over_everything_without_a_model(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data.run(part_rows=16, normalize=False)
    data.run("fresh", part_rows=9, normalize=False)
    monkeypatch.setattr("negmine.stages.embed.stage.load_encoder", lambda config: pytest.fail("the model was loaded"))
    manifest = data.run(part_rows=9, normalize=False)
    assert manifest.counts["reused"] == manifest.counts["vectors"]
    assert manifest.facts["similarity"] == "dot"
    assert data.bytes() == data.bytes("fresh")


@pytest.mark.parametrize(
    "settings",
    [
        {"query_prompt": "ask: "},
        {"document_prompt": "read: "},
        {"document_prompt_name": "query"},
        {"dtype": "bfloat16"},
        {"max_seq_length": 9},
        {"truncate_dim": 8},
        {"normalize": False},
        {"store_dtype": "float16"},
        {"batch_size": 3},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_vector_made_otherwise_is_not_taken_over(settings: dict[str, Any], bert: Any) -> None:
    bert.run()
    assert bert.run(**settings).counts["reused"] == 0
    bert.run("fresh", **settings)
    assert bert.bytes() == bert.bytes("fresh")


def test_other_weights_in_the_same_folder_take_nothing_over(data: Any, static_model: Path) -> None:
    data.model = Path(shutil.copytree(static_model, data.folder / "model"))
    data.run()
    shutil.rmtree(data.model)
    tiny_models.save_static(data.model, seed=5, similarity_fn_name="dot")
    assert data.run().counts["reused"] == 0


def test_other_versions_of_the_libraries_take_nothing_over(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data.run()
    add(data)
    monkeypatch.setattr("negmine.stages.earlier.importlib.metadata.version", lambda name: "99.0")
    assert data.run().counts["reused"] == 0


def test_the_vector_of_a_passage_is_none_of_a_query(bert: Any) -> None:
    """The model has a prompt of its own for each."""
    bert.run()
    bert.queries[0], bert.corpus["q"] = bert.corpus["d3"], bert.queries[0]
    assert bert.run().counts["reused"] == len(bert.corpus) + len(bert.queries) - 2
    bert.run("fresh")
    assert bert.bytes() == bert.bytes("fresh")


def test_a_damaged_file_of_the_last_run_is_not_taken_over(data: Any, seen: list[str]) -> None:
    data.run(part_rows=10)
    path = data.parts()[2]
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    seen.clear()
    new = add(data)
    data.run(part_rows=10)
    assert sorted(seen) == sorted([*list(data.corpus.values())[20:30], *new])
    data.run("fresh", part_rows=10)
    assert data.bytes() == data.bytes("fresh")


def test_vectors_that_name_no_texts_are_made_again(data: Any) -> None:
    """A run of the user's own vectors is followed by one of a model."""
    np.save(data.folder / "corpus.npy", np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32))
    np.save(data.folder / "queries.npy", np.random.default_rng(1).standard_normal((12, 16)).astype(np.float32))
    data.run(vectors={"corpus": "corpus.npy", "queries": "queries.npy"})
    assert "text_digest" not in pq.read_schema(data.parts()[0]).names
    assert data.run().counts["reused"] == 0
    data.run("fresh")
    assert data.bytes() == data.bytes("fresh")


@pytest.mark.parametrize("at", [1, 2, 4])
def test_an_interrupted_run_over_an_earlier_one_goes_on(at: int, bert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed at the ``at``-th call of the model; what was finished before is not done again."""
    bert.run(part_rows=8)
    for number in (1, 9, 17, 33, 47):
        bert.corpus[f"d{number}"] += " again"
    calls: list[int] = []
    real = SentenceTransformerEncoder.encode_passages

    def fragile(self: Any, texts: list[str], progress: Any) -> np.ndarray:
        calls.append(len(texts))
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(self, texts, progress)

    monkeypatch.setattr(SentenceTransformerEncoder, "encode_passages", fragile)
    with pytest.raises(KeyboardInterrupt):
        bert.run(part_rows=8)
    manifest = bert.run(part_rows=8)
    assert calls == [1] * 6
    assert manifest.counts["reused"] == len(bert.corpus) + len(bert.queries) - 5
    bert.run("fresh", part_rows=8)
    assert bert.bytes() == bert.bytes("fresh")


def test_the_summary_says_how_many_vectors_were_reused(data: Any) -> None:
    from negmine.cli.outcomes import outcome

    data.run()
    add(data)
    data.write()
    result = negmine.run(data.config(), until="embed")
    assert outcome(result.stages[-1].manifest) == "63 vectors, 62 of them reused"
