"""A judge on loopback, and a small run whose truth it knows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "endpoints"))
sys.path.insert(0, str(Path(__file__).parents[1] / "integrity"))

from chat_server import ChatServer
from judged_run import Data, is_relevant

import negmine
from negmine.errors import NegmineError
from negmine.stages.export import describing
from negmine.web import client


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is asked without a detour, and retries do not take long."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(client, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(describing, "can_draw", lambda: False)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    started = ChatServer(is_relevant)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that is mined; it is copied, never changed."""
    server = ChatServer(is_relevant)
    data = Data(tmp_path_factory.mktemp("mined"), server)
    negmine.run(data.without_judge(), until="mine")
    server.stop()
    return data.folder


@pytest.fixture
def data(tmp_path: Path, server: ChatServer, mined: Path) -> Data:
    return Data(tmp_path, server, mined)


@pytest.fixture
def fails() -> Callable[..., Any]:
    """Expect an error with an exit code."""

    def expect(match: str, code: int) -> Any:
        return pytest.raises(NegmineError, match=match, check=lambda error: error.exit_code == code)

    return expect
