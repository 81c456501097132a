"""A model that is not whole is refused, and not made up for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from tiny_models import TEXTS

from negmine.encoders.load_report import LoadReport
from negmine.encoders.model_check import check_model
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder, Settings
from negmine.errors import InputError


@pytest.fixture
def model(bert_model: Path, tmp_path: Path) -> Path:
    """A copy of a whole model, to be spoilt."""
    return Path(shutil.copytree(bert_model, tmp_path / "model"))


def weights(model: Path) -> Path:
    return next(model.rglob("model.safetensors"))


def without(model: Path, *parts: str) -> None:
    tensors = load_file(weights(model))
    save_file({k: v for k, v in tensors.items() if not any(p in k for p in parts)}, weights(model), {"format": "pt"})


def test_missing_weights_are_not_made_up(model: Path) -> None:
    without(model, "attention")
    with pytest.raises(InputError, match=r"files lack \d+ weights of its architecture \(the first is '.*attention"):
        SentenceTransformerEncoder(model, Settings(device="cpu"))


def test_a_missing_pooler_does_not_matter(model: Path) -> None:
    """No embedding model reads it, and many are saved without it."""
    before = SentenceTransformerEncoder(model, Settings(device="cpu")).encode_queries(TEXTS)
    without(model, "pooler")
    after = SentenceTransformerEncoder(model, Settings(device="cpu")).encode_queries(TEXTS)
    assert (before == after).all()


def test_a_model_without_a_vocabulary_is_refused_before_it_is_loaded(model: Path) -> None:
    for path in [*model.rglob("vocab.txt"), *model.rglob("tokenizer.json")]:
        path.unlink()
    with pytest.raises(InputError, match="the model has no tokenizer"):
        check_model(model)


def test_a_model_without_pooling_gives_no_vectors(model: Path) -> None:
    modules = json.loads((model / "modules.json").read_text())
    kept = [module for module in modules if not module["type"].endswith("Pooling")]
    (model / "modules.json").write_text(json.dumps(kept))
    with pytest.raises(InputError, match="it has no pooling"):
        SentenceTransformerEncoder(model, Settings(device="cpu")).encode_queries(TEXTS)


@pytest.mark.parametrize(
    "text",
    [
        "Some weights of X were not initialized from the model checkpoint at m and are newly initialized:"
        " ['a.weight', 'pooler.dense.bias']\nYou should probably TRAIN",
        "\x1b[1mX LOAD REPORT\x1b[0m from: m\na.weight | MISSING |\npooler.dense.bias | MISSING |\nb | UNEXPECTED |",
    ],
)
def test_both_forms_of_the_report_are_understood(text: str) -> None:
    import logging

    report = LoadReport()
    report.emit(logging.LogRecord("x", logging.WARNING, "", 0, text, None, None))
    assert report.missing == ["a.weight"]
