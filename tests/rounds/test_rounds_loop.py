"""loop: rounds with a small real model; killed anywhere it ends with the same tables."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from static_model import write_project

from negmine.config import load_config
from negmine.evaluation import DEV, TEST, TRAIN, Experiment
from negmine.pipeline import status
from negmine.results import read_negatives
from negmine.rounds.looping import loop
from negmine.rounds.training import experiment_on_vectors, measured

Call = Callable[..., Any]
_PATIENCE = 240.0


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project after two rounds, and what the command printed."""
    folder = tmp_path_factory.mktemp("looped")
    write_project(folder)
    done = command(folder, "loop", "--rounds", "2", "--plot", "rounds.png")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "negmine", *words], cwd=folder, capture_output=True, text=True, env=_env(), check=False
    )


def _env() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def result(folder: Path) -> Any:
    """``result.json``, without where it lies."""
    text = (folder / "work" / "loop" / "result.json").read_text()
    return json.loads(text.replace(str(folder), ""))


@pytest.mark.slow
def test_two_rounds_are_measured_trained_and_mined(looped: tuple[Path, str]) -> None:
    """Each round has a checkpoint and a run of its own that is current; the table and the figure tell of them."""
    folder, out = looped
    found = result(folder)
    assert [each["number"] for each in found["rounds"]] == [0, 1, 2]
    for number in (1, 2):
        place = folder / "work" / "loop" / f"round-{number}"
        config = load_config(place / "negmine.yaml")
        assert config.embed.model == str(place / "model")
        assert {stage.state for stage in status(config)} == {"current"}
        row = found["rounds"][number]
        assert row["mined"]["negatives"] == read_negatives(config).num_rows
        assert row["dev"]["ndcg@10"] == pytest.approx(measured(config, DEV)[:, 0].mean())
        assert 0 < row["mined"]["churn"] <= 1
    assert found["rounds"][2]["dev"]["ndcg@10"] > found["rounds"][0]["dev"]["ndcg@10"]
    assert found["best"] == 2
    assert found["checkpoint"] == found["rounds"][2]["model"]
    best = load_config(folder / "work" / "loop" / "round-2" / "negmine.yaml")
    assert found["test"]["best"]["ndcg@10"] == pytest.approx(measured(best, TEST)[:, 0].mean())
    assert "The best checkpoint is that of round 2" in out
    assert "better than the first model" in out
    assert (folder / "rounds.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_says_the_same(looped: tuple[Path, str], tmp_path: Path) -> None:
    """What is there is read, and a third round goes on from the second."""
    folder = tmp_path / "again"
    shutil.copytree(looped[0], folder)
    before = _written(folder)
    done = command(folder, "loop", "--rounds", "2")
    assert done.returncode == 0, done.stderr
    assert "train: started" not in done.stderr
    assert done.stdout.replace(str(folder), "") == looped[1].replace(str(looped[0]), "")
    assert _written(folder) == before


def _written(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("model/*") if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["training", "trained", "embedding", "mining"])
def test_killed_in_the_middle_of_round_two_it_ends_with_the_same_tables(
    looped: tuple[Path, str], tmp_path: Path, moment: str
) -> None:
    """kill -9 while round 2 trains, after it, while it embeds or mines: the same command ends with the same output."""
    folder = tmp_path / "killed"
    folder.mkdir()
    for name in ("pairs.jsonl", "corpus.jsonl", "negmine.yaml", "models"):
        source = looped[0] / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
    second = folder / "work" / "loop" / "round-2"
    happened = {
        "training": second.is_dir,
        "trained": (second / "model").is_dir,
        "embedding": lambda: bool(list(second.glob("run/.pending/*"))) or (second / "run" / "embed").is_dir(),
        "mining": (second / "run" / "index").is_dir,
    }[moment]
    process = subprocess.Popen(
        [sys.executable, "-m", "negmine", "loop", "--rounds", "2"],
        cwd=folder, env=_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    limit = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < limit, "round 2 is not reached"
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "work" / "loop" / "result.json").exists()
    done = command(folder, "loop", "--rounds", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace(str(folder), "") == looped[1].replace(str(looped[0]), "")
    assert result(folder) == result(looped[0])


@pytest.mark.slow
def test_it_stops_where_dev_does_not_improve(tmp_path: Path) -> None:
    """Training that does nothing ends the loop after one round, and the first model stays the best."""
    config = load_config(write_project(tmp_path), ["evaluate.learning_rates=[0.000000001]", "evaluate.steps=2"])
    found = loop(config, 3)
    assert len(found.rounds) == 2
    assert found.stopped == "dev did not improve in round 1"
    assert found.best == 0
    assert found.checkpoint == str(tmp_path / "models" / "words")
    assert found.difference is None
    assert not (tmp_path / "work" / "loop" / "round-1" / "run" / "filter").exists()


@pytest.mark.slow
def test_other_negatives_are_trained_on_anew(looped: tuple[Path, str], tmp_path: Path) -> None:
    """A checkpoint counts only for the negatives, arguments and seed that it was trained with."""
    folder = tmp_path / "other"
    shutil.copytree(looped[0], folder)
    done = command(folder, "loop", "--rounds", "1", "--set", "filter.num_negatives=1")
    assert "train: started" in done.stderr
    known = command(folder, "loop", "--rounds", "1", "--set", "filter.num_negatives=1")
    assert "train: started" not in known.stderr
    done = command(folder, "loop", "--rounds", "1", "--set", "filter.num_negatives=1", "--set",
                   "train.arguments={weight_decay: 0.1}")  # fmt: skip
    assert "train: started" in done.stderr


@pytest.mark.slow
def test_no_query_of_dev_or_test_is_trained_on(looped: tuple[Path, str]) -> None:
    """Rows of a round are those of training queries, on the same sides in every round."""
    sides = []
    for path in ("negmine.yaml", "work/loop/round-1/negmine.yaml"):
        of = experiment_on_vectors(load_config(looped[0] / path))
        sides.append(of.material.sides)
        assert isinstance(of, Experiment)
        assert set(of.material.sides[of.material.train[0]]) == {TRAIN}
    assert np.array_equal(*sides)


def test_what_cannot_loop_is_told(project: Path, call: Call) -> None:
    """Ready vectors, a word that means nothing: one line, before any work."""
    vectors = call("loop", "--set", "embed={vectors: {corpus: a.npy, queries: b.npy}}")
    assert vectors.code == 3
    assert "no model to train" in vectors.err
    start = call("loop", "--start", "middle")
    assert start.code == 2
    assert "last or first" in start.err
    assert not (project / "work").exists()


@pytest.mark.slow
def test_what_the_trainer_does_not_know_is_told(project: Path, call: Call) -> None:
    """A misspelt argument of the trainer, and a folder that is a URL, are errors before any work."""
    url = call("loop", "--set", "work_dir=memory://bucket/run")
    assert url.code == 2
    assert "this one is a URL" in url.err
    argument = call("loop", "--set", "train.arguments={warmup_ration: 0.1}")
    assert argument.code == 3
    assert "warmup_rat" in argument.err
    assert not (project / "work").exists()
