"""The embed stage with a model: which texts are encoded, where vectors go, what makes them stale."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models

import negmine
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder


def embed_status(config: Any) -> Any:
    return next(status for status in negmine.status(config) if status.stage == "embed")


@pytest.fixture
def own_model(data: Any, static_model: Path) -> Path:
    """A copy of the model that a test may change."""
    data.model = Path(shutil.copytree(static_model, data.folder / "model"))
    return data.model


def test_vectors_are_those_of_sentence_transformers(bert: Any) -> None:
    from sentence_transformers import SentenceTransformer

    bert.run()
    model = SentenceTransformer(str(bert.model), device="cpu")
    passages = model.encode_document(list(bert.corpus.values()), normalize_embeddings=True)
    queries = model.encode_query(bert.queries, normalize_embeddings=True)
    assert np.abs(bert.vectors() - passages).max() < 1e-5
    assert np.abs(bert.vectors("queries") - queries).max() < 1e-5


def test_vectors_stand_in_the_order_of_the_corpus(data: Any) -> None:
    data.run(part_rows=7)
    assert data.ids() == list(data.corpus)


def test_a_title_goes_before_the_text(data: Any) -> None:
    from sentence_transformers import SentenceTransformer

    data.write()
    data._lines("corpus.jsonl", [{"_id": key, "text": text, "title": "depot"} for key, text in data.corpus.items()])
    negmine.run(data.config(), until="embed")
    expected = SentenceTransformer(str(data.model), device="cpu").encode(
        [f"depot {text}" for text in data.corpus.values()], normalize_embeddings=True
    )
    assert np.abs(data.vectors()[: len(expected)] - expected).max() < 1e-5


def test_equal_texts_are_embedded_once(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data.corpus |= {"copy1": data.corpus["d3"], "copy2": data.corpus["d3"]}
    data.queries.append(data.queries[0])
    seen: list[str] = []
    for method in ("encode_passages", "encode_queries"):
        real = getattr(SentenceTransformerEncoder, method)
        monkeypatch.setattr(
            SentenceTransformerEncoder,
            method,
            lambda self, texts, progress, real=real: seen.extend(texts) or real(self, texts),
        )
    manifest = data.run()
    assert len(seen) == len(set(seen)) == manifest.counts["vectors"] == 62


@pytest.mark.parametrize("threads", [2, "auto"])
def test_the_number_of_threads_changes_no_byte(threads: Any, bert: Any) -> None:
    bert.run("one", threads=1)
    bert.run("many", threads=threads)
    assert bert.bytes("one") == bert.bytes("many")


def test_a_part_does_not_depend_on_what_is_in_other_parts(bert: Any) -> None:
    bert.run("small", part_rows=25)
    first = bert.bytes("small")["corpus/part-00000.parquet"]
    bert.corpus = dict(list(bert.corpus.items())[:25]) | {f"n{i}": f"new {'long ' * i}" for i in range(40)}
    bert.run("large", part_rows=25)
    assert bert.bytes("large")["corpus/part-00000.parquet"] == first


def test_finished_parts_survive_an_interruption_and_are_not_made_again(
    bert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert.run("whole", part_rows=10)
    calls: list[int] = []
    real = SentenceTransformerEncoder.encode_passages

    def fragile(self: Any, texts: list[str], progress: Any) -> np.ndarray:
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, texts)

    monkeypatch.setattr(SentenceTransformerEncoder, "encode_passages", fragile)
    with pytest.raises(KeyboardInterrupt):
        bert.run("broken", part_rows=10)
    status = embed_status(bert.config("broken", part_rows=10))
    assert (status.state, status.tasks_done, status.tasks) == ("partial", 2, 7)
    bert.run("broken", part_rows=10)
    assert len(calls) == 3 + 3
    assert bert.bytes("broken") == bert.bytes("whole")


def test_store_dtype_float16_halves_the_vectors(data: Any) -> None:
    data.run("single")
    data.run("half", store_dtype="float16")
    assert data.vectors(work_dir="half").dtype == np.float16
    assert (data.vectors(work_dir="half") == data.vectors(work_dir="single").astype(np.float16)).all()


def test_values_too_large_for_float16_are_refused(data: Any, fails: Any) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(modules=tiny_models.static_modules(), device="cpu")
    model[0].embedding.weight.data *= 1e6
    model.save_pretrained(str(data.folder / "large"), create_model_card=False)
    data.model = data.folder / "large"
    with fails("too large for float16"):
        data.run(store_dtype="float16", normalize=False)


def test_the_similarity_and_the_dimension_are_in_the_manifest(data: Any) -> None:
    assert data.run("a").facts == {"similarity": "cosine", "dimension": 16}
    assert data.run("b", normalize=False, truncate_dim=4).facts == {"similarity": "dot", "dimension": 4}


def test_a_model_that_yields_nan_is_refused_with_the_id(data: Any, fails: Any) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(modules=tiny_models.static_modules(), device="cpu")
    model[0].embedding.weight.data[:] = float("nan")
    model.save_pretrained(str(data.folder / "nan"), create_model_card=False)
    data.model = data.folder / "nan"
    with fails("NaN or Infinity for doc_id 'd0'"):
        data.run()


# Errors before ingest


def nothing_ingested(data: Any) -> bool:
    return not (data.folder / "run" / "ingest").exists()


@pytest.mark.parametrize(
    ("embed", "message", "code"),
    [
        ({"device": "cuda:97"}, "there is no device 'cuda:97' here", 3),
        ({"model": "./absent"}, "does not exist", 4),
        ({"model": "package://no_such_package/model"}, "is not installed", 8),
    ],
)
def test_what_is_not_there_stops_the_run_before_ingest(
    embed: Any, message: str, code: int, data: Any, fails: Any
) -> None:
    with fails(message, code):
        data.run(**embed)
    assert nothing_ingested(data)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_backend_without_its_package_stops_the_run_before_ingest(
    backend: str, data: Any, fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("negmine.encoders.model_check.importlib.util.find_spec", lambda module: None)
    with fails(rf"negmine\[{backend}\]", 8):
        data.run(backend=backend)
    assert nothing_ingested(data)


def test_a_folder_without_a_model_stops_the_run_before_ingest(data: Any, fails: Any) -> None:
    data.model = data.folder
    with fails("this folder holds no model"):
        data.run()
    assert nothing_ingested(data)


def test_damaged_weights_stop_the_run_before_ingest(data: Any, own_model: Path, fails: Any) -> None:
    file = own_model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with fails("the weights are damaged"):
        data.run()
    assert nothing_ingested(data)


def test_a_finished_run_goes_on_where_its_device_is_not_to_be_had(data: Any) -> None:
    data.run()
    result = negmine.run(data.config(device="cuda:97"), until="embed")
    assert [stage.state for stage in result.stages] == ["current", "current"]


# Staleness


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config_sentence_transformers.json"])
def test_a_changed_file_of_the_model_makes_embed_stale_and_is_named(name: str, data: Any, own_model: Path) -> None:
    data.run()
    with (own_model / name).open("ab") as file:
        file.write(b" ")
    status = embed_status(data.config())
    assert status.state == "stale"
    assert name in status.why


def test_new_weights_under_the_same_path_are_embedded_anew(data: Any, own_model: Path) -> None:
    data.run()
    before = data.vectors()
    shutil.rmtree(own_model)
    tiny_models.save_static(own_model, seed=5)
    data.run()
    assert np.abs(data.vectors() - before).max() > 0.1


def test_a_changed_readme_keeps_embed_current(data: Any, own_model: Path) -> None:
    data.run()
    (own_model / "README.md").write_text("better words")
    (own_model / "onnx").mkdir()
    (own_model / "onnx" / "model.onnx").write_text("for another backend")
    assert embed_status(data.config()).state == "current"


def test_the_same_model_in_another_folder_keeps_embed_current(data: Any, own_model: Path) -> None:
    data.run()
    data.model = own_model.rename(own_model.with_name("moved"))
    assert embed_status(data.config()).state == "current"


# Output of a run


def test_a_run_in_a_pipe_shows_no_output_of_the_libraries(bert: Any) -> None:
    bert.write()
    file = bert.folder / "c.yaml"
    file.write_text(
        f"work_dir: run\ndata: {{pairs: pairs.jsonl, corpus: corpus.jsonl}}\nembed: {{model: {bert.model}}}\n"
        "filter: {num_negatives: 1}\nexport:\n  - {format: triplet, file: train.jsonl}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "negmine", "run", "-c", str(file)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    for noise in ("Loading weights", "it/s", "Warning:", "Batches", "huggingface", "\r"):
        assert noise not in done.stdout + done.stderr
