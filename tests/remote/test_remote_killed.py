"""Killed at any moment, a run in a bucket is continued by a machine that has nothing but the config."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest
from small_run import environment, make_run, run_files

DRIVER = Path(__file__).parents[1] / "crash" / "slow_negmine.py"
KILLED = Path(__file__).parent / "killed_sending.py"
URL = "s3://bucket/run"


@pytest.fixture
def model_config(tmp_path: Path) -> Path:
    config = make_run(tmp_path, passages=40, queries=8, part_rows=5, part_queries=4)
    text = config.read_text()
    start = text.index("embed: ")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    config.write_text(text[:start] + f"embed: {{model: {model}, part_rows: 5}}\n" + text[text.index("mine: ") :])
    return config


def command(driver: Path, config: Path, machine: str, *more: str, **variables: str):  # type: ignore[no-untyped-def]
    words = [sys.executable, str(driver), "run", "-c", str(config), "--set", f"work_dir={URL}", "--json", *more]
    cache = {"NEGMINE_CACHE_DIR": str(config.parent / machine)}
    return {"args": words, "env": environment(**cache, **variables)}


def download(s3: fsspec.AbstractFileSystem, target: Path) -> Path:
    s3.invalidate_cache()
    for path in s3.find("bucket/run"):
        file = target / path.removeprefix("bucket/run/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(s3.cat_file(path))
    return target


def finished(config: Path, machine: str) -> dict[str, tuple[int, int]]:
    done = subprocess.run(**command(DRIVER, config, machine), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {stage["stage"]: (stage["tasks_run"], stage["tasks"]) for stage in json.loads(done.stdout)["stages"]}


def expected(config: Path) -> dict[str, dict[str, object]]:
    words = [sys.executable, str(DRIVER), "run", "-c", str(config)]
    subprocess.run(words, env=environment(), check=True, capture_output=True)
    return run_files(config.parent / "work")


@pytest.mark.slow
def test_killed_in_the_middle_of_embed(model_config: Path, s3: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    child = subprocess.Popen(
        **command(DRIVER, model_config, "first", NEGMINE_PAUSE="0.3"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            s3.invalidate_cache()
            receipts = [path for path in s3.find("bucket/run") if ".receipts/corpus~part" in path]
            if len(receipts) >= 2:
                break
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert len(receipts) >= 2
    run, tasks = finished(model_config, "second")["embed"]
    assert run <= tasks - 2
    assert run_files(download(s3, tmp_path / "there")) == expected(model_config)


@pytest.mark.slow
@pytest.mark.parametrize("at", ["1", "9", "14", "24", "40"])
def test_killed_in_the_middle_of_an_upload(
    model_config: Path, s3: fsspec.AbstractFileSystem, tmp_path: Path, at: str
) -> None:
    killed = subprocess.run(**command(KILLED, model_config, "first", KILL_AT=at), capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    finished(model_config, "second")
    assert run_files(download(s3, tmp_path / "there")) == expected(model_config)
