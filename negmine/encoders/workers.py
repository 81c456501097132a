"""A model on several devices: a process for each, that Sentence Transformers starts and talks to.

Every device is a pool of one process, and a thread here hands it one call of the model after the
other, so that a batch stays the batch that one device would be given. The processes end with
``Workers.close``, after any error, and within a second when the process that started them is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from typing import Any, Generic, TypeVar

import numpy as np

from negmine.encoders.loading import first_line
from negmine.errors import InputError, NegmineError

C = TypeVar("C")
_TICK = 1.0
"""Seconds between two looks whether the processes are still there."""


class Workers:
    """A process per entry of ``devices``, each with a copy of the model."""

    def __init__(self, model: Any, devices: Sequence[str]) -> None:
        """``model``: a ``SentenceTransformer``, which is on the processor from then on."""
        import torch

        self._model, self._devices = model, tuple(devices)
        self._pools: list[Any] = []
        self._threads: list[threading.Thread] = []
        model.negmine_worker = _Prepared(os.getpid(), max(torch.get_num_threads() // len(self._devices), 1))
        try:
            with _unheard_interrupts():
                for device in self._devices:
                    self._pools.append(model.start_multi_process_pool([device]))
        except BaseException as error:
            self.close()
            if isinstance(error, Exception):  # no room to share, a model that cannot be sent
                raise InputError(
                    f"the worker processes cannot be started ({type(error).__name__}: {first_line(error)})",
                    where="embed.device",
                    hint="They share the model's weights in /dev/shm, which must have room for them;"
                    " or name a single device.",
                ) from error
            raise
        finally:
            del model.negmine_worker

    def map(self, encode: Callable[[Any, C], np.ndarray], calls: Sequence[C]) -> Iterator[tuple[C, np.ndarray]]:
        """Each call with ``encode(pool, call)``, as they get done; ``pool`` is that of a free device.

        An error, also of the caller between two results, ends the processes. Raises what ``encode``
        raises, and NegmineError when a process ended by itself.
        """
        work = _Work(deque(calls), queue.SimpleQueue())
        self._threads = [threading.Thread(target=work.serve, args=(pool, encode), daemon=True) for pool in self._pools]
        try:
            for thread in self._threads:
                thread.start()
            for _ in range(len(calls)):
                yield self._next(work)
        except BaseException:
            work.given_up = True
            self.close()
            raise

    def _next(self, work: _Work[C]) -> tuple[C, np.ndarray]:
        while True:
            try:
                found = work.answers.get(timeout=_TICK)
            except queue.Empty:
                found = None
            if isinstance(found, tuple):
                return found
            # A failed call may be the consequence of a process that is gone, or that is just about to be.
            if isinstance(found, (OSError, EOFError)):
                self._await_ending()
            for device, process in zip(self._devices, self._processes(), strict=True):
                if not process.is_alive():
                    raise _gone(device, process.exitcode) from found
            if found is not None:
                raise found

    def _await_ending(self) -> None:
        """Wait up to a second for one that ends: it closes its files, also what tells of its end, before it is gone."""
        closed = connection.wait([process.sentinel for process in self._processes()], timeout=_TICK)
        for process in self._processes():
            if process.sentinel in closed:
                process.join()

    def _processes(self) -> list[Any]:
        return [process for pool in self._pools for process in pool["processes"]]

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        pools, self._pools = self._pools, []
        for pool in pools:
            for process in pool["processes"]:
                process.terminate()
        until = time.monotonic() + 3 * _TICK
        for thread in self._threads:  # each sees before long that nothing is to come any more
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0))
        self._threads = []
        for pool in pools:
            self._model.stop_multi_process_pool(pool)


@dataclass
class _Work(Generic[C]):
    """Calls that wait for a free device, and what came of the others."""

    waiting: deque[C]
    answers: queue.SimpleQueue[tuple[C, np.ndarray] | BaseException]
    given_up: bool = False

    def serve(self, pool: Any, encode: Callable[[Any, C], np.ndarray]) -> None:
        try:
            while not self.given_up:
                try:
                    call = self.waiting.popleft()
                except IndexError:
                    return
                self.answers.put((call, encode(pool, call)))
        except BaseException as error:
            if not self.given_up:
                self.answers.put(error)


def _gone(device: str, code: int | None) -> NegmineError:
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    if how == "exit code 1":  # it could not even start
        hint = "A Python script that runs negmine on several devices must do so under: if __name__ == '__main__'."
    else:
        hint = "Processes are killed for want of memory: try fewer devices or a smaller embed.batch_size."
    return NegmineError(f"the worker process of device '{device}' ended ({how})", where="embed.device", hint=hint)


@contextlib.contextmanager
def _unheard_interrupts() -> Iterator[None]:
    """Processes started meanwhile never see Ctrl-C: the one that started them ends them."""
    resource_tracker.ensure_running()  # starting it would undo the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class _Prepared:
    """Travels with the model, and prepares the process that it arrives in."""

    parent: int
    threads: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self.parent, self.threads)


def _arrive(parent: int, threads: int) -> _Prepared:
    if os.getpid() != parent:
        import torch
        from tqdm import tqdm
        from transformers.utils import logging as transformers_log

        # Its own lock is a semaphore of the system, which a process that is ended does not give back.
        tqdm.set_lock(threading.RLock())
        torch.set_num_threads(threads)
        warnings.simplefilter("ignore")
        transformers_log.set_verbosity_error()
        logging.getLogger("sentence_transformers").setLevel(logging.CRITICAL)  # errors are told where they arrive
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    return _Prepared(parent, threads)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_TICK)
    os._exit(1)
