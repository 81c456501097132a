"""A server that misbehaves, an encoder that asks it, and runs that use it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from embedding_server import EmbeddingServer
from endpoint_run import Run

from negmine.encoders.endpoint import EndpointEncoder, Settings
from negmine.errors import NegmineError
from negmine.web import client


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is asked without a detour, and retries do not take long."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(client, "LONGEST_WAIT", 0.2)


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    started = EmbeddingServer()
    yield started
    started.stop()


@pytest.fixture
def encoder(server: EmbeddingServer) -> Iterator[Callable[..., EndpointEncoder]]:
    """An encoder that asks the server, with these settings."""
    made: list[EndpointEncoder] = []

    def build(**settings: Any) -> EndpointEncoder:
        made.append(EndpointEncoder(Settings(**{"url": server.url, "model": "m", "timeout": 5.0, **settings})))
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def fails() -> Callable[..., Any]:
    """Expect an error with an exit code."""

    def expect(match: str, code: int = 4) -> Any:
        return pytest.raises(NegmineError, match=match, check=lambda error: error.exit_code == code)

    return expect


@pytest.fixture
def a_run(tmp_path: Path, server: EmbeddingServer) -> Run:
    return Run(tmp_path, server)
