"""Tiny cross-encoders, and a server that scores as it is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))
sys.path.insert(0, str(Path(__file__).parents[1] / "endpoints"))

import tiny_models

from negmine.errors import NegmineError


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_cross_encoder(tmp_path_factory.mktemp("models") / "reranker")


@pytest.fixture
def fails() -> Callable[..., Any]:
    """Expect an error with an exit code."""

    def expect(match: str, code: int = 4) -> Any:
        return pytest.raises(NegmineError, match=match, check=lambda error: error.exit_code == code)

    return expect
