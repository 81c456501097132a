"""Ctrl-C, a polite end and a kill in the middle of a stage: what was finished is not done again."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_run import command, environment, litter, make_run, negmine, run_files, tasks_run

DRIVER = Path(__file__).parent / "slow_negmine.py"
ENDINGS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated"), signal.SIGKILL: (-9, "")}
QUICK = {(signal.SIGKILL, "mine"), (signal.SIGINT, "embed")}


@dataclass
class Base:
    config: Path
    tasks: dict[str, int]
    files: dict[str, Any]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """Data, and what an uninterrupted run makes of them."""
    folder = tmp_path_factory.mktemp("signals")
    config = make_run(folder, passages=60, queries=24, part_queries=3)
    text = config.read_text().replace("vectors: {corpus: corpus.npy, queries: queries.npy}", "model: ./model")
    config.write_text(text.replace("part_rows: 16", "part_rows: 8"))
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    finished = negmine("run", "--json", "-c", config, driver=DRIVER)
    return Base(config, tasks_run(finished), run_files(folder / "work"))


def receipts(work: Path, stage: str) -> int:
    return len(list(work.glob(f".pending/{stage}-*/.receipts/[!.]*.json")))


def interrupted(base: Base, work: Path, stage: str, number: signal.Signals) -> tuple[int, str]:
    """Exit code and stderr of a run that got a signal when three tasks of ``stage`` were done."""
    words = command("run", "-c", base.config, "--set", f"work_dir={work}", driver=DRIVER)
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment(NEGMINE_PAUSE="0.05")
    )
    limit = time.monotonic() + 60
    while receipts(work, stage) < 3:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit, "the run hangs"
        time.sleep(0.005)
    process.send_signal(number)
    return process.wait(60), process.communicate()[1]


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        pytest.param(number, stage, marks=[] if (number, stage) in QUICK else pytest.mark.slow)
        for number in ENDINGS
        for stage in ("embed", "mine")
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_only_missing_parts_are_computed_after_a_signal(
    base: Base, tmp_path: Path, stage: str, number: signal.Signals
) -> None:
    """The rerun does the tasks that have no receipt and ends with the bytes of an undisturbed run."""
    work = tmp_path / "work"
    interrupted(base, work, stage, number)
    done = receipts(work, stage)
    again = negmine("run", "--json", "-c", base.config, "--set", f"work_dir={work}", driver=DRIVER)
    assert 0 < tasks_run(again)[stage] == base.tasks[stage] - done
    assert run_files(work) == base.files
    assert not litter(work)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_the_run_with_its_code_and_one_line(base: Base, tmp_path: Path, number: signal.Signals) -> None:
    """The last line says what happened and that work is kept; there is no traceback."""
    code, text = interrupted(base, tmp_path / "work", "embed", number)
    expected, word = ENDINGS[number]
    said = [line for line in text.splitlines() if line and not line.startswith(("data:", "ingest:", "embed:"))]
    assert code == expected
    assert len(said) == 1
    assert said[0].startswith(word)


def test_an_interrupted_stage_is_partial(base: Base, tmp_path: Path) -> None:
    """`status` tells how many tasks are done."""
    work = tmp_path / "work"
    interrupted(base, work, "mine", signal.SIGKILL)
    done = receipts(work, "mine")
    said = negmine("status", "-c", base.config, "--set", f"work_dir={work}", driver=DRIVER).stdout
    line = next(line for line in said.splitlines() if line.strip().startswith("mine"))
    assert "partial" in line
    assert f"{done}/{base.tasks['mine']}" in line
