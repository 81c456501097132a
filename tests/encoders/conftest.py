"""Tiny models shared by the tests of encoders."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models


@pytest.fixture(scope="session")
def static_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_static(tmp_path_factory.mktemp("models") / "static")


@pytest.fixture(scope="session")
def bert_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with prompts of its own."""
    prompts = {"query": "query: ", "document": "passage: ", "title": "the title is "}
    return tiny_models.save_bert(tmp_path_factory.mktemp("models") / "bert", prompts=prompts)


@pytest.fixture(scope="session")
def router_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_router(tmp_path_factory.mktemp("models") / "router")
