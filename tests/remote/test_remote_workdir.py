"""A run below a URL: the bytes of a local run, whole at every moment, continued on any machine."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from small_run import run_files

import negmine
from negmine.config import Config, load_config
from negmine.errors import ArtifactError, ConfigError, InputError
from negmine.explain import explain, random_ids
from negmine.pipeline import RunResult, clean, leftovers, run, status
from negmine.planning import plan
from negmine.remote import objects
from negmine.remote.opening import local_folder
from negmine.sweep import axes, sweep

URL = "memory://shelf/run"
ON_STORE = f"work_dir={URL}"


class Machines:
    """Which machine this process pretends to be: each has a cache folder of its own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder, self._patch = folder, patch

    def be(self, name: str) -> Path:
        self._patch.setenv("NEGMINE_CACHE_DIR", str(self._folder / name))
        return local_folder(URL)


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    found = Machines(tmp_path / "machines", monkeypatch)
    found.be("first")
    monkeypatch.setattr(objects, "_WAITS", (0.0, 0.0))
    return found


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were copied from memory, in order."""
    seen: list[str] = []
    real = MemoryFileSystem.get_file

    def get_file(self, path, *args, **named):  # type: ignore[no-untyped-def]
        seen.append(path.removeprefix("/shelf/run/"))
        return real(self, path, *args, **named)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    return seen


def remote(config: Path, *overrides: str) -> Config:
    return load_config(config, [ON_STORE, *overrides])


def go(config: Path, *overrides: str) -> RunResult:
    return run(remote(config, *overrides))


def local_run(config: Path, *overrides: str) -> Path:
    run(load_config(config, overrides))
    return config.parent / "work"


def contents(files: fsspec.AbstractFileSystem, folder: str) -> dict[str, bytes]:
    files.invalidate_cache()
    root = files._strip_protocol(folder)
    return {path[len(root) + 1 :]: files.cat_file(path) for path in files.find(root)}


def download(files: fsspec.AbstractFileSystem, folder: str, target: Path) -> Path:
    """What is on the store as a folder."""
    shutil.rmtree(target, ignore_errors=True)
    for name, content in contents(files, folder).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    return target


def states(config: Config, **more: bool) -> list[str]:
    return [stage.state for stage in status(config, **more)]


def put(memory: MemoryFileSystem, content: dict[str, bytes]) -> None:
    memory.store.clear()
    for name, each in content.items():
        memory.pipe_file(f"/shelf/run/{name}", each)


def test_a_run_on_a_store_has_the_files_of_a_local_run(
    config: Path, memory: MemoryFileSystem, machines: Machines, tmp_path: Path
) -> None:
    go(config)
    there = download(memory, URL, tmp_path / "there")
    assert run_files(there) == run_files(local_run(config)) == run_files(machines.be("first"))
    assert {path.name for path in there.iterdir()} - set(run_files(there)) == {".locks", "history.jsonl"}
    assert states(load_config(config, [f"work_dir={there}"])) == ["current"] * 6  # as it was copied


def test_another_machine_sees_what_is_current_without_fetching_files(
    config: Path, memory: MemoryFileSystem, machines: Machines, fetched: list[str]
) -> None:
    go(config)
    folder = machines.be("second")
    assert states(remote(config)) == ["current"] * 6
    assert [step.tasks for step in plan(remote(config))] == [0] * 6
    result = go(config)
    assert {stage.state for stage in result.stages} == {"current"}
    assert fetched == []
    assert [path.name for path in folder.glob("[a-z]*/*")] == ["manifest.json"] * 6
    assert str(result.exports[0]).startswith("memory://shelf/run/export/train")
    assert os.fspath(result.exports[0]).startswith(str(folder))


def test_what_reads_a_run_fetches_what_it_reads(
    config: Path, memory: MemoryFileSystem, machines: Machines, fetched: list[str]
) -> None:
    go(config)
    local = load_config(config, [f"work_dir={local_run(config)}"])
    ids = random_ids(local, 1)
    for number, (read, stages) in enumerate(
        [
            (negmine.read_negatives, {"filter"}),
            (lambda asked: explain(asked, ids), {"filter", "ingest"}),
            (lambda asked: sweep(asked, axes(asked, ["max_score=0.1,0.5"])).as_json(), {"mine", "index", "ingest"}),
        ]
    ):
        machines.be(f"reader {number}")
        fetched.clear()
        assert read(remote(config)) == read(local)
        assert {name.split("/")[0] for name in fetched} == stages
        fetched.clear()
        read(remote(config))
        assert fetched == []
    machines.be("reader by url")
    assert negmine.read_negatives(URL) == negmine.read_negatives(local)


def test_a_stage_fetches_the_earlier_ones_that_it_reads(
    config: Path, memory: MemoryFileSystem, machines: Machines, fetched: list[str]
) -> None:
    go(config)
    machines.be("second")
    result = go(config, "export=[{format: n-tuple, file: train.jsonl}]")
    assert [stage.state for stage in result.stages] == ["current"] * 5 + ["done"]
    assert {name.split("/")[0] for name in fetched} == {"ingest", "mine", "filter"}


def test_what_another_machine_changed_is_seen(
    config: Path, memory: MemoryFileSystem, machines: Machines, tmp_path: Path
) -> None:
    go(config)
    machines.be("second")
    changed = ("filter.num_negatives=2", "export=[{format: triplet, file: other.jsonl}]")
    go(config, *changed)
    folder = machines.be("first")
    assert states(remote(config)) == ["current"] * 4 + ["stale"] * 2
    assert states(remote(config, *changed)) == ["current"] * 6
    local = local_run(config, *changed)
    assert negmine.read_negatives(remote(config)) == negmine.read_negatives(local)
    assert run_files(download(memory, URL, tmp_path / "there")) == run_files(local)
    assert not list((folder / "export").glob("train*"))
    memory.rm("/shelf/run", recursive=True)
    assert states(remote(config)) == ["missing"] * 6


class StopError(BaseException):
    """The process ends here."""


_CHANGES = (("put_file", 1), ("pipe_file", 0), ("rm_file", 0), ("cp_file", 1))


def watch(patch: pytest.MonkeyPatch, tell: Callable[[str, str], None]) -> None:
    """Have every change of the store told before it is made."""
    patch.setattr(objects, "_AT_ONCE", 1)
    for name, place in _CHANGES:
        real = getattr(MemoryFileSystem, name)

        def watched(self, *args, _real=real, _name=name, _place=place, **named):  # type: ignore[no-untyped-def]
            if ".locks" not in args[_place]:
                tell(_name, args[_place].removeprefix("/shelf/run/"))
            return _real(self, *args, **named)

        patch.setattr(MemoryFileSystem, name, watched)


def changes_of(config: Path, *overrides: str) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        watch(patch, lambda name, path: seen.append((name, path)))
        go(config, *overrides)
    return seen


def stopped_at(step: int, config: Path, *overrides: str) -> None:
    left = [step]

    def stop(name: str, path: str) -> None:
        if not left[0]:
            raise StopError
        left[0] -= 1

    with pytest.MonkeyPatch.context() as patch:
        watch(patch, stop)
        with pytest.raises(StopError):
            go(config, *overrides)


def test_a_stage_is_replaced_only_when_all_of_it_is_there(
    config: Path, memory: MemoryFileSystem, machines: Machines
) -> None:
    go(config)
    names = changes_of(config, "export=[{format: triplet, file: other.jsonl}]")
    pending = next(path.split("/")[1] for _, path in names if path.startswith(".pending/export"))
    committed = names.index(("pipe_file", f".pending/{pending}/manifest.json"))
    put_in_place = names.index(("pipe_file", "export/manifest.json"))
    sent = [number for number, (name, path) in enumerate(names) if name == "put_file"]
    copied = [number for number, (name, path) in enumerate(names) if name == "cp_file"]
    deleted = [n for n, (name, path) in enumerate(names) if name == "rm_file" and path.startswith("export/")]
    assert max(sent) < committed < min(copied) < max(copied) < min(deleted) < max(deleted) < put_in_place
    assert put_in_place < names.index(("rm_file", f".pending/{pending}/manifest.json"))


@pytest.mark.parametrize(
    ("continued_by", "every"),
    [
        ("first", 11),
        ("second", 11),
        pytest.param("first", 1, marks=pytest.mark.slow),
        pytest.param("second", 1, marks=pytest.mark.slow),
    ],
)
def test_stopped_at_any_change_the_run_is_whole_and_can_be_continued_anywhere(
    config: Path, memory: MemoryFileSystem, machines: Machines, tmp_path: Path, continued_by: str, every: int
) -> None:
    changed = ("filter.num_negatives=2", "export=[{format: triplet, file: other.jsonl}]")
    before = machines.be("first")
    go(config)
    old = contents(memory, URL)
    shutil.copytree(before, tmp_path / "before")
    steps = len(changes_of(config, *changed))
    expected = run_files(local_run(config, *changed))
    assert steps > 20
    for step in range(0, steps, every):
        put(memory, old)
        for name in ("first", "second", "reader"):
            shutil.rmtree(machines.be(name), ignore_errors=True)
        shutil.copytree(tmp_path / "before", machines.be("first"))
        stopped_at(step, config, *changed)
        machines.be("reader")
        negatives = negmine.read_negatives(URL)  # of the old or the new state, and whole
        assert negatives.num_rows
        assert "damaged" not in states(remote(config, *changed), verify=True)
        machines.be(continued_by)
        go(config, *changed)
        assert run_files(download(memory, URL, tmp_path / "there")) == expected
        assert not any(".pending" in name for name in contents(memory, URL))
        assert not list((machines.be(continued_by) / ".pending").glob("*"))


def test_what_a_killed_run_finished_is_continued_by_another_machine(
    config: Path, memory: MemoryFileSystem, machines: Machines, tmp_path: Path
) -> None:
    names = changes_of(config)
    mine = [number for number, (_, path) in enumerate(names) if "/.receipts/part-" in path]
    memory.store.clear()
    shutil.rmtree(machines.be("first"))
    stopped_at(mine[0] + 1, config)
    machines.be("second")
    found = status(remote(config))[3]
    assert (found.stage, found.state, found.tasks_done, found.tasks) == ("mine", "partial", 1, 3)
    assert not list(machines.be("second").rglob("*.parquet"))
    result = go(config).stages[3]
    assert (result.tasks_run, result.tasks) == (2, 3)
    assert run_files(download(memory, URL, tmp_path / "there")) == run_files(local_run(config))


def test_a_finished_task_whose_file_arrived_damaged_is_done_again(
    config: Path, memory: MemoryFileSystem, machines: Machines, tmp_path: Path
) -> None:
    names = changes_of(config)
    mine = [number for number, (_, path) in enumerate(names) if "/.receipts/part-" in path]
    memory.store.clear()
    shutil.rmtree(machines.be("first"))
    stopped_at(mine[1] + 1, config)
    (part,) = [name for name in contents(memory, URL) if name.endswith("part-00000.parquet") and ".pending" in name]
    memory.pipe_file(f"/shelf/run/{part}", bytes(len(contents(memory, URL)[part])))
    machines.be("second")
    result = go(config).stages[3]
    assert (result.tasks_run, result.tasks) == (2, 3)
    assert run_files(download(memory, URL, tmp_path / "there")) == run_files(local_run(config))


def damage(memory: MemoryFileSystem, name: str) -> None:
    path = f"/shelf/run/{name}"
    content = memory.cat_file(path)
    memory.pipe_file(path, content[:-9] + bytes(9))


def test_a_damaged_file_is_refused_where_it_is_fetched_and_can_be_repaired(
    config: Path, memory: MemoryFileSystem, machines: Machines, tmp_path: Path, call
) -> None:
    go(config)
    damage(memory, "filter/part-00001.parquet")
    machines.be("second")
    with pytest.raises(ArtifactError, match=r"memory://shelf/run/filter/part-00001.parquet: its content changed"):
        negmine.read_negatives(URL)
    assert [s.state for s in status(remote(config), verify=True)] == ["current"] * 4 + ["damaged", "stale"]
    words = ("-c", config, "--set", ON_STORE)
    code, _, err = call("export", *words, "--set", "export.0.file=other.jsonl")
    assert code == 5
    assert "memory://shelf/run/filter/part-00001.parquet" in err
    assert "filter --repair" in err
    code, out, err = call("filter", *words, "--repair", "--json")
    assert code == 0, err
    assert [stage["tasks_run"] for stage in json.loads(out)["stages"]][:4] == [0] * 4
    go(config)
    assert run_files(download(memory, URL, tmp_path / "there")) == run_files(local_run(config))


def test_a_missing_or_cut_file_is_seen_without_fetching(
    config: Path, memory: MemoryFileSystem, machines: Machines
) -> None:
    go(config)
    memory.rm_file("/shelf/run/ingest/corpus.parquet")
    memory.pipe_file("/shelf/run/mine/part-00000.parquet", b"cut")
    machines.be("second")
    found = {stage.stage: (stage.state, stage.why) for stage in status(remote(config))}
    assert found["ingest"] == ("damaged", "corpus.parquet: it is missing")
    with pytest.raises(ArtifactError, match=r"memory://shelf/run/ingest/corpus.parquet: it is missing"):
        go(config)


def test_a_damaged_manifest_is_named_by_its_url(config: Path, memory: MemoryFileSystem, machines: Machines) -> None:
    go(config)
    memory.pipe_file("/shelf/run/filter/manifest.json", b"{")
    with pytest.raises(ArtifactError, match=r"memory://shelf/run/filter/manifest.json: this file is damaged"):
        negmine.read_negatives(URL)


def test_a_damaged_copy_on_this_machine_is_fetched_again(
    config: Path, memory: MemoryFileSystem, machines: Machines, fetched: list[str]
) -> None:
    go(config)
    before = negmine.read_negatives(URL)
    part = machines.be("first") / "filter" / "part-00000.parquet"
    part.write_bytes(bytes(part.stat().st_size))
    assert negmine.read_negatives(URL) == before
    assert fetched == ["filter/part-00000.parquet"]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many uploads fail from now on, before one succeeds."""
    left = [0]
    real = MemoryFileSystem.put_file

    def put_file(self, *args, **named):  # type: ignore[no-untyped-def]
        if left[0]:
            left[0] -= 1
            raise ConnectionResetError(104, "Connection reset by peer")
        return real(self, *args, **named)

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    return left


