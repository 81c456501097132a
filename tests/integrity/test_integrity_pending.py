"""Work in progress is believed only as far as its receipts and digests go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_run import litter

from negmine.errors import InputError
from negmine.pipeline import clean, leftovers

# mine has five tasks here: four parts, then one file of what they say of the positives.
TASKS = 5


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink], ids=["flip", "cut", "remove"])
@pytest.mark.parametrize("what", ["part-00001.parquet", ".receipts/part-00001.json"])
def test_a_pending_part_or_receipt_that_changed_is_made_again(
    finished: Any, stopped: Callable[[str, int], Path], what: str, damage: Callable[[Path], None]
) -> None:
    """One more task than were missing is run, and the bytes are right."""
    damage(stopped("mine", 3) / what)
    assert finished.tasks_run()["mine"] == TASKS - 3 + 1
    assert finished.files() == finished.expected


def test_pending_parts_that_are_whole_are_kept(finished: Any, stopped: Callable[[str, int], Path]) -> None:
    """Only what is missing is run."""
    stopped("mine", 3)
    assert finished.tasks_run()["mine"] == TASKS - 3
    assert finished.files() == finished.expected


def test_what_killed_processes_left_does_not_reach_the_stage(
    finished: Any, stopped: Callable[[str, int], Path]
) -> None:
    """Temporary files and parts that nothing names are swept before a stage is finished."""
    pending = stopped("mine", 2)
    (pending / ".tmp-123-part-00003.parquet").write_bytes(b"half")
    (pending / "part-00099.parquet").write_bytes(b"whose is it?")
    finished.run()
    assert finished.files() == finished.expected
    assert not litter(finished.work)


def test_a_damaged_pending_manifest_is_made_again(finished: Any, stopped: Callable[[str, int], Path]) -> None:
    """Nothing was committed, so nothing has to be repaired by hand."""
    pending = stopped("mine", 3)
    (pending / "manifest.json").write_bytes(b"{")
    finished.run()
    assert finished.files() == finished.expected


def test_a_stage_about_to_be_finished_is_checked_first(finished: Any) -> None:
    """A crash between manifest and rename, then a bad part: the stage is done again, not published."""
    pending = finished.work / ".pending" / "mine-0"
    pending.parent.mkdir(exist_ok=True)
    (finished.work / "mine").rename(pending)
    flip(pending / "part-00002.parquet")
    finished.run()
    assert finished.files() == finished.expected


def test_a_stage_about_to_be_finished_is_finished(finished: Any) -> None:
    """A crash between manifest and rename costs nothing."""
    pending = finished.work / ".pending" / "mine-0"
    pending.parent.mkdir(exist_ok=True)
    (finished.work / "mine").rename(pending)
    assert set(finished.tasks_run().values()) == {0}
    assert finished.files() == finished.expected


class Editing:
    """A reporter that edits a file of the user's when a stage starts its tasks."""

    def __init__(self, stage: str, edit: Callable[[], object]) -> None:
        self.stage, self.edit = stage, edit

    def note(self, text: str) -> None: ...

    def stage_started(self, stage: str, why: str) -> None: ...

    def tasks_known(self, stage: str, unit: str, total: int, done: int) -> None:
        if stage == self.stage:
            self.edit()

    def advanced(self, stage: str, units: int) -> None: ...

    def stage_finished(self, result: Any) -> None: ...


INPUTS = [("ingest", "pairs.jsonl"), ("ingest", "corpus.jsonl"), ("embed", "corpus.npy")]


def edited(path: Path) -> bytes:
    """The file with one character, or the last byte of a vector, changed."""
    content = path.read_bytes()
    return content.replace(b"word1", b"wordx", 1) if path.suffix == ".jsonl" else content[:-1] + b"\x3e"


@pytest.mark.parametrize(("stage", "name"), INPUTS)
def test_an_input_that_changes_during_a_run_is_refused(
    finished: Any, stopped: Callable[[str, int], Path], stage: str, name: str
) -> None:
    """Nothing made from a mixture is finished; the message names the input."""
    stopped(stage, 1)
    path = finished.file.parent / name
    for file in finished.work.glob(f".pending/{stage}-*/.receipts/*"):
        file.unlink()
    with pytest.raises(InputError, match=f"input changed while {stage} was running: the file of "):
        finished.run(reporter=Editing(stage, lambda: path.write_bytes(edited(path))))
    assert not (finished.work / stage).exists()


@pytest.mark.parametrize(("stage", "name"), INPUTS)
def test_an_input_that_changes_and_changes_back_leaves_no_trace(
    finished: Any, stopped: Callable[[str, int], Path], stage: str, name: str
) -> None:
    """What was made from the changed file is not taken for what the restored file gives."""
    path = finished.file.parent / name
    original = path.read_bytes()
    for file in (stopped(stage, 1) / ".receipts").iterdir():
        file.unlink()
    with pytest.raises(InputError):
        finished.run(reporter=Editing(stage, lambda: path.write_bytes(edited(path))))
    path.write_bytes(original)
    finished.run()
    assert finished.files() == finished.expected


def test_clean_keeps_what_users_put_into_a_replaced_stage(finished: Any) -> None:
    """A crash right after a replacement leaves their files in the trash; cleaning moves them first."""
    trash = finished.work / ".trash" / "export-0123abcd"
    trash.mkdir(parents=True)
    (trash / "manifest.json").write_bytes((finished.work / "export" / "manifest.json").read_bytes())
    (trash / "notes.txt").write_text("mine")
    clean(finished.config(), leftovers(finished.config()))
    assert (finished.work / "export" / "notes.txt").read_text() == "mine"
    assert not litter(finished.work)
