"""The export copied to a store: whole when its manifest is there, whatever interrupted the copy."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from small_run import environment

from negmine.config import load_config
from negmine.errors import ConfigError, InputError, MissingDependencyError
from negmine.pipeline import RunResult, run
from negmine.remote.publishing import Destination

TO_MEMORY = "publish=memory://shelf/set"
KILLED = Path(__file__).parent / "killed_negmine.py"


def go(config: Path, *overrides: str) -> RunResult:
    return run(load_config(config, overrides))


def exported(config: Path) -> dict[str, bytes]:
    folder = config.parent / "work" / "export"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def on_store(files: fsspec.AbstractFileSystem, folder: str) -> dict[str, bytes]:
    files.invalidate_cache()
    return {path[len(folder) + 1 :]: files.cat_file(path) for path in files.find(folder)}


def state(result: RunResult) -> str:
    assert result.published is not None
    return result.published.state


def test_the_export_is_copied_with_all_its_files(config: Path, memory: MemoryFileSystem) -> None:
    result = go(config, TO_MEMORY)
    assert on_store(memory, "/shelf/set") == exported(config)
    assert state(result) == "done"
    assert result.published is not None
    assert result.published.files == len(exported(config))
    assert result.published.bytes == sum(map(len, exported(config).values()))


def test_what_is_there_already_is_not_copied_again(
    config: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(config, TO_MEMORY)
    with monkeypatch.context() as patch:
        for name in ("put_file", "pipe_file"):
            patch.setattr(MemoryFileSystem, name, None)
        assert state(go(config, TO_MEMORY)) == "current"
    memory.rm_file("/shelf/set/lists.parquet")
    assert state(go(config, TO_MEMORY)) == "done"
    memory.pipe_file("/shelf/set/lists.parquet", b"cut")
    assert state(go(config, TO_MEMORY)) == "done"
    assert on_store(memory, "/shelf/set") == exported(config)


def test_only_an_export_is_published(config: Path, memory: MemoryFileSystem) -> None:
    assert run(load_config(config, [TO_MEMORY]), until="filter").published is None
    assert go(config).published is None
    assert on_store(memory, "/shelf/set") == {}


def test_files_of_the_earlier_set_go_and_those_of_others_stay(config: Path, memory: MemoryFileSystem) -> None:
    go(config, TO_MEMORY)
    memory.pipe_file("/shelf/set/notes.txt", b"mine")
    go(config, TO_MEMORY, "export=[{format: triplet, file: inner/other.jsonl}]")
    assert on_store(memory, "/shelf/set") == {**exported(config), "notes.txt": b"mine"}
    assert "inner/other.jsonl" in exported(config)


class StopError(BaseException):
    """The process ends here."""


def calls_of(config: Path, memory: MemoryFileSystem, *overrides: str) -> list[tuple[str, str]]:
    """Every change of the store that publishing makes, in order."""
    seen: list[tuple[str, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        _watch(patch, lambda name, path: seen.append((name, path)))
        go(config, *overrides)
    return seen


def _watch(patch: pytest.MonkeyPatch, tell: object) -> None:
    for name, place in (("put_file", 1), ("pipe_file", 0), ("rm_file", 0)):
        real = getattr(MemoryFileSystem, name)

        def watched(self, *args, _real=real, _name=name, _place=place, **named):  # type: ignore[no-untyped-def]
            tell(_name, args[_place])  # type: ignore[operator]
            return _real(self, *args, **named)

        patch.setattr(MemoryFileSystem, name, watched)


def test_the_manifest_goes_first_and_comes_last(config: Path, memory: MemoryFileSystem) -> None:
    go(config, TO_MEMORY)
    seen = calls_of(config, memory, TO_MEMORY, "filter.num_negatives=2")
    manifest = ("rm_file", "/shelf/set/manifest.json"), ("pipe_file", "/shelf/set/manifest.json")
    copies = [number for number, (name, _) in enumerate(seen) if name == "put_file"]
    assert seen.index(manifest[0]) < min(copies)
    assert seen.index(manifest[1]) > max(copies)
    assert seen[copies[-1]][1].endswith("README.md")


def test_interrupted_anywhere_a_rerun_completes_the_copy(config: Path, memory: MemoryFileSystem) -> None:
    """At no step is there a manifest beside files that are not its own, and nothing is left over at the end."""
    first, second = (TO_MEMORY,), (TO_MEMORY, "export=[{format: n-tuple, file: train.jsonl}]")
    go(config, *first)
    old = on_store(memory, "/shelf/set")
    steps = len(calls_of(config, memory, *second))
    new = exported(config)
    assert steps > 8
    for step in range(steps):
        memory.store.clear()
        for name, content in old.items():
            memory.pipe_file(f"/shelf/set/{name}", content)
        left = [step]

        def stop(name: str, path: str, left: list[int] = left) -> None:
            if not left[0]:
                raise StopError
            left[0] -= 1

        with pytest.MonkeyPatch.context() as patch:
            _watch(patch, stop)
            with pytest.raises(StopError):
                go(config, *second)
        there = on_store(memory, "/shelf/set")
        if "manifest.json" in there:
            whole = old if there["manifest.json"] == old["manifest.json"] else new
            assert {name: there.get(name) for name in whole} == whole
        go(config, *second)
        assert on_store(memory, "/shelf/set") == new


def test_a_place_with_another_manifest_is_refused_before_any_work(config: Path, memory: MemoryFileSystem) -> None:
    memory.pipe_file("/shelf/set/manifest.json", b'{"parts": "of an engine"}')
    with pytest.raises(InputError, match=r"memory://shelf/set: the manifest.json there is none of training files"):
        go(config, TO_MEMORY)
    assert not (config.parent / "work" / "ingest").exists()
    assert memory.cat_file("/shelf/set/manifest.json") == b'{"parts": "of an engine"}'


def test_a_stage_of_a_run_is_no_place_for_the_export(config: Path) -> None:
    run(load_config(config), until="ingest")
    ingest = config.parent / "work" / "ingest"
    before = {path.name: path.read_bytes() for path in ingest.iterdir()}
    with pytest.raises(InputError, match=r"work/ingest: the manifest.json there is none of training files"):
        go(config, f"publish={ingest}")
    assert {path.name: path.read_bytes() for path in ingest.iterdir()} == before
    go(config, f"publish={config.parent / 'work' / 'export'}", "export=[{format: triplet, file: x.jsonl}]")
    assert state(go(config, f"publish={config.parent / 'work' / 'export'}")) == "current"  # it is where it should be


def test_a_record_on_the_store_cannot_name_files_elsewhere(config: Path, memory: MemoryFileSystem) -> None:
    memory.pipe_file("/shelf/precious", b"1")
    record = {"files": [{"path": "../precious"}, {"path": "/shelf/precious"}, {"path": 3}]}
    memory.pipe_file("/shelf/set/.negmine-publishing.json", json.dumps(record).encode())
    go(config, TO_MEMORY)
    assert memory.cat_file("/shelf/precious") == b"1"


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_folder_of_this_machine_can_be_published_to(config: Path, prefix: str) -> None:
    target = config.parent / "shelf" / "set"
    go(config, f"publish={prefix}{target}")
    there = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert there == exported(config)
    assert state(go(config, f"publish={prefix}{target}")) == "current"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("work_dir=https://example.org/run", "work_dir.*nothing can be written over HTTP"),
        ("publish=https://example.org/set", "publish.*nothing can be written over HTTP"),
    ],
)
def test_what_cannot_be_is_refused_with_the_config(config: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(config, [override])


def test_a_missing_package_is_told_before_any_work(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingDependencyError, match=r"gs://bucket/set: .*pip install \"negmine\[gcs\]\"") as caught:
        go(config, "publish=gs://bucket/set")
    assert caught.value.exit_code == 8
    assert not (config.parent / "work" / "ingest").exists()


def test_an_unknown_protocol_is_told(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"s4://bucket/set: this URL cannot be used"):
        go(config, "publish=s4://bucket/set")


def test_a_store_that_cannot_be_reached_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems connect as soon as they are made."""

    def refuse(*words: object, **named: object) -> None:
        raise OSError(111, "Connection refused")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    with pytest.raises(InputError, match=r"memory://set: this store cannot be reached \(Connection refused\)"):
        go(config, "publish=memory://set")


