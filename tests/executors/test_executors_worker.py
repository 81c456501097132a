"""What a worker process does, without a cluster: leases, errors on their way, what it refuses."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from small_run import make_run

from negmine.config import Config, load_config
from negmine.errors import (
    ArtifactError,
    CheckFailedError,
    ConfigError,
    InputError,
    LockedError,
    MissingDependencyError,
    NegmineError,
    StaleError,
    UsageError,
    Where,
)
from negmine.executors import worker as workers
from negmine.executors.worker import Lease, Order, Worker, portable, versions
from negmine.pipeline import run
from negmine.pipeline.states import made_from
from negmine.stages import STAGES
from negmine.stages.base import Job
from negmine.store.manifest import Receipt, digest_of
from negmine.store.workdir import WorkDir

KINDS = (
    ArtifactError,
    CheckFailedError,
    ConfigError,
    InputError,
    LockedError,
    MissingDependencyError,
    NegmineError,
    StaleError,
    UsageError,
)


@pytest.mark.parametrize("kind", KINDS)
def test_an_expected_error_arrives_whole(kind: type[NegmineError]) -> None:
    """Type, text, place, remedy, snippet and exit code."""
    error = kind("it broke", where=Where("a.jsonl", line=3, column=4), hint="Mend it.", snippet="{")
    there = pickle.loads(pickle.dumps(portable(error)))
    assert type(there) is kind
    assert (str(there), there.where, there.hint, there.snippet) == (str(error), error.where, "Mend it.", "{")
    assert there.exit_code == kind.exit_code


def test_an_error_of_the_file_system_arrives_whole() -> None:
    """The command line names its file."""
    there = pickle.loads(pickle.dumps(portable(OSError(28, "No space left on device", "/data/x"))))
    assert (there.errno, there.strerror, there.filename) == (28, "No space left on device", "/data/x")


def test_an_unexpected_error_tells_where_it_arose() -> None:
    """One that cannot be pickled becomes one that can."""

    class LocalError(Exception):
        pass

    for error, kind in ((ValueError("odd"), ValueError), (LocalError("odd"), RuntimeError)):
        try:
            raise error
        except Exception as raised:
            there = pickle.loads(pickle.dumps(portable(raised)))
        assert type(there) is kind
        assert "test_executors_worker.py" in "".join([str(there), *getattr(there, "__notes__", [])])


class Stage:
    """``mine`` of a small run that is finished up to index, and a worker for it."""

    def __init__(self, folder: Path) -> None:
        self.config: Config = load_config(make_run(folder, passages=40, queries=12, part_rows=20, part_queries=4))
        run(self.config, until="index")
        self.work = WorkDir(Path(self.config.work_dir))
        upstream = {name: self.work.manifest(name) for name in ("ingest", "embed", "index")}
        now = made_from(STAGES["mine"], self.config, self.work, upstream)  # type: ignore[arg-type]
        self.job = Job(self.config, self.work, self.work.pending("mine", digest_of(now)))
        self.job.pending.path.mkdir(parents=True)
        self.order = Order.of("mine", self.job)
        self.tasks = next(iter(STAGES["mine"].phases(self.job)))
        self.lease = Lease(self.work.root / ".cache" / "workers" / "one")
        self.lease.grant()
        self.worker = Worker(self.config, self.lease, versions(), 0)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(workers, "SETTLE_SECONDS", 0.1)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "1")  # so that it is put back
    for name in ("limit_threads", "threadpool_limits"):
        monkeypatch.setattr(workers, name, lambda threads: None)
    return Stage(tmp_path)


def test_a_worker_leaves_what_the_driver_would(stage: Stage) -> None:
    """A run takes its parts over."""
    assert stage.worker.begin(stage.order) is None
    answer = stage.worker.execute(stage.tasks[1])
    assert isinstance(answer, Receipt)
    assert stage.job.pending.receipts() == {stage.tasks[1].name: answer}
    result = {r.stage: r for r in run(stage.config).stages}["mine"]
    assert result.tasks_run == result.tasks - 1


@pytest.mark.parametrize("moment", ["before", "meanwhile"])
def test_without_its_lease_a_worker_publishes_nothing(
    stage: Stage, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was withdrawn before the task or while its files were written."""
    assert stage.worker.begin(stage.order) is None
    if moment == "before":
        stage.lease.revoke()
    else:
        real = STAGES["mine"].execute

        class Slow(type(STAGES["mine"])):  # type: ignore[misc]
            def execute(self, task: object, job: Job) -> object:
                publish = job.publish

                def revoking(path: str) -> object:
                    stage.lease.revoke() if path.startswith("positives") else None
                    return publish(path)

                job.publish = revoking  # type: ignore[assignment,method-assign]
                return real(task, job)  # type: ignore[arg-type]

        monkeypatch.setitem(STAGES, "mine", Slow())
    answer = stage.worker.execute(stage.tasks[0])
    assert isinstance(answer, ArtifactError)
    assert "may not publish" in str(answer)
    assert [path for path in stage.job.pending.path.rglob("*") if path.is_file()] == []


def test_a_manifest_that_is_another_here_is_refused(stage: Stage) -> None:
    """A machine that sees an older state of the folder does not compute from it."""
    path = stage.work.stage("embed") / "manifest.json"
    path.write_bytes(path.read_bytes() + b"\n")
    answer = stage.worker.begin(stage.order)
    assert isinstance(answer, ArtifactError)
    assert "sees another file there" in str(answer)


def test_other_packages_on_a_machine_are_refused(stage: Stage) -> None:
    """Another Arrow would write other bytes."""
    worker = Worker(stage.config, stage.lease, {**versions(), "pyarrow": "1.0"}, 0)
    answer = worker.begin(stage.order)
    assert isinstance(answer, MissingDependencyError)
    assert "has pyarrow" in str(answer)


def test_local_labels_of_versions_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch for CPUs and for GPUs is one version."""
    monkeypatch.setattr(workers.importlib.metadata, "version", lambda name: "2.13.0+cpu")
    assert versions()["torch"] == "2.13.0"
