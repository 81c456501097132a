"""Backends other than torch: what happens without their packages, and that they give torch's vectors."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models

from negmine.encoders import model_check
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder, Settings
from negmine.errors import ConfigError, MissingDependencyError

PACKAGES = {"onnx": ("onnxruntime", "optimum"), "openvino": ("openvino", "optimum")}


def backend(name: str) -> str:
    for package in PACKAGES[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed (pip install 'negmine[{name}]')")
    return name


def encode(folder: Path, **settings: object) -> np.ndarray:
    return SentenceTransformerEncoder(folder, Settings(**settings)).encode_passages(tiny_models.TEXTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_backend_without_its_package_ends_with_code_8_and_names_the_extra(
    name: str, bert_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_check.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(MissingDependencyError, match="negmine\\[" + name) as caught:
        SentenceTransformerEncoder(bert_model, Settings(backend=name))
    assert caught.value.exit_code == 8


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_that_do_not_fit_together_end_with_code_8(
    name: str, bert_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_check.importlib.util, "find_spec", lambda module: object())
    module = {"onnx": "optimum.onnxruntime", "openvino": "optimum.intel.openvino"}[name]
    monkeypatch.setitem(sys.modules, module.split(".")[0], None)
    with pytest.raises(MissingDependencyError, match="do not fit together"):
        SentenceTransformerEncoder(bert_model, Settings(backend=name))


def test_the_onnx_error_names_the_version_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_check.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(MissingDependencyError, match="transformers 4"):
        model_check.check_backend("onnx")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_precision_that_the_backend_cannot_have_is_refused(name: str, bert_model: Path) -> None:
    with pytest.raises(ConfigError, match="precision of its own model file"):
        SentenceTransformerEncoder(bert_model, Settings(backend=name, dtype="float16"))


def test_openvino_on_a_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="on the processor only"):
        model_check.check_device("cuda", "openvino")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_backend_gives_the_vectors_of_torch(name: str, bert_model: Path) -> None:
    assert np.abs(encode(bert_model, backend=backend(name), threads=1) - encode(bert_model)).max() < 1e-4


@pytest.mark.parametrize("name", PACKAGES)
def test_a_backend_applies_limits_and_prompts(name: str, bert_model: Path) -> None:
    settings = {"max_seq_length": 7, "truncate_dim": 12, "document_prompt_name": "title", "normalize": False}
    close = np.abs(encode(bert_model, backend=backend(name), **settings) - encode(bert_model, **settings))
    assert close.max() < 1e-3


@pytest.mark.parametrize("name", PACKAGES)
def test_export_on_load_writes_nothing_into_the_model_folder(name: str, bert_model: Path) -> None:
    backend(name)
    before = {path: path.stat().st_mtime_ns for path in bert_model.rglob("*")}
    encode(bert_model, backend=name)
    assert {path: path.stat().st_mtime_ns for path in bert_model.rglob("*")} == before


@pytest.mark.parametrize("name", PACKAGES)
def test_export_on_load_prints_nothing(name: str, bert_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    backend(name)
    capfd.readouterr()
    encode(bert_model, backend=name)
    assert capfd.readouterr() == ("", "")
