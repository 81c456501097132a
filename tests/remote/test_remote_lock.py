"""Two machines never write to the same run at once, and a dead one is no reason to wait for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from negmine.config import load_config
from negmine.errors import LockedError
from negmine.pipeline import run
from negmine.remote import held, objects
from negmine.remote.held import holding
from negmine.remote.objects import Objects

URL = "memory://shelf/run"


def opened(url: str = URL) -> Objects:
    return Objects(url, lambda text: None)


def locks(files: fsspec.AbstractFileSystem, folder: str = "/shelf/run") -> dict[str, dict[str, object]]:
    files.invalidate_cache()
    return {path.rpartition("/")[2]: json.loads(files.cat_file(path)) for path in files.find(f"{folder}/.locks")}


def leave(memory: MemoryFileSystem, *, number: int = 4, age: float = 0.0, **other: object) -> None:
    """The lock of another machine, with its last sign of life ``age`` seconds ago."""
    beat = (datetime.now(UTC) - timedelta(seconds=age)).isoformat(timespec="seconds")
    record = {"command": "negmine run", "pid": 1, "host": "far", "machine": "far", "since": beat, "beat": beat}
    content = json.dumps({**record, "token": "t", "released": False, **other})
    memory.pipe_file(f"/shelf/run/.locks/{number:08d}.json", content.encode())


def test_a_held_lock_refuses_others_and_says_who_holds_it(memory: MemoryFileSystem) -> None:
    with holding(opened()):
        held_by = rf"process {os.getpid()} on .*delete memory://shelf/run/.locks"
        with pytest.raises(LockedError, match=held_by) as caught, holding(opened()):
            pass
        assert caught.value.exit_code == 6
    with holding(opened()):
        pass
    assert [lock["released"] for lock in locks(memory).values()] == [True]


def contended(attempts: int) -> int:
    """How many of so many that try at the same moment get the lock, while nobody gives it back."""
    start, refused, ended = threading.Barrier(attempts), threading.Semaphore(0), threading.Event()

    def attempt() -> bool:
        start.wait()
        try:
            with holding(opened()) as lock:
                ended.wait(10)
                lock.check()
                return True
        except LockedError:
            refused.release()
            return False

    with ThreadPoolExecutor(attempts) as pool:
        futures = [pool.submit(attempt) for _ in range(attempts)]
        for _ in range(attempts - 1):
            assert refused.acquire(timeout=10)
        ended.set()
        return sum(future.result() for future in futures)


def test_of_many_at_once_one_gets_it(memory: MemoryFileSystem) -> None:
    assert [contended(6) for _ in range(10)] == [1] * 10


def test_a_lock_without_a_sign_of_life_lapses(memory: MemoryFileSystem) -> None:
    leave(memory, age=200)
    told = r"on far, .*last sign of life 20\d s ago.*lapses after 300 s"
    with pytest.raises(LockedError, match=told), holding(opened()):
        pass
    leave(memory, age=301)
    with holding(opened()):
        assert list(locks(memory)) == ["00000005.json"]


def test_a_released_or_unreadable_lock_is_no_lock(memory: MemoryFileSystem) -> None:
    leave(memory, released=True)
    with holding(opened()):
        pass
    memory.pipe_file("/shelf/run/.locks/00000009.json", b"{")
    with holding(opened()):
        assert list(locks(memory)) == ["00000010.json"]


def test_who_died_on_this_machine_is_not_waited_for(memory: MemoryFileSystem) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leave(memory, machine=held._machine(), pid=dead.pid)
    with holding(opened()):
        pass
    leave(memory, number=20, machine=held._machine(), pid=os.getppid())
    with pytest.raises(LockedError), holding(opened()):
        pass


def test_the_holder_shows_that_it_lives(memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "_BEAT_SECONDS", 0.02)
    monkeypatch.setattr(held, "_now", lambda: "2031-01-01T00:00:00+00:00")
    beaten = threading.Event()
    real = held.HeldLock.beat

    def beat(self: held.HeldLock) -> None:
        real(self)
        beaten.set()

    monkeypatch.setattr(held.HeldLock, "beat", beat)
    with holding(opened()):
        (name,) = locks(memory)
        memory.pipe_file(f"/shelf/run/.locks/{name}", b"{}")
        beaten.clear()
        assert beaten.wait(5)
        assert beaten.wait(5)
        assert locks(memory)[name]["pid"] == os.getpid()


def test_a_run_that_was_taken_over_commits_nothing(
    config: Path, memory: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGMINE_CACHE_DIR", str(tmp_path / "machine"))
    asked = load_config(config, [f"work_dir={URL}"])
    run(asked, until="ingest")
    before = {path: memory.cat_file(path) for path in memory.find("/shelf/run/ingest")}
    real = held.HeldLock.check

    def check(self: held.HeldLock) -> None:
        leave(memory, number=1000)
        real(self)

    monkeypatch.setattr(held.HeldLock, "check", check)
    with pytest.raises(LockedError, match="took this run over"):
        run(load_config(config, [f"work_dir={URL}", "data.on_bad_row=skip"]))
    assert {path: memory.cat_file(path) for path in memory.find("/shelf/run/ingest")} == before
    assert not memory.exists("/shelf/run/embed/manifest.json")
    assert locks(memory)["00001000.json"]["released"] is False  # it is not this run's to release


def test_two_runs_of_two_machines(
    config: Path, memory: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call
) -> None:
    monkeypatch.setenv("NEGMINE_CACHE_DIR", str(tmp_path / "second"))
    with holding(opened()):
        code, _, err = call("run", "-c", config, "--set", f"work_dir={URL}")
    assert code == 6
    assert err.splitlines()[-1].startswith("error: memory://shelf/run: another negmine command is writing to this run")
    assert not memory.exists("/shelf/run/ingest")


def test_a_store_without_exclusive_files_is_read_back(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both of two believed that they created the file; the second one did."""
    monkeypatch.setattr(objects, "_EXCLUSIVE", set())
    monkeypatch.setattr(held, "_READ_BACK_SECONDS", 0.0)
    real = Objects.create

    def create(self: Objects, name: str, content: bytes) -> bool:
        real(self, name, content)
        leave(memory, number=1)
        return True

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "create", create)
        with pytest.raises(LockedError, match="on far"), holding(opened()):
            pass
    memory.store.clear()
    with holding(opened()):
        pass


def test_in_a_bucket_of_s3(s3: fsspec.AbstractFileSystem) -> None:
    with holding(opened("s3://bucket/run")) as lock:
        assert list(locks(s3, "bucket/run")) == ["00000001.json"]
        assert not opened("s3://bucket/run").create(".locks/00000001.json", b"mine")
        assert locks(s3, "bucket/run")["00000001.json"]["pid"] == os.getpid()
        with pytest.raises(LockedError), holding(opened("s3://bucket/run")):
            pass
        lock.beat()
    assert opened("s3://bucket/run").create(".locks/00000002.json", b"mine")
    with holding(opened("s3://bucket/run")):
        assert list(locks(s3, "bucket/run")) == ["00000003.json"]
