"""Runs on a cluster of two machines: the bytes of a local run, whatever gets lost on the way."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import slow_worker
from clusters import Collection, Machines
from small_run import command, environment, litter, negmine, run_files, tasks_run

from negmine.config import load_config
from negmine.errors import InputError, NegmineError
from negmine.executors import RayExecutor
from negmine.pipeline import run

DRIVER = Path(slow_worker.__file__)


def receipts(work: Path, stage: str) -> int:
    return len(list(work.glob(f".pending/{stage}-*/.receipts/[!.]*.json")))


def wait_for(work: Path, stage: str, tasks: int) -> None:
    limit = time.monotonic() + 120
    while receipts(work, stage) < tasks:
        assert time.monotonic() < limit, "the run hangs"
        time.sleep(0.01)


def assert_as_local(collection: Collection, file: Path, work: Path) -> None:
    assert run_files(work) == collection.expected[file]
    assert not litter(work)
    assert not (work / ".cache" / "workers").exists()


def test_a_run_on_a_cluster_has_the_bytes_of_a_local_one(
    machines: Machines, collection: Collection, tmp_path: Path
) -> None:
    """Every file of every stage, with the engine chosen in the config."""
    config = collection.config(collection.file, tmp_path, machines.address)
    result = run(config)
    assert {stage.state for stage in result.stages} == {"done"}
    assert_as_local(collection, collection.file, tmp_path)
    assert {stage.state for stage in run(config).stages} == {"current"}


def test_the_command_prints_nothing_of_ray(machines: Machines, collection: Collection, tmp_path: Path) -> None:
    """stdout is the JSON object, stderr the progress."""
    overrides = [f"work_dir={tmp_path}", "engine.kind=ray", f"engine.address='{machines.address}'"]
    words = [word for override in overrides for word in ("--set", override)]
    done = negmine("run", "--json", "-c", collection.file, *words)
    assert tasks_run(done)["mine"] == 9
    assert done.stdout.count("\n") == 1
    told = {line.partition(":")[0] for line in done.stderr.splitlines()}
    assert told == {"data", "ingest", "embed", "index", "mine", "filter", "export"}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["embed", "mine"])
def test_a_lost_machine_costs_its_task_only(
    machines: Machines, collection: Collection, tmp_path: Path, stage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The machine goes while it works; the other one does what it left."""
    slow_worker.connect(machines.address, TEST_PAUSE="0.3")
    capfd.readouterr()
    work = tmp_path / "work"

    def lose() -> None:
        wait_for(work, stage, 3)
        machines.lose_one()

    thread = threading.Thread(target=lose)
    thread.start()
    run(collection.config(collection.with_model, work, machines.address))
    thread.join()
    assert_as_local(collection, collection.with_model, work)


@pytest.mark.slow
@pytest.mark.parametrize("then", ["ray", "local"])
def test_a_killed_driver_is_continued(machines: Machines, collection: Collection, tmp_path: Path, then: str) -> None:
    """Only the tasks without a receipt are done again, on a cluster or here."""
    work = tmp_path / "work"
    given = ["-c", collection.with_model, "--set", f"work_dir={work}"]
    on_ray = ["--set", "engine.kind=ray", "--set", f"engine.address='{machines.address}'"]
    variables = environment(TEST_CLUSTER=machines.address, TEST_PAUSE="0.3")
    words = command("run", "--json", *given, *on_ray, driver=DRIVER)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=variables)
    wait_for(work, "mine", 3)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    done = receipts(work, "mine")
    more = on_ray if then == "ray" else []
    variables = environment(TEST_CLUSTER=machines.address)
    again = subprocess.run(
        command("run", "--json", *given, *more, driver=DRIVER),
        capture_output=True,
        text=True,
        env=variables,
        check=False,
    )
    assert tasks_run(again)["embed"] == 0
    assert 0 < tasks_run(again)["mine"] <= 9 - done
    assert_as_local(collection, collection.with_model, work)


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
    ids=lambda number: getattr(number, "name", None),
)
def test_a_signal_ends_a_run_on_a_cluster_as_it_ends_a_local_one(
    machines: Machines, collection: Collection, tmp_path: Path, number: signal.Signals
) -> None:
    """With its exit code and one line."""
    work = tmp_path / "work"
    words = ["run", "-c", collection.with_model, "--set", f"work_dir={work}", "--set", "engine.kind=ray"]
    variables = environment(TEST_CLUSTER=machines.address, TEST_PAUSE="0.3")
    process = subprocess.Popen(
        command(*words, driver=DRIVER), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=variables
    )
    wait_for(work, "embed", 2)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 128 + number
    last = next(line for line in said if not line.startswith(("data:", "ingest:", "embed:")))
    assert last.startswith(("interrupted", "terminated"))


def test_an_error_of_a_task_arrives_as_it_was(machines: Machines, collection: Collection, tmp_path: Path) -> None:
    """Type, message and remedy are those of the local run."""
    overrides = ["filter.on_shortage=error", "filter.relative_margin=0.9"]
    with pytest.raises(InputError, match="has 0 negatives") as local:
        run(load_config(collection.file, [f"work_dir={tmp_path / 'local'}", "mine.k=5", *overrides]))
    config = collection.config(collection.file, tmp_path / "ray", machines.address, "mine.k=5", *overrides)
    with pytest.raises(InputError, match="has 0 negatives") as there:
        run(config)
    assert type(there.value) is type(local.value)
    assert there.value.hint == local.value.hint
    assert there.value.exit_code == 4


def test_a_deadly_task_fails_the_run_after_some_tries(
    machines: Machines, collection: Collection, tmp_path: Path
) -> None:
    """It does not take one worker after the other for ever; what was done stays."""
    slow_worker.connect(machines.address, TEST_DEADLY="corpus/part-00002")
    config = collection.config(collection.with_model, tmp_path, machines.address, "engine.retries=1")
    with pytest.raises(NegmineError, match="the worker of task corpus/part-00002 was lost 2 times"):
        run(config)
    assert not (tmp_path / ".cache" / "workers").exists()


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_folder_says_so(
    machines: Machines, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends before any task with what must be shared."""
    monkeypatch.setattr("negmine.executors.worker.Lease.grant", lambda lease: None)
    config = collection.config(collection.with_model, tmp_path, machines.address)
    with pytest.raises(InputError, match="does not see this folder") as error:
        run(config)
    assert "all machines share" in str(error.value)


def test_too_large_a_worker_is_refused(machines: Machines, collection: Collection, tmp_path: Path) -> None:
    """No machine has the CPUs: that is said at once, not waited for."""
    config = collection.config(collection.with_model, tmp_path, machines.address, "engine.cpus_per_worker=64")
    with pytest.raises(NegmineError, match=r"no machine of the cluster has room for a worker, which needs 64 CPU"):
        run(config)


def test_phases_of_one_task_stay_here(machines: Machines, collection: Collection, tmp_path: Path) -> None:
    """A run whose phases have one task each starts no worker."""
    executor = RayExecutor(collection.config(collection.file, tmp_path, machines.address))
    config = collection.config(collection.file, tmp_path, machines.address)
    started: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("negmine.executors.ray._Pool.hire", started.append)
        run(config, until="index", executor=executor)
    executor.close()
    assert started == []
