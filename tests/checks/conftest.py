"""The command line, and the small runs of tests/comparing."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "comparing"))

import pytest
from comparable_runs import Call, Result, write

from negmine.cli import main as cli_main
from negmine.cli import options
from negmine.cli.console import Console


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data that runs are made on. Not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    write(folder)
    return folder


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """``call("check", "-c", path)``: exit code, stdout, stderr."""
    monkeypatch.setattr(cli_main.signal, "signal", lambda number, handler: None)

    def run(*words: object) -> Result:
        monkeypatch.setattr(options, "_console", Console())
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli_main.main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Result(int(stop.value.code or 0), out, err)

    return run