def test_a_store_that_fails_for_a_moment_is_asked_again(
    config: Path, memory: MemoryFileSystem, machines: Machines, failing: list[int], tmp_path: Path
) -> None:
    failing[0] = 2
    go(config)
    assert failing == [0]
    assert run_files(download(memory, URL, tmp_path / "there")) == run_files(local_run(config))


def test_a_store_that_is_gone_ends_the_run_and_costs_nothing_that_was_finished(
    config: Path, memory: MemoryFileSystem, machines: Machines, failing: list[int], call
) -> None:
    run(remote(config), until="index")
    failing[0] = 1000
    code, _, err = call("run", "-c", config, "--set", ON_STORE)
    assert code == 4
    assert err.splitlines()[-1].startswith("error: memory://shelf/run: the store cannot be reached")
    failing[0] = 0
    result = go(config).stages[3]
    assert result.tasks - result.tasks_run == 1  # what was finished here when the store went


def test_earlier_vectors_are_found_there(
    config: Path, memory: MemoryFileSystem, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slow_negmine import pretend

    from negmine.stages.embed import encoding
    from negmine.stages.embed import stage as embed

    pretend(monkeypatch.setattr)
    monkeypatch.setattr(embed, "encoder_identity", lambda config, digests: {"weights": "1"})
    monkeypatch.setattr("negmine.stages.embed.earlier.encoder_identity", lambda config, digests: {"weights": "1"})
    monkeypatch.setattr(encoding, "encoder_identity", lambda config, digests: {"weights": "1"})
    model = ("embed={model: pretended/model, part_rows: 20}",)
    run(remote(config, *model), until="embed")
    rows = (config.parent / "corpus.jsonl").read_text().splitlines()
    rows.insert(3, json.dumps({"_id": "new", "text": "a new passage"}))
    (config.parent / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    machines.be("second")
    counts = run(remote(config, *model), until="embed").stages[1].manifest.counts
    assert counts["vectors"] - counts["reused"] == 1


def test_what_no_run_will_use_can_be_cleaned_there(
    config: Path, memory: MemoryFileSystem, machines: Machines, call
) -> None:
    go(config)
    stopped_at(3, config, "mine.k=19")
    machines.be("second")
    found = leftovers(remote(config))
    assert [str(each).rpartition("-")[0] for each in found] == ["memory://shelf/run/.pending/mine"]
    assert leftovers(remote(config, "mine.k=19")) == []
    code, out, _ = call("clean", "-c", config, "--set", ON_STORE, "--json")
    assert code == 0
    assert json.loads(out)["found"] == [str(each) for each in found]
    assert json.loads(out)["bytes"] == found[0].bytes > 0
    assert leftovers(remote(config)) == []
    clean(remote(config), found)  # nothing is there any more
    assert states(remote(config)) == ["current"] * 6


def test_an_export_made_elsewhere_is_published_from_there(
    config: Path, memory: MemoryFileSystem, machines: Machines
) -> None:
    go(config)
    machines.be("second")
    go(config, "publish=memory://other/set")
    assert contents(memory, "memory://other/set") == {
        name.removeprefix("export/"): content
        for name, content in contents(memory, URL).items()
        if name.startswith("export/")
    }


def test_a_store_that_cannot_copy_or_create_is_good_enough(
    config: Path, memory: MemoryFileSystem, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self, *args, **named):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    monkeypatch.setattr(MemoryFileSystem, "cp_file", refuse)
    monkeypatch.setattr(objects, "_EXCLUSIVE", set())
    monkeypatch.setattr("negmine.remote.held._READ_BACK_SECONDS", 0.0)
    go(config)
    assert run_files(download(memory, URL, tmp_path / "there")) == run_files(local_run(config))


def test_files_of_others_stay(config: Path, memory: MemoryFileSystem, machines: Machines) -> None:
    for name in ("notes.txt", "export/notes.txt", "figures/a.png"):
        memory.pipe_file(f"/shelf/run/{name}", b"mine")
    go(config)
    go(config, "export=[{format: triplet, file: other.jsonl}]")
    there = contents(memory, URL)
    assert {there[name] for name in ("notes.txt", "export/notes.txt", "figures/a.png")} == {b"mine"}


def test_a_folder_of_something_else_is_no_place_for_the_copy(
    config: Path, memory: MemoryFileSystem, machines: Machines, tmp_path: Path
) -> None:
    folder = local_folder(URL, str(tmp_path / "here"))
    folder.mkdir(parents=True)
    (folder / "precious").write_text("1")
    with pytest.raises(ConfigError, match="holds something else") as caught:
        go(config, f"engine.scratch={tmp_path / 'here'}")
    assert str(folder) in str(caught.value)
    assert (folder / "precious").read_text() == "1"


def test_the_copy_is_kept_where_the_config_says(
    config: Path, memory: MemoryFileSystem, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    go(config, "engine.scratch=here")
    assert (local_folder(URL, str(tmp_path / "here")) / "export" / "manifest.json").is_file()
    assert not machines.be("first").exists()
    assert local_folder("s3://a/b") == local_folder("s3://a/b/") != local_folder("s3://a/c")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("engine.scratch=here",), r"engine.scratch: applies only where work_dir is a URL"),
        ((ON_STORE, "engine.scratch=s3://b/c"), "engine.scratch: must be a folder of this machine"),
        ((ON_STORE, "engine.kind=ray"), r"workers on other machines do not see.*Set engine.scratch"),
        (("work_dir=http://host/run",), "work_dir: nothing can be written over HTTP"),
    ],
)
def test_what_cannot_be_is_refused_with_the_config(config: Path, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(config, overrides)


def test_a_ray_cluster_on_this_machine_or_with_a_shared_folder_is_allowed(config: Path) -> None:
    remote(config, "engine={kind: ray, address: local}")
    remote(config, "engine={kind: ray, address: '10.0.0.1:6379', scratch: /shared}")


@pytest.mark.slow
def test_workers_on_this_machine_work_on_its_copy(
    config: Path, memory: MemoryFileSystem, machines: Machines, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    on_ray = ("engine={kind: ray, address: local, workers: 2}", "threads=2", "memory_limit=200MB")
    go(config, *on_ray)
    assert run_files(download(memory, URL, tmp_path / "there")) == run_files(local_run(config))
    machines.be("second")
    changed = ("filter.num_negatives=2",)
    go(config, *on_ray, *changed)
    assert run_files(download(memory, URL, tmp_path / "there")) == run_files(local_run(config, *changed))


def test_an_error_of_the_store_has_its_name_and_no_secrets(
    config: Path, memory: MemoryFileSystem, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self, *args, **named):  # type: ignore[no-untyped-def]
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    with pytest.raises(InputError, match=r"memory://shelf/run: access is denied"):
        go(config)
