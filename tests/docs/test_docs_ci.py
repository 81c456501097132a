"""README's CI job and cron line, run as they are written."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from junitparser import JUnitXml
from ruamel.yaml import YAML

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
BLOCKS = [YAML(typ="safe").load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", README, re.M | re.S)]
CHECKS = next(block["checks"] for block in BLOCKS if list(block) == ["checks"])
STEPS = {step.get("name"): step for block in BLOCKS if "jobs" in block for step in block["jobs"]["mine"]["steps"]}
CRON = re.search(r"^15 2 \* \* \*  (.*)$", README, re.M)
DOCUMENTS, QUERIES = 12, 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project whose run keeps README's checks, with a ``negmine`` as after an installation."""
    vectors = np.random.default_rng(0).standard_normal((DOCUMENTS, 8)).astype(np.float32)
    np.save(tmp_path / "corpus.npy", vectors)
    np.save(tmp_path / "queries.npy", vectors[:QUERIES] + 0.1)
    for name, rows in (
        ("corpus", [{"_id": f"d{i}", "text": f"passage {i}"} for i in range(DOCUMENTS)]),
        ("pairs", [{"anchor": f"query {i}", "positive": f"passage {i}"} for i in range(QUERIES)]),
    ):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    configure(tmp_path, CHECKS)
    tool = tmp_path / ".venv" / "bin" / "negmine"
    tool.parent.mkdir(parents=True)
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m negmine "$@"\n')
    tool.chmod(0o755)
    return tmp_path


def configure(folder: Path, checks: dict[str, Any]) -> None:
    config = {
        "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
        "embed": {"vectors": {"corpus": "corpus.npy", "queries": "queries.npy"}},
        "filter": {"num_negatives": 2, "risk": None},
        "checks": checks,
    }
    (folder / "negmine.yaml").write_text(json.dumps(config))


def shell(script: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{folder}/.venv/bin:/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    environment["HOME"] = str(folder)
    return subprocess.run(
        ["bash", *options, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def job(folder: Path) -> list[int]:
    """Exit codes of the job's own steps, in order, up to the first that fails; as GitHub runs them."""
    codes = []
    for name in ("Mine", "Check"):
        codes.append(shell(STEPS[name]["run"], folder, "-e").returncode)
        if codes[-1]:
            break
    return codes


@pytest.mark.slow
def test_docs_ci_job_runs_and_gates(folder: Path) -> None:
    """The job succeeds when the checks hold, and fails with 7 when they do not and 4 when the data are wrong."""
    assert job(folder) == [0, 0]
    (suite,) = JUnitXml.fromfile(str(folder / "checks.xml"))
    assert [case.name for case in suite] == list(CHECKS)
    configure(folder, {**CHECKS, "min_queries": 100})
    assert job(folder) == [0, 7]
    with (folder / "pairs.jsonl").open("a") as file:
        file.write("no json\n")
    assert job(folder) == [4]


@pytest.mark.slow
def test_docs_cron_line_runs_and_tells_failures(folder: Path) -> None:
    """The line is silent when all is well or another run is busy, and prints the end of the log when a run or a
    check fails."""
    assert CRON
    line = CRON[1].replace("/srv/mining", str(folder))
    good = shell(line, folder)
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    assert "min_yield" in (folder / "negmine.log").read_text()
    with (folder / "runs" / "negmine" / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        busy = shell(line, folder)
    assert (busy.returncode, busy.stdout) == (0, "")
    configure(folder, {**CHECKS, "min_queries": 100})
    failed = shell(line, folder)
    assert "error: 1 of 3 checks failed: min_queries" in failed.stdout
    (folder / "pairs.jsonl").unlink()
    assert "pairs.jsonl" in shell(line, folder).stdout
