"""One writer per run on a store, where no kernel frees a lock: numbered files, of which the highest counts.

Who wants the lock creates the file of the next number, which only one can. It says who the holder is, and
the holder writes it anew as long as it lives. A released or lapsed one is never deleted before there is a
higher one, so numbers only rise and no two holders believe in different numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from negmine.errors import InputError, LockedError
from negmine.remote.objects import Objects

_FOLDER = ".locks"
_BEAT_SECONDS = 30.0
_LAPSE_SECONDS = 300.0
_READ_BACK_SECONDS = 3.0


class HeldLock:
    """The lock of a run while this process holds it."""

    def __init__(self, objects: Objects, number: int, record: dict[str, Any]) -> None:
        self._objects, self._number, self._record = objects, number, record
        self._lost = False

    def check(self) -> None:
        """Raises LockedError when another command took it over."""
        if not self._lost and max(_numbers(self._objects), default=0) > self._number:
            self._lost = True
        if self._lost:
            raise LockedError(
                "another command took this run over while this one gave no sign of life",
                where=self._objects.name,
                hint="What was finished is kept. Run this command again when that one has ended.",
            )

    def beat(self) -> None:
        """Show that the holder lives. A store that cannot be reached now may be the next time."""
        with contextlib.suppress(InputError, LockedError):
            self.check()
            self._write(beat=_now())

    def release(self) -> None:
        if not self._lost:
            with contextlib.suppress(InputError):
                self._write(beat=_now(), released=True)

    def _write(self, **new: Any) -> None:
        self._record |= new
        self._objects.write(_name(self._number), json.dumps(self._record).encode())


@contextlib.contextmanager
def holding(objects: Objects) -> Iterator[HeldLock]:
    """Hold the lock of the run below a URL.

    Raises LockedError that says who holds it, InputError when the store cannot be written to.
    """
    lock = _acquire(objects)
    ended = threading.Event()

    def live() -> None:
        while not ended.wait(_BEAT_SECONDS):
            lock.beat()

    thread = threading.Thread(target=live, name="negmine-lock", daemon=True)
    thread.start()
    try:
        yield lock
    finally:
        ended.set()
        thread.join()
        lock.release()


def _acquire(objects: Objects) -> HeldLock:
    known = _numbers(objects)
    highest = max(known, default=0)
    if known:
        _refuse_if_held(objects, highest)
    command = " ".join(["negmine", *sys.argv[1:2]])
    record = {"command": command, "pid": os.getpid(), "host": socket.gethostname(), "machine": _machine()}
    record |= {"since": _now(), "beat": _now(), "token": uuid.uuid4().hex, "released": False}
    content = json.dumps(record).encode()
    number = highest + 1
    won = objects.create(_name(number), content)
    if won and not objects.exclusive:  # two may have created it at the same moment: the last one counts
        threading.Event().wait(_READ_BACK_SECONDS)
        won = objects.read([_name(number)]).get(_name(number)) == content
    known = _numbers(objects)
    if not won or max(known, default=number) > number:
        if won:  # the number was free because a higher one made it so
            objects.remove([_name(number)])
        raise _locked(objects, _record(objects, max(known, default=number)))
    objects.remove(_name(old) for old in known if old < number)
    return HeldLock(objects, number, record)


def _refuse_if_held(objects: Objects, number: int) -> None:
    record = _record(objects, number)
    if record is None or record["released"]:
        return
    dead = record["machine"] == _machine() and not _lives(record["pid"])
    if not dead and _age(record) < _LAPSE_SECONDS:
        raise _locked(objects, record)


def _record(objects: Objects, number: int) -> dict[str, Any] | None:
    """What a lock says; None when it says nothing: its number alone counts then."""
    content = objects.read([_name(number)]).get(_name(number), b"")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        record: dict[str, Any] = json.loads(content)
        _age(record)
        if isinstance(record["pid"], int) and {"command", "host", "machine", "since", "released"} <= set(record):
            return record
    return None


def _locked(objects: Objects, record: dict[str, Any] | None) -> LockedError:
    cause = "another negmine command is writing to this run (it started this moment)"
    if record is not None:
        cause = (
            f"another negmine command is writing to this run ({record['command']}, process {record['pid']} on"
            f" {record['host']}, since {record['since']}, last sign of life {_age(record):.0f} s ago)"
        )
    hint = f"Wait for it to end, or use another work_dir. If it is dead, its lock lapses after {_LAPSE_SECONDS:.0f} s"
    return LockedError(cause, where=objects.name, hint=f"{hint}; to remove it at once, delete {objects.url(_FOLDER)}.")


def _numbers(objects: Objects) -> list[int]:
    stems = [name.removesuffix(".json") for name in objects.sizes(_FOLDER)]
    return [int(stem) for stem in stems if stem.isdecimal()]


def _name(number: int) -> str:
    return f"{_FOLDER}/{number:08d}.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _age(record: dict[str, Any]) -> float:
    """Seconds since the last sign of life, by the clocks of two machines."""
    return max((datetime.now(UTC) - datetime.fromisoformat(record["beat"])).total_seconds(), 0.0)


def _machine() -> str:
    """What tells machines and containers apart in which process numbers mean the same."""
    found = [socket.gethostname()]
    with contextlib.suppress(OSError):
        found.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        found.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(found)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
