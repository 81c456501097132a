"""One writer per run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from negmine.errors import LockedError


@contextlib.contextmanager
def writing(work_dir: Path) -> Iterator[None]:
    """Hold the run's lock. The kernel frees it when the holder dies, however it dies.

    Raises LockedError that says who holds it since when.
    """
    path = work_dir / ".lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(
                f"another negmine command is writing to this run ({_holder(path)})",
                where=str(work_dir),
                hint="Wait for it to end, or use another work_dir.",
            ) from error
        command = " ".join(["negmine", *sys.argv[1:2]])
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": command}
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only its label is missing
            os.truncate(file.fileno(), 0)
            os.write(file.fileno(), json.dumps(holder).encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.truncate(file.fileno(), 0)


def writer_of(work_dir: Path) -> str | None:
    """Who writes to the run at this moment, and since when; None if nobody does, or a process of another machine."""
    path = work_dir / ".lock"
    try:
        holder = json.loads(path.read_text("utf-8"))
        if holder["host"] != socket.gethostname():
            return None
        os.kill(holder["pid"], 0)
    except PermissionError:  # it is there, and another user's
        return _holder(path)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _holder(path)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text("utf-8"))
        return f"{holder['command']}, process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError):
        return "it started this moment"
