"""A small run without a model: 12 documents, 6 queries, vectors that are given."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from negmine.cli import main as cli_main
from negmine.cli import options
from negmine.cli.console import Console

DOCUMENTS, QUERIES = 12, 6
CONFIG = """\
work_dir: work
data: {pairs: pairs.jsonl, corpus: corpus.jsonl}
embed: {vectors: {corpus: corpus.npy, queries: queries.npy}}
filter: {num_negatives: 2}
"""


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data and ``negmine.yaml``, which is the current one."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((DOCUMENTS, 8)).astype(np.float32)
    np.save(tmp_path / "corpus.npy", vectors)
    np.save(tmp_path / "queries.npy", vectors[:QUERIES] + 0.1)
    jsonl(tmp_path / "corpus.jsonl", [{"_id": f"d{i}", "text": f"passage {i}"} for i in range(DOCUMENTS)])
    jsonl(tmp_path / "pairs.jsonl", [{"anchor": f"query {i}", "positive": f"passage {i}"} for i in range(QUERIES)])
    (tmp_path / "negmine.yaml").write_text(CONFIG, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Result]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Calls the command line in this process: ``call("run", "--json")``."""
    monkeypatch.setattr(options, "_console", Console())
    monkeypatch.setattr(cli_main.signal, "signal", lambda number, handler: None)

    def run(*arguments: str) -> Result:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli_main.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    yield run
    options._console = Console()


@pytest.fixture
def process() -> Call:
    """Calls the command line in a process of its own, with pipes for its output."""

    def run(*arguments: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "negmine", *arguments], capture_output=True, text=True, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def finished(project: Path, call: Call) -> Path:
    """The project after a run."""
    assert call("run", "-q").code == 0
    return project