def test_a_run_ends_in_a_bucket(config: Path, s3: fsspec.AbstractFileSystem, call) -> None:
    words = ("run", "-c", config, "--set", "publish=s3://bucket/sets/a", "--json")
    code, out, err = call(*words)
    assert code == 0, err
    files = exported(config)
    size = sum(map(len, files.values()))
    published = {"url": "s3://bucket/sets/a", "files": len(files), "bytes": size, "state": "done"}
    assert json.loads(out)["published"] == published
    assert on_store(s3, "bucket/sets/a") == files
    assert json.loads(call(*words)[1])["published"] == {**published, "state": "current"}
    assert "is published already: s3://bucket/sets/a" in call(*words[:-1])[1]


def test_killed_in_the_middle_nothing_seems_whole_and_a_rerun_completes(
    config: Path, s3: fsspec.AbstractFileSystem
) -> None:
    words = ["run", "-c", str(config), "--set", "publish=s3://bucket/set"]
    killed = subprocess.run(
        [sys.executable, str(KILLED), *words], env=environment(KILL_AT="2"), capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    there = on_store(s3, "bucket/set")
    assert "manifest.json" not in there
    assert len(there) == 3  # two files, and the list of what may be there
    assert state(go(config, "publish=s3://bucket/set")) == "done"
    assert on_store(s3, "bucket/set") == exported(config)


def _refused(call, config: Path, *more: str) -> str:  # type: ignore[no-untyped-def]
    code, out, err = call("run", "-c", config, "--set", "publish=s3://bucket-of-none/set", *more)
    assert code == 4
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("error: s3://bucket-of-none/set: ")
    assert "not-to-be-shown" not in err
    assert not (config.parent / "work" / "ingest").exists()
    return err


def test_a_bucket_that_does_not_exist_is_told_before_any_work(
    config: Path, s3: fsspec.AbstractFileSystem, call
) -> None:
    assert "there is no such bucket. Check its name" in _refused(call, config)
    assert not s3.exists("bucket-of-none")


def test_missing_credentials_are_told_before_any_work(
    config: Path, s3: fsspec.AbstractFileSystem, call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    err = _refused(call, config)
    assert "no credentials were found" in err
    assert "AWS_PROFILE" in err


def test_a_store_that_cannot_be_reached_is_told_before_any_work(
    config: Path, s3: fsspec.AbstractFileSystem, call, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        err = _refused(call, config)
    assert "the store cannot be reached" in err
    assert "AWS_ENDPOINT_URL" in err


def test_a_store_that_fails_at_the_end_leaves_a_run_that_only_has_to_be_published(
    config: Path, memory: MemoryFileSystem, call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Destination, source: Path, name: str) -> None:
        with self.store.reaching():
            raise PermissionError("AccessDenied")

    with monkeypatch.context() as patch:
        patch.setattr(Destination, "_copy", refuse)
        code, _, err = call("run", "-c", config, "--set", TO_MEMORY)
    assert code == 4
    assert "memory://shelf/set: access is denied" in err
    result = go(config, TO_MEMORY)
    assert [stage.state for stage in result.stages] == ["current"] * 6
    assert state(result) == "done"


def test_a_full_disk_is_told_as_such(tmp_path: Path, memory: MemoryFileSystem) -> None:
    destination = Destination("memory://shelf/set")
    with pytest.raises(OSError, match="No space left"), destination.store.reaching():
        raise OSError(28, os.strerror(28), "here")
