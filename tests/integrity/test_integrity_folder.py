"""A run's folder in the hands of people and their clocks."""

from __future__ import annotations

import datetime
import os
import shutil
import time
from typing import Any

import pytest

from negmine.errors import ArtifactError
from negmine.pipeline import running, status


def test_users_files_survive_a_new_export(finished: Any) -> None:
    """Files and folders that the manifest does not name move on with the stage."""
    (finished.work / "export" / "notes.txt").write_text("mine")
    (finished.work / "export" / "plots").mkdir()
    (finished.work / "export" / "plots" / "scores.csv").write_text("1,2")
    (finished.work / "export" / "latest").symlink_to("nowhere")
    running.run(finished.config("filter.num_negatives=2"))
    assert (finished.work / "export" / "notes.txt").read_text() == "mine"
    assert (finished.work / "export" / "plots" / "scores.csv").read_text() == "1,2"
    assert (finished.work / "export" / "latest").is_symlink()


def test_files_of_the_old_export_do_not_survive(finished: Any) -> None:
    """What the tool itself wrote before goes when the config no longer asks for it."""
    running.run(finished.config("export=[{format: triplet, file: only.jsonl}]"))
    names = {path.name for path in (finished.work / "export").iterdir()}
    assert names - {"scores.png"} == {"only.jsonl", "provenance.parquet", "README.md", "manifest.json"}


@pytest.mark.parametrize("content", [None, b"{"], ids=["no manifest", "a damaged manifest"])
def test_users_files_survive_the_repair_of_a_manifest(finished: Any, content: bytes | None) -> None:
    """Nobody knows then which files are the user's, so none is thrown away."""
    (finished.work / "export" / "notes.txt").write_text("mine")
    manifest = finished.work / "export" / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_bytes(content)
    finished.run(repair=True)
    assert (finished.work / "export" / "notes.txt").read_text() == "mine"


def test_a_folder_that_was_never_a_stage_is_not_taken(finished: Any) -> None:
    """A work_dir with a folder `index` of the user's own: refused, and the files stay."""
    shutil.rmtree(finished.work)
    (finished.work / "index").mkdir(parents=True)
    (finished.work / "index" / "thesis.txt").write_text("mine")
    with pytest.raises(ArtifactError, match=r"index/manifest\.json: it is missing"):
        finished.run()
    assert (finished.work / "index" / "thesis.txt").read_text() == "mine"


def test_an_empty_folder_of_a_stage_is_no_obstacle(finished: Any) -> None:
    """It is as good as none."""
    shutil.rmtree(finished.work / "mine")
    (finished.work / "mine").mkdir()
    finished.run()
    assert finished.files() == finished.expected


def test_a_run_can_be_moved(finished: Any) -> None:
    """Nothing in it depends on where it lies."""
    finished.work = finished.work.rename(finished.work.with_name("elsewhere"))
    assert {stage.state for stage in status(finished.config())} == {"current"}


def test_times_in_the_future_change_nothing(finished: Any) -> None:
    """A clock that went back leaves files that seem younger than now."""
    later = time.time() + 86_400
    for path in [*finished.work.rglob("*"), *finished.file.parent.glob("*.jsonl")]:
        os.utime(path, (later, later))
    assert set(finished.tasks_run().values()) == {0}


def test_a_clock_that_goes_back_changes_nothing(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage finished "before" the one it reads is current all the same."""

    class Earlier(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Earlier:
            return cls(1999, 1, 1, tzinfo=tz)

    shutil.rmtree(finished.work / "filter")
    with monkeypatch.context() as patch:
        patch.setattr(running, "datetime", Earlier)
        finished.run()
    assert set(finished.tasks_run().values()) == {0}
    assert finished.files() == finished.expected
