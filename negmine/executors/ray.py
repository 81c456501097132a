"""Tasks on the machines of a Ray cluster, handed out one by one as workers come free."""

from __future__ import annotations

import contextlib
import importlib.util
import queue
import shutil
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from negmine.config import Config
from negmine.errors import ConfigError, MissingDependencyError, NegmineError
from negmine.executors.cluster import connected, reason
from negmine.executors.local import LocalExecutor
from negmine.executors.worker import Lease, Order, Worker, versions
from negmine.stages.base import Job, Stage, Task
from negmine.store.manifest import Receipt

_TICK = 5.0
"""Seconds after which the cluster is looked at again: machines may have come or gone."""
_PATIENCE = 600.0
"""Seconds without any worker after which the run gives up."""


class _Need(NamedTuple):
    """What one worker reserves."""

    cpus: int
    gpus: float
    memory: int

    def __str__(self) -> str:
        gpus = f", {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.cpus} CPU{gpus} and {self.memory / 1e9:.1f} GB of memory"


@dataclass(eq=False)
class _Member:
    """A worker process: ``order`` is the stage it was told of, ``task`` what it does now."""

    actor: Any
    lease: Lease
    order: Order | None = None
    task: Task | None = None
    busy: bool = False
    arrived: bool = False


@dataclass
class _Pool:
    """The worker processes of one run, all alike."""

    config: Config
    need: _Need
    leases: Path
    members: list[_Member] = field(default_factory=list)
    answers: queue.SimpleQueue[tuple[_Member, Any]] = field(default_factory=queue.SimpleQueue)

    def room(self) -> int:
        """How many workers there may be: ``engine.workers``, or what the machines have room for."""
        if self.config.engine.workers != "auto":
            return self.config.engine.workers
        import ray

        found = 0
        for node in ray.nodes():
            has = node["Resources"] if node["Alive"] else {}
            room = min(has.get("CPU", 0) // self.need.cpus, has.get("memory", 0) // self.need.memory)
            if self.need.gpus:
                room = min(room, has.get("GPU", 0) // self.need.gpus)
            found += int(room)
        return found

    def hire(self) -> _Member:
        import ray

        cpus, gpus, memory = self.need
        lease = Lease(self.leases / uuid.uuid4().hex)
        lease.grant()
        actor = ray.remote(num_cpus=cpus, num_gpus=gpus, memory=memory, max_restarts=0)(Worker)
        member = _Member(actor.remote(self.config, lease, versions(), gpus), lease)
        self.members.append(member)
        return member

    def ask(self, member: _Member, work: Order | Task) -> None:
        """Give a worker something to do; its answer comes into ``answers``."""
        member.busy = True
        if isinstance(work, Order):
            member.order, member.task = work, None
            reference = member.actor.begin.remote(work)
        else:
            member.task = work
            reference = member.actor.execute.remote(work)
        # Waited for outside of Ray, so that signals reach this process's own handlers.
        reference.future().add_done_callback(lambda future: self.answers.put((member, future)))

    def dismiss(self, member: _Member) -> None:
        """End a worker. Whatever it still does, it publishes no more."""
        import ray

        member.lease.revoke()
        self.members.remove(member)
        with contextlib.suppress(Exception):
            ray.kill(member.actor)

    def close(self) -> None:
        for member in list(self.members):
            self.dismiss(member)


class RayExecutor:
    """Runs tasks in worker processes that Ray starts on its machines; see ``engine`` in the config.

    A phase of one task runs in this process, unless it needs a model. A connection that this process
    has to a cluster already is used. Raises MissingDependencyError when Ray is not installed.
    """

    def __init__(self, config: Config) -> None:
        if importlib.util.find_spec("ray") is None:
            raise MissingDependencyError(
                "the package ray is not installed", where="engine.kind", hint="Run: pip install 'negmine[ray]'"
            )
        self._config = config
        self._leases = Lease.folder(Path(config.work_dir))
        self._pool: _Pool | None = None
        self._connection: contextlib.ExitStack | None = None

    def run(self, stage: Stage, tasks: Sequence[Task], job: Job) -> Iterator[tuple[Task, Receipt]]:
        if not tasks:
            return
        if self._connection is None:
            self._connection = contextlib.ExitStack()
            self._connection.callback(shutil.rmtree, self._leases, ignore_errors=True)
            self._connection.enter_context(connected(self._config))
        if len(tasks) == 1 and not stage.runs_model(job.config):
            yield from LocalExecutor().run(stage, tasks, job)
            return
        need = self._need(stage)
        if self._pool is not None and self._pool.need != need:
            self._pool.close()
            self._pool = None
        if self._pool is None:
            self._pool = _Pool(self._config, need, self._leases)
        done = 0
        try:
            for result in _Distribution(self._pool, Order.of(stage.name, job), tasks).results():
                done += 1
                yield result
        finally:
            if done < len(tasks):
                self._pool.close()  # nothing of a failed run goes on

    def close(self) -> None:
        """End all workers, and the connection if it was made here."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _need(self, stage: Stage) -> _Need:
        engine, gpus = self._config.engine, 0.0
        if stage.runs_model(self._config):
            import ray

            encoders = (self._config.embed, *self._config.embed.others)
            on_gpu = any(encoder.device != "cpu" for encoder in encoders) and ray.cluster_resources().get("GPU", 0) >= 1
            gpus = float(on_gpu) if engine.gpus_per_worker == "auto" else float(engine.gpus_per_worker)
        return _Need(engine.cpus_per_worker, gpus, self._config.memory_limit)


class _Distribution:
    """Hands the tasks of one phase to the workers of a pool."""

    def __init__(self, pool: _Pool, order: Order, tasks: Sequence[Task]) -> None:
        self._pool, self._order = pool, order
        self._waiting = deque(tasks)
        self._open = len(tasks)
        self._lost: Counter[str] = Counter()
        self._failed_starts = 0
        self._retries = pool.config.engine.retries
        self._heard = self._look_again = time.monotonic()

    def results(self) -> Iterator[tuple[Task, Receipt]]:
        """Each task with its receipt when it is done. Raises what a task raised."""
        if self._pool.room() < 1:
            raise _no_room(self._pool.need)
        while self._open:
            self._staff()
            try:
                member, future = self._pool.answers.get(timeout=_TICK)
            except queue.Empty:
                self._be_patient()
                continue
            if member not in self._pool.members:
                continue
            self._heard = time.monotonic()
            answer = self._answer(member, future)
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, Receipt):
                task, member.task = member.task, None
                assert task is not None
                self._open -= 1
                self._staff()  # before the result is looked at, which takes time too
                yield task, answer

    def _staff(self) -> None:
        """Give every free worker something to do, and hire while there is room and work."""
        pool = self._pool
        for member in pool.members:
            if not member.busy and member.order != self._order:
                pool.ask(member, self._order)
            elif not member.busy and self._waiting:
                pool.ask(member, self._waiting.popleft())
        if len(pool.members) < self._open and time.monotonic() >= self._look_again:
            self._look_again = time.monotonic() + _TICK
            for _ in range(min(pool.room(), self._open) - len(pool.members)):
                pool.ask(pool.hire(), self._order)

    def _answer(self, member: _Member, future: Any) -> Any:
        """What a worker answered; None when it was lost or has only got ready."""
        import ray

        try:
            answer = future.result()
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            self._lose(member, error)
            return None
        member.busy = False
        if member.task is None and answer is None:
            member.arrived, self._failed_starts = True, 0
        return answer

    def _lose(self, member: _Member, error: Exception) -> None:
        """Give the task of a worker that is gone to another one."""
        self._pool.dismiss(member)
        self._look_again = time.monotonic()
        task, why = member.task, reason(error)
        if task is None:
            self._failed_starts += not member.arrived
            if self._failed_starts > self._retries:
                raise NegmineError(
                    f"no worker could start ({why})", hint="Is the same negmine installed on all machines?"
                ) from error
            return
        self._lost[task.name] += 1
        if self._lost[task.name] > self._retries:
            raise NegmineError(
                f"{self._order.stage}: the worker of task {task.name} was lost {self._lost[task.name]} times ({why})",
                hint="If memory was short, lower memory_limit or embed.part_rows, or set engine.workers."
                " What was finished is kept.",
            ) from error
        self._waiting.appendleft(task)

    def _be_patient(self) -> None:
        if any(member.arrived for member in self._pool.members):
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > _PATIENCE:
            raise NegmineError(
                f"the cluster has given no worker for {_PATIENCE / 60:.0f} minutes (one needs {self._pool.need})",
                hint="See what it is busy with: ray status. What was finished is kept.",
            )


def _no_room(need: _Need) -> ConfigError:
    return ConfigError(
        f"no machine of the cluster has room for a worker, which needs {need}",
        where="engine",
        hint="Lower engine.cpus_per_worker, engine.gpus_per_worker or memory_limit.",
    )
