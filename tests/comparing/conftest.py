"""The command line in this process, and two finished runs on the same data."""

from __future__ import annotations

from pathlib import Path

import pytest
from comparable_runs import Call, Result, finished, write

from negmine.cli import main as cli_main
from negmine.cli import options
from negmine.cli.console import Console


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """``call("diff", a, b)``: exit code, stdout, stderr."""
    monkeypatch.setattr(cli_main.signal, "signal", lambda number, handler: None)

    def run(*words: object) -> Result:
        monkeypatch.setattr(options, "_console", Console())
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli_main.main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Result(int(stop.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data that runs are made on. Not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    write(folder)
    return folder


@pytest.fixture(scope="session")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work_dir of a run without any rule. Not to be changed."""
    return finished(data, tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="session")
def margin(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of a run with a margin of 5%. Not to be changed."""
    return finished(data, tmp_path_factory.mktemp("runs") / "margin", {"relative_margin": 0.05})
