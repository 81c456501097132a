"""Inputs that are URLs: the same run as from files, fetched once, and named as the config names them."""

from __future__ import annotations

import functools
import http.server
import json
import os
import pickle
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from small_run import run_files

from negmine.config import Config, load_config
from negmine.errors import InputError, MissingDependencyError
from negmine.pipeline import clean, leftovers, run, status
from negmine.planning import plan
from negmine.remote import fetching
from negmine.remote.fetching import fetch_inputs, input_file
from negmine.remote.stores import Fetched, redacted, stamp
from negmine.store.manifest import Manifest

FILES = {
    "data.pairs": "pairs.jsonl",
    "data.corpus": "corpus.jsonl",
    "embed.vectors.corpus": "corpus.npy",
    "embed.vectors.queries": "queries.npy",
}


def upload(config: Path, files: fsspec.AbstractFileSystem, place: str) -> None:
    for name in FILES.values():
        files.pipe_file(f"{place}/{name}", (config.parent / name).read_bytes())


def from_urls(config: Path, place: str, work: str = "remote", **other: str) -> Config:
    """The config with every input below the URL ``place``."""
    urls = {**{key: f"{place}/{name}" for key, name in FILES.items()}, **other}
    overrides = [f"{key}={url}" for key, url in urls.items()]
    return load_config(config, [f"work_dir={config.parent / work}", *overrides])


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were downloaded from memory, in order."""
    seen: list[str] = []
    real = MemoryFileSystem.get_file

    def get_file(self, path, *args, **named):  # type: ignore[no-untyped-def]
        seen.append(path)
        return real(self, path, *args, **named)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    return seen


def stale(config: Config) -> list[str]:
    return [stage.stage for stage in status(config) if stage.state != "current"]


def test_a_run_from_urls_has_the_bytes_of_a_run_from_files(
    config: Path, memory: MemoryFileSystem, fetched: list[str]
) -> None:
    upload(config, memory, "/in")
    run(load_config(config))
    remote = from_urls(config, "memory://in")
    assert [step.state for step in plan(remote)] == ["missing"] * 6
    run(remote)
    assert run_files(config.parent / "remote") == run_files(config.parent / "work")
    assert sorted(fetched) == sorted(f"/in/{name}" for name in FILES.values())  # once, though plan read them too
    assert stale(remote) == []


def test_moving_the_files_to_a_store_makes_nothing_stale(config: Path, memory: MemoryFileSystem) -> None:
    run(load_config(config))
    upload(config, memory, "/in")
    assert stale(from_urls(config, "memory://in", work="work")) == []


@pytest.mark.parametrize(("name", "first"), [("pairs.jsonl", 0), ("corpus.jsonl", 0), ("queries.npy", 1)])
def test_a_changed_object_is_fetched_again_and_makes_its_reader_stale(
    config: Path, memory: MemoryFileSystem, fetched: list[str], name: str, first: int
) -> None:
    upload(config, memory, "/in")
    remote = from_urls(config, "memory://in")
    run(remote)
    memory.pipe_file(f"/in/{name}", memory.cat_file(f"/in/{name}"))
    fetched.clear()
    assert stale(remote) == []  # another version of the same bytes
    assert fetched == [f"/in/{name}"]
    content = memory.cat_file(f"/in/{name}")
    memory.pipe_file(f"/in/{name}", content + b"\n" if not first else content[:-4] + b"\1\2\3\4")
    assert stale(remote) == ["ingest", "embed", "index", "mine", "filter", "export"][first:]
    assert fetched == [f"/in/{name}"] * 2
    run(remote)
    assert stale(remote) == []


def test_a_bad_row_is_named_by_its_url(config: Path, memory: MemoryFileSystem, call) -> None:
    upload(config, memory, "/in")
    memory.pipe_file("/in/pairs.jsonl", memory.cat_file("/in/pairs.jsonl") + b'{"anchor": 3}\n')
    words = ("ingest", "-c", config, "--set", "data.pairs=memory://in/pairs.jsonl")
    code, _, err = call(*words)
    assert code == 4
    assert err.splitlines()[-1].startswith("error: memory://in/pairs.jsonl:9: ")
    assert ".cache" not in err
    assert call(*words, "--set", "data.on_bad_row=skip")[0] == 0
    rejected = json.loads((config.parent / "work" / "ingest" / "rejected.jsonl").read_text())
    assert (rejected["file"], rejected["line"]) == ("memory://in/pairs.jsonl", 9)


@pytest.mark.parametrize(
    ("key", "name", "content", "message"),
    [
        ("data.pairs", "empty.jsonl", b"", "memory://in/empty.jsonl: this file is empty"),
        ("data.pairs", "cut.jsonl.gz", b"\x1f\x8bnothing", "memory://in/cut.jsonl.gz: this file is damaged"),
        ("data.corpus", "bad.parquet", b"PAR1", "memory://in/bad.parquet: this is no readable Parquet"),
        ("embed.vectors.corpus", "bad.npy", b"1234567890", "memory://in/bad.npy: this is no .npy file"),
        ("data.corpus", "odd.xyz", b"1", "memory://in/odd.xyz: files ending in '.xyz' are not supported"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_by_its_url(
    config: Path, memory: MemoryFileSystem, key: str, name: str, content: bytes, message: str
) -> None:
    upload(config, memory, "/in")
    memory.pipe_file(f"/in/{name}", content)
    with pytest.raises(InputError, match=re.escape(message)):
        run(from_urls(config, "memory://in", **{key: f"memory://in/{name}"}))


def _shards(config: Config | Path, files: MemoryFileSystem, place: str, cuts: list[int]) -> None:
    """The pairs of the small run in several objects below ``place``, one row after each of ``cuts``."""
    lines = (Path(config).parent / "pairs.jsonl").read_bytes().splitlines(keepends=True)
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(lines)], strict=True)):
        files.pipe_file(f"{place}/part-{number}.jsonl", b"".join(lines[start:stop]))


@pytest.mark.parametrize(
    "value",
    [
        "memory://in/pairs/*.jsonl",
        "memory://in/**/part-*.jsonl",
        "[memory://in/pairs/part-0.jsonl, memory://in/pairs/part-1.jsonl, memory://in/pairs/part-*.jsonl]",
    ],
)
def test_globs_and_lists_of_urls_have_the_rows_of_one_file(
    config: Path, memory: MemoryFileSystem, fetched: list[str], value: str
) -> None:
    upload(config, memory, "/in")
    _shards(config, memory, "/in/pairs", [2, 3])
    memory.pipe_file("/in/pairs/_SUCCESS", b"")
    memory.pipe_file("/in/pairs/part-0.csv", b"not asked for")
    run(load_config(config), until="ingest")
    remote = from_urls(config, "memory://in", **{"data.pairs": value})
    run(remote, until="ingest")
    here, there = (run_files(config.parent / work)["ingest"] for work in ("work", "remote"))
    assert {**here, "manifest.json": None} == {**there, "manifest.json": None}  # they name other files
    assert not [path for path in fetched if path.endswith((".csv", "_SUCCESS"))]
    made = Manifest.load(config.parent / "remote" / "ingest" / "manifest.json").made_from["inputs"]
    assert list(made) == ["data.corpus", *(f"data.pairs: part-{number}.jsonl" for number in range(3))]


def test_only_the_matches_of_a_glob_that_changed_are_fetched_and_named(
    config: Path, memory: MemoryFileSystem, fetched: list[str]
) -> None:
    upload(config, memory, "/in")
    _shards(config, memory, "/in/pairs", [2, 3])
    remote = from_urls(config, "memory://in", **{"data.pairs": "memory://in/pairs/*.jsonl"})
    run(remote, until="ingest")
    fetched.clear()
    memory.pipe_file("/in/pairs/part-1.jsonl", memory.cat_file("/in/pairs/part-1.jsonl") + b"\n")
    memory.pipe_file("/in/pairs/part-3.jsonl", memory.cat_file("/in/pairs/part-2.jsonl"))
    memory.rm_file("/in/pairs/part-2.jsonl")
    ingest = status(remote)[0]
    assert fetched == ["/in/pairs/part-1.jsonl", "/in/pairs/part-3.jsonl"]
    assert ingest.state == "stale"
    changed = ("part-1.jsonl changed", "part-2.jsonl is gone", "part-3.jsonl is new")
    assert ingest.why == "; ".join(f"the file of data.pairs: {what}" for what in changed)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "memory://in/pairs/*.xml",
            "memory://in/pairs/*.xml: no file matches this pattern. There are:",
        ),
        ("memory://in/pairs/prat-*.jsonl", "no file matches this pattern. Did you mean 'part-1.jsonl'?"),
        ("memory://none/*.jsonl", "memory://none/*.jsonl: there is nothing at this URL. Check data.pairs."),
        ("memory://in/pairs/*", "memory://in/pairs/*: there are files of 2 kinds: part-0.csv, part-0.jsonl."),
    ],
)
def test_a_glob_that_means_no_table_is_told(config: Path, memory: MemoryFileSystem, url: str, message: str) -> None:
    _shards(config, memory, "/in/pairs", [4])
    memory.pipe_file("/in/pairs/part-0.csv", b"x")
    with pytest.raises(InputError, match=re.escape(message)):
        run(load_config(config, [f"data.pairs={url}"]), until="ingest")


def test_a_bad_row_of_a_shard_is_named_by_the_url_of_the_shard(config: Path, memory: MemoryFileSystem, call) -> None:
    _shards(config, memory, "/in/pairs", [2, 3])
    memory.pipe_file("/in/pairs/part-1.jsonl", b'{"anchor": 3}\n')
    code, _, err = call("ingest", "-c", config, "--set", "data.pairs=memory://in/pairs/part-*.jsonl")
    assert code == 4
    assert err.splitlines()[-1].startswith("error: memory://in/pairs/part-1.jsonl:1: ")


def test_a_url_that_names_nothing_is_told_with_its_key(config: Path, memory: MemoryFileSystem) -> None:
    with pytest.raises(InputError, match=r"^memory://in/none.jsonl: there is nothing at this URL. Check data.pairs."):
        run(load_config(config, ["data.pairs=memory://in/none.jsonl"]))
    upload(config, memory, "/in")
    with pytest.raises(InputError, match=r"^memory://in: this is a folder, and a file is needed"):
        run(load_config(config, ["data.pairs=memory://in"]))


def test_what_arrived_in_part_is_not_taken_for_whole(
    config: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(config, memory, "/in")
    remote = from_urls(config, "memory://in")
    place = config.parent / "remote" / ".cache" / "inputs"

    def half(self, path, target, **named):  # type: ignore[no-untyped-def]
        content = memory.cat_file(path)
        Path(target).write_bytes(content[: len(content) // 2])

    def broken(self, path, target, **named):  # type: ignore[no-untyped-def]
        half(self, path, target)
        raise ConnectionResetError("reset by peer")

    for get, message in ((half, "it did not arrive whole"), (broken, "the store cannot be reached")):
        with monkeypatch.context() as patch:
            patch.setattr(MemoryFileSystem, "get_file", get)
            with pytest.raises(InputError, match=f"memory://in/pairs.jsonl: {message}"):
                run(remote)
        assert not [path for path in place.rglob("*") if path.name.endswith(".jsonl")]
        with pytest.raises(InputError, match="this was not fetched yet"):
            input_file(remote, "memory://in/pairs.jsonl")
    run(remote)
    assert stale(remote) == []


def test_a_copy_that_was_replaced_and_not_recorded_is_not_taken_for_what_it_was(
    config: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store goes back to the earlier version after a fetch of the later one was interrupted."""
    upload(config, memory, "/in")
    remote = from_urls(config, "memory://in")
    run(remote)
    earlier = memory.store["/in/queries.npy"]
    content = earlier.getvalue()
    memory.pipe_file("/in/queries.npy", content[:-4] + b"\1\2\3\4")
    real = fetching.write_json

    def interrupted(path: Path, value: dict[str, dict[str, str]]) -> None:
        if "queries.npy" in value["files"]:
            raise KeyboardInterrupt
        real(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(fetching, "write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(remote)
    memory.store["/in/queries.npy"] = earlier
    assert stale(remote) == []
    assert input_file(remote, "memory://in/queries.npy").read_bytes() == content


def test_copies_of_different_places_are_apart(config: Path) -> None:
    one, other = (
        load_config(config, [f"data.pairs=abfs://{name}@account.dfs.core.windows.net/x.jsonl"]) for name in "ab"
    )
    folders = [fetching._Copy(each, str(each.data.pairs)).folder for each in (one, other)]
    assert folders[0] != folders[1]


def test_a_damaged_copy_is_fetched_again(config: Path, memory: MemoryFileSystem, fetched: list[str]) -> None:
    upload(config, memory, "/in")
    remote = from_urls(config, "memory://in")
    run(remote)
    os.truncate(input_file(remote, "memory://in/corpus.npy"), 10)
    fetched.clear()
    assert stale(remote) == []
    assert fetched == ["/in/corpus.npy"]


def test_an_object_that_changes_while_it_is_fetched_is_refused(
    config: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(config, memory, "/in")
    real = MemoryFileSystem.get_file

    def get_file(self, path, *args, **named):  # type: ignore[no-untyped-def]
        real(self, path, *args, **named)
        self.pipe_file(path, bytes(len(self.cat_file(path))))

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", get_file)
        with pytest.raises(InputError, match=r"memory://in/pairs.jsonl: it changed while it was fetched"):
            run(from_urls(config, "memory://in"))


def test_copies_that_no_key_names_any_more_are_left_over(config: Path, memory: MemoryFileSystem) -> None:
    upload(config, memory, "/in")
    remote, local = from_urls(config, "memory://in"), load_config(config, [f"work_dir={config.parent / 'remote'}"])
    run(remote)
    assert leftovers(remote) == []
    found = leftovers(local)
    assert len(found) == len(FILES)
    clean(local, found)
    assert leftovers(local) == []


def _collection(folder: Path) -> None:
    (folder / "qrels").mkdir(parents=True)
    rows = [json.dumps({"_id": f"d{n}", "title": "", "text": f"passage {n}"}) for n in range(40)]
    (folder / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    rows = [json.dumps({"_id": f"q{n}", "text": f"query {n}"}) for n in range(8)]
    (folder / "queries.jsonl").write_text("\n".join(rows) + "\n")
    for split in ("train", "test"):
        labels = "".join(f"q{n}\td{n}\t1\n" for n in range(8))
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{labels}")


def _beir(config: Path, url: str, *overrides: str) -> Config:
    text = config.read_text().replace("data: {pairs: pairs.jsonl, corpus: corpus.jsonl}", f"data: {{path: '{url}'}}")
    file = config.with_name("beir.yaml")
    file.write_text(text)
    return load_config(file, overrides)


def test_a_collection_is_read_from_a_folder_on_a_store(
    config: Path, memory: MemoryFileSystem, fetched: list[str]
) -> None:
    folder = config.parent / "beir"
    _collection(folder)
    for path in folder.rglob("*.*"):
        memory.pipe_file(f"/sets/one/{path.relative_to(folder)}", path.read_bytes())
    memory.pipe_file("/sets/one/vectors/big.bin", b"not asked for")
    run(_beir(config, str(folder)), until="ingest")
    remote = _beir(config, "memory://sets/one/", f"work_dir={config.parent / 'remote'}")
    run(remote, until="ingest")
    assert run_files(config.parent / "remote") == run_files(config.parent / "work")
    assert "/sets/one/vectors/big.bin" not in fetched
    with pytest.raises(InputError, match=r"^memory://sets/one/: there is no qrels/trian.tsv. There are: test, train"):
        run(_beir(config, "memory://sets/one/", "data.split=trian"))
    memory.pipe_file("/sets/one/qrels/train.tsv", b"q0\td0\tmany\n")
    with pytest.raises(InputError, match=r"memory://sets/one/qrels/train.tsv:1:7: the grade 'many' is not a number"):
        run(remote)
    memory.rm_file("/sets/one/queries.jsonl")
    with pytest.raises(InputError, match=r"^memory://sets/one/: there is no queries.jsonl"):
        run(remote)
    with pytest.raises(InputError, match=r"^memory://sets/none: there is no"):
        run(_beir(config, "memory://sets/none"))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(config: Path) -> Iterator[str]:
    """The folder of the config, over HTTP."""
    handler = functools.partial(_Quiet, directory=str(config.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_inputs_are_read_over_http_and_no_secret_is_shown(config: Path, web: str, call) -> None:
    remote = from_urls(
        config, f"http://user:p4ssw0rd@{web}", **{"data.pairs": f"http://{web}/pairs.jsonl?token=p4ssw0rd"}
    )
    run(remote)
    assert stale(remote) == []
    with (config.parent / "pairs.jsonl").open("a") as file:
        file.write('{"anchor": 3}\n')
    shown = []
    for url in (f"http://user:p4ssw0rd@{web}/pairs.jsonl", f"http://{web}/pairs.jsonl?token=p4ssw0rd"):
        for more in ((), ("--set", "data.on_bad_row=skip"), ("--set", "nothing=1"), ("--set", "filter.risk=3")):
            shown.append(call("ingest", "-v", "-c", config, "--set", f"data.pairs={url}", *more))
        shown.append(call("run", "-c", config, "--set", f"data.pairs={url.replace('pairs', 'none')}"))
    assert f"fetching http://{web}/pairs.jsonl (" in shown[0][2]
    assert f"error: http://{web}/pairs.jsonl:9: " in shown[0][2]
    assert f"error: http://{web}/pairs.jsonl?...:9: " in shown[5][2]
    assert [code for code, _, _ in shown] == [4, 0, 3, 3, 4] * 2
    assert not [text for _, *texts in shown for text in texts if "p4ssw0rd" in text]
    kept = [path for path in config.parent.rglob("*") if path.is_file() and b"p4ssw0rd" in path.read_bytes()]
    assert kept == []


def test_a_folder_cannot_be_read_over_http(config: Path, web: str) -> None:
    with pytest.raises(InputError, match=r"cannot be listed over HTTP. Set data.corpus"):
        run(_beir(config, f"http://{web}/beir"))


def test_secrets_in_a_config_file_are_not_shown_with_its_errors(config: Path, call) -> None:
    text = config.read_text().replace("pairs: pairs.jsonl", "pairs: 'https://user:p4ssw0rd@host/x.jsonl', pears: 1")
    config.write_text(text)
    code, _, err = call("status", "-c", config)
    assert code == 3
    assert "pears" in err
    assert "p4ssw0rd" not in err


def test_a_missing_package_is_told_before_anything_is_fetched(
    config: Path, memory: MemoryFileSystem, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(config, memory, "/in")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    remote = from_urls(config, "memory://in", **{"embed.vectors.queries": "s3://bucket/queries.npy"})
    with pytest.raises(MissingDependencyError, match=r"s3://bucket/queries.npy: .*negmine\[s3\]") as caught:
        run(remote)
    assert caught.value.exit_code == 8
    assert fetched == []


def test_inputs_come_from_a_bucket(config: Path, s3: fsspec.AbstractFileSystem, call) -> None:
    run(load_config(config))
    upload(config, s3, "bucket/in")
    remote = from_urls(config, "s3://bucket/in")
    run(remote)
    assert run_files(config.parent / "remote") == run_files(config.parent / "work")
    assert stale(remote) == []
    s3.pipe_file("bucket/in/pairs.jsonl", (config.parent / "pairs.jsonl").read_bytes() + b'{"anchor": 3}\n')
    assert stale(remote) != []
    words = ("run", "-c", config, "--set", "data.pairs=s3://bucket/in/pairs.jsonl")
    assert "\nerror: s3://bucket/in/pairs.jsonl:9: " in call(*words)[2]
    code, _, err = call(*words[:-1], "data.pairs=s3://bucket/in/pears.jsonl")
    assert (code, err.count("\n")) == (4, 1)
    assert err.startswith("error: s3://bucket/in/pears.jsonl: there is nothing at this URL. Check data.pairs")


def test_a_collection_comes_from_a_bucket(config: Path, s3: fsspec.AbstractFileSystem) -> None:
    folder = config.parent / "beir"
    _collection(folder)
    for path in folder.rglob("*.*"):
        s3.pipe_file(f"bucket/sets/one/{path.relative_to(folder)}", path.read_bytes())
    run(_beir(config, str(folder)), until="ingest")
    remote = _beir(config, "s3://bucket/sets/one", f"work_dir={config.parent / 'remote'}")
    run(remote, until="ingest")
    assert run_files(config.parent / "remote") == run_files(config.parent / "work")
    assert status(remote)[0].state == "current"


def test_a_copy_opens_as_the_file_and_reads_as_the_url(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl.gz"
    file.write_bytes(b"content")
    path = Fetched.of(file, "s3://bucket/x.jsonl.gz")
    assert str(path) == f"{path}" == "s3://bucket/x.jsonl.gz"
    assert os.fspath(path) == str(file)
    assert path.read_bytes() == b"content"
    assert (path.exists(), path.is_dir(), path.stat().st_size) == (True, False, 7)
    assert (path.suffix, path.stem, path.name) == (".gz", "x.jsonl", "x.jsonl.gz")
    assert str(path.parent) == str(tmp_path)
    assert os.fspath(path.absolute()) == str(file)
    assert os.fspath(pickle.loads(pickle.dumps(path))) == str(file)
    assert shutil.copy(path, tmp_path / "y") == tmp_path / "y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:secret@host/a@b.jsonl", "https://host/a@b.jsonl"),
        ("https://token@host/a", "https://host/a"),
        ("at s3://key:se%2Fcret@bucket/a", "at s3://bucket/a"),
        ("https://host/a?X-Amz-Signature=0 and more", "https://host/a?... and more"),
        ("https://host/a?...:9: a bad row", "https://host/a?...:9: a bad row"),
        ("abfs://container@account.dfs.core.windows.net/a", "abfs://container@account.dfs.core.windows.net/a"),
        ("hf://gpt2@main/config.json", "hf://gpt2@main/config.json"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
        ("a plain line: with@colon", "a plain line: with@colon"),
    ],
)
def test_secrets_are_taken_out_of_urls(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_store_that_tells_no_versions_apart_is_always_asked_again() -> None:
    assert stamp({"name": "x", "size": 3}) is None
    assert stamp({"ETag": '"a"', "size": 3}) != stamp({"ETag": '"b"', "size": 3})
    assert stamp({"LastModified": "1", "size": 3}) != stamp({"LastModified": "1", "size": 4})


def test_nothing_is_asked_of_any_store_without_urls(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    fetch_inputs(load_config(config))
    assert not (config.parent / "work").exists()
