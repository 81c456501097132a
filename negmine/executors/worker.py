"""What a worker process on another machine does: it does tasks by name and leaves their files in
the run's folder, which all machines share."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import pickle
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from negmine.config import Config, EngineConfig
from negmine.errors import ArtifactError, InputError, MissingDependencyError, NegmineError
from negmine.executors.local import limit_threads
from negmine.stages import STAGES
from negmine.stages.base import Job, Output, Task
from negmine.store.digests import file_digest
from negmine.store.manifest import Receipt
from negmine.store.workdir import MANIFEST, Pending, WorkDir

SETTLE_SECONDS = 90.0
"""How long a network file system may show a machine what another one has replaced: Linux's NFS
client remembers a folder for up to 60 seconds."""

_DECIDING = ("numpy", "pyarrow", "faiss-cpu", "sentence-transformers", "transformers", "torch")


def versions() -> dict[str, str]:
    """Versions of what decides the bytes of a file: local labels such as ``+cpu`` do not count."""
    import negmine

    found = {"negmine": negmine.__version__}
    for name in _DECIDING:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name).partition("+")[0]
    return found


@dataclass(frozen=True)
class Lease:
    """The right of one worker to publish, which its driver can withdraw: a file in the run's folder.

    It also shows that driver and worker see the same folder.
    """

    path: Path

    def grant(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.path.name, "ascii")

    def revoke(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def holds(self) -> bool:
        # The file is opened, not looked for: that makes network file systems ask their server.
        with contextlib.suppress(OSError):
            return self.path.read_text("ascii") == self.path.name
        return False

    @staticmethod
    def folder(work_dir: Path) -> Path:
        """Where the leases of a run are. Without it, no worker publishes any more."""
        return work_dir / ".cache" / "workers"

    def check(self) -> None:
        """Raises ArtifactError when this worker was given up."""
        if not self.holds():
            raise ArtifactError(
                "this worker may not publish any more: its run has ended or gave it up", where=str(self.path)
            )


@dataclass(frozen=True)
class Order:
    """A stage as the driver sees it: where it is built, and what it is made from.

    ``manifests`` are digests of the manifests of finished stages; ``identity`` is what the stage
    says of the files it needs, when it runs a model.
    """

    stage: str
    pending: Path
    manifests: Mapping[str, str]
    identity: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, stage: str, job: Job) -> Order:
        config, known = job.config, list(STAGES)
        earlier = known[: known.index(stage) + 1]
        found = {name: job.work.stage(name) / MANIFEST for name in earlier}
        runs_model = STAGES[stage].runs_model(config)
        return cls(
            stage,
            job.pending.path,
            {name: file_digest(path) for name, path in found.items() if path.exists()},
            STAGES[stage].identity(config, job.work.digests) if runs_model else None,
        )


@dataclass(frozen=True)
class _LeasedPending(Pending):
    lease: Lease

    def keep(self, receipt: Receipt) -> None:
        self.lease.check()
        super().keep(receipt)


class _LeasedJob(Job):
    """A job whose files appear only while the worker holds its lease.

    What a lost worker goes on with can so not take the place of what another one did meanwhile.
    """

    def __init__(self, config: Config, work: WorkDir, order: Order, lease: Lease) -> None:
        super().__init__(config, work, _LeasedPending(order.pending, work.digests, lease))
        self._lease = lease

    @contextlib.contextmanager
    def publish(self, path: str) -> Iterator[Output]:
        self._lease.check()
        with super().publish(path) as output:
            yield output
            self._lease.check()


class Worker:
    """Holds one stage at a time: its models and vectors stay loaded from task to task.

    Methods return what went wrong instead of raising it, so that an error arrives as it was.
    """

    def __init__(self, config: Config, lease: Lease, versions_of_driver: Mapping[str, str], gpus: float) -> None:
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # those of the machine belong to others
        threads = config.engine.cpus_per_worker
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
        self._config = config.model_copy(update={"engine": EngineConfig(), "threads": threads})
        self._lease, self._versions = lease, versions_of_driver
        self._work: WorkDir | None = None
        self._job: Job | None = None
        self._stage = ""

    def begin(self, order: Order) -> BaseException | None:
        """Get ready for the tasks of a stage."""
        return _returned(lambda: self._begin(order))

    def execute(self, task: Task) -> Receipt | BaseException:
        """Do a task of the stage that was begun."""
        return _returned(lambda: self._execute(task))

    def _begin(self, order: Order) -> None:
        self._job = None
        if self._work is None:
            self._arrive()
        assert self._work is not None
        for name, digest in order.manifests.items():
            path = self._work.stage(name) / MANIFEST
            if not _wait(lambda path=path, digest=digest: _digest(path) == digest, SETTLE_SECONDS):  # type: ignore[misc]
                raise ArtifactError(
                    f"{_machine()} sees another file there than the machine that drives the run",
                    where=str(path),
                    hint="work_dir must be on one file system that all machines share.",
                )
        stage = STAGES[order.stage]
        if order.identity is not None:
            stage.check(self._config, None)
            if stage.identity(self._config, self._work.digests) != order.identity:
                raise InputError(
                    f"the files of the model are others on {_machine()} than on the machine that drives the run",
                    where="embed.model",
                    hint="Use a model on the shared file system, or the same embed.revision on all machines.",
                )
        self._stage, self._job = order.stage, _LeasedJob(self._config, self._work, order, self._lease)

    def _arrive(self) -> None:
        if not _wait(self._lease.holds, 10.0):
            raise InputError(
                f"{_machine()} does not see this folder: what the driver wrote into it is not there",
                where=str(self._config.work_dir),
                hint="work_dir must be on a file system that all machines share, under the same path.",
            )
        own = versions()
        for name, version in self._versions.items():
            if own.get(name) != version:
                raise MissingDependencyError(
                    f"{_machine()} has {name} {own.get(name, 'not installed')}, the machine that drives the run"
                    f" has {version}: their files could differ",
                    hint="Install the same packages on all machines.",
                )
        limit_threads(int(self._config.threads))
        threadpool_limits(int(self._config.threads))
        self._work = WorkDir(Path(self._config.work_dir))

    def _execute(self, task: Task) -> Receipt:
        assert self._job is not None
        return self._job.execute(STAGES[self._stage], task)


def _returned(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:
        return portable(error)


def portable(error: Exception) -> Exception:
    """The error as another process can load it; one that is not expected tells where it arose."""
    if not isinstance(error, NegmineError | OSError):
        error.add_note("In a worker:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _wait(settled: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes true within ``seconds``."""
    limit = time.monotonic() + seconds
    while not (true := settled()) and time.monotonic() < limit:
        time.sleep(0.2)
    return true


def _digest(path: Path) -> str:
    with contextlib.suppress(OSError):
        return file_digest(path)
    return ""


def _machine() -> str:
    return f"the machine {platform.node()}"
