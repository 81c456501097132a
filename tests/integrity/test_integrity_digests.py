"""What is known of files by their times saves time and is never believed against the facts."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from negmine.errors import ArtifactError
from negmine.store import digests

PART = "mine/part-00001.parquet"


def change_in_place(path: Path) -> None:
    """Other bytes, the same size and modification time."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def wrong_digest(text: str) -> str:
    record = json.loads(text)
    first = next(iter(record["files"]))
    record["files"][first][1] = "0" * 64
    return json.dumps(record)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "7",
        lambda text: '{"files": [1, 2], "digest": null}',
        lambda text: '{"a": {"b": 1}}',
        lambda text: "[" * 100_000,
        wrong_digest,
    ],
    ids=["empty", "cut", "list", "number", "not files", "other", "deep", "wrong digest"],
)
def test_a_damaged_memory_of_digests_is_harmless(finished: Any, damage: Any) -> None:
    """It is forgotten; the run is as current as before."""
    finished.run()
    memory = finished.work / ".cache" / "digests.json"
    memory.write_text(damage(memory.read_text()))
    assert set(finished.tasks_run().values()) == {0}


def test_a_change_behind_the_same_size_and_mtime_is_noticed(finished: Any) -> None:
    """The change time gives it away."""
    time.sleep(0.06)
    finished.run()
    change_in_place(finished.part(PART))
    with pytest.raises(ArtifactError, match=PART):
        finished.run()


def test_a_change_that_no_time_shows_is_noticed_with_verify(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --verify every file is read."""
    part = finished.part(PART)
    true = digests.file_digest(part)
    change_in_place(part)
    time.sleep(0.06)
    with monkeypatch.context() as patch:  # a memory that was made to believe in the changed file
        real = digests.file_digest
        patch.setattr(digests, "file_digest", lambda path: true if path == part else real(path))
        finished.run()
    finished.run()
    with pytest.raises(ArtifactError, match=PART):
        finished.run(verify=True)


def test_unchanged_files_are_read_once(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run of a current run hashes nothing."""
    time.sleep(0.06)
    finished.run()
    monkeypatch.setattr(digests, "file_digest", lambda path: pytest.fail(f"{path} was read"))
    finished.run()


def test_digests_of_files_that_are_gone_are_forgotten(finished: Any) -> None:
    """The memory does not grow with every run."""
    time.sleep(0.06)
    finished.run()
    finished.part("export/README.md").unlink()
    time.sleep(0.06)
    with pytest.raises(ArtifactError):
        finished.run()
    finished.run(until="export", repair=True)
    time.sleep(0.06)
    finished.run()
    known = json.loads((finished.work / ".cache" / "digests.json").read_text())["files"]
    assert all(Path(path).exists() for path in known)
