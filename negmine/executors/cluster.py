"""The connection of this process to a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from negmine.config import Config
from negmine.errors import ConfigError, MissingDependencyError

_STORE_BYTES = 80 * 2**20
"""Size of Ray's object store: nothing but small messages goes through it."""


@contextlib.contextmanager
def connected(config: Config) -> Iterator[None]:
    """A connection to the cluster of ``engine.address``, which prints nothing.

    Raises ConfigError when there is no such cluster.
    """
    for name, value in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")):
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            f"the package ray cannot be imported ({error})", hint="Run: pip install 'negmine[ray]'"
        ) from error
    if ray.is_initialized():
        with silence():
            yield
        return
    address = config.engine.address
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == "local":
        cpus = None if config.threads == "auto" else config.threads
        options |= {"include_dashboard": False, "num_cpus": cpus, "object_store_memory": _STORE_BYTES}
    elif address != "auto":
        _reachable(address)
    with silence(), contextlib.ExitStack() as stack:
        with _own_signal_handlers():
            try:
                ray.init(address=address, **options)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise _no_cluster(address, reason(error)) from error
        stack.callback(ray.shutdown)
        yield


def _no_cluster(address: str, why: str) -> ConfigError:
    if address == "auto":
        return ConfigError(
            f"there is no Ray cluster that runs on this machine ({why})",
            where="engine.address",
            hint="Start one with: ray start --head, or set engine.address: local.",
        )
    return ConfigError(
        f"the cluster '{address}' cannot be used ({why})", where="engine.address", hint="See: ray status"
    )


def _reachable(address: str) -> None:
    """Ray itself would try for a minute."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, getattr(error, "strerror", None) or str(error)) from error


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep the handlers of this process: Ray puts its own in their place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep Ray's reports of lost machines and workers, which it prints to stdout, out of the command's output.

    They come at any time after the connection is made, also of what was lost before it.
    """
    from ray._private import worker

    printed = getattr(worker, "print_to_stdstream", None)
    if printed is None:
        yield
        return
    worker.print_to_stdstream = lambda *data, **named: None
    try:
        yield
    finally:
        worker.print_to_stdstream = printed


def reason(error: Exception) -> str:
    """What a long message of Ray says at its end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200].rstrip(".") if lines else type(error).__name__
