"""Datasets that the library of that name loads: read like files, kept with the run, told when they are not there."""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from small_run import run_files

from negmine.config import Config, load_config
from negmine.errors import InputError, MissingDependencyError
from negmine.pipeline import clean, leftovers, run, status
from negmine.planning import plan
from negmine.remote.fetching import dataset_files, fetch_inputs

Texts = dict[str, str]


def make_set(folder: Path, files: Texts, front_matter: str = "") -> Path:
    """A folder in one of the layouts that the library loads."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if front_matter:
        (folder / "README.md").write_text(f"---\n{front_matter}\n---\n# A dataset\n")
    return folder


@pytest.fixture
def pairs(config: Path) -> list[str]:
    """The lines of the small run's pairs."""
    return (config.parent / "pairs.jsonl").read_text().splitlines(keepends=True)


def from_set(config: Path, dataset: str, *overrides: str, work: str = "loaded") -> Config:
    given = ("data.pairs=null", f"data.dataset={dataset}", f"work_dir={config.parent / work}")
    return load_config(config, [*given, *overrides])


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was loaded, in order."""
    seen: list[str] = []
    real = datasets.load_dataset

    def load_dataset(name: str, *rest: Any, split: str, **named: Any) -> Any:
        seen.append(split)
        return real(name, *rest, split=split, **named)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return seen


def test_a_loaded_dataset_gives_the_tables_of_its_files(config: Path, pairs: Sequence[str]) -> None:
    """With splits by name, and through the whole pipeline; a second run does nothing."""
    make_set(config.parent / "set", {"train.jsonl": "".join(pairs), "test.jsonl": "".join(pairs[:2])})
    loaded = from_set(config, f"{{name: {config.parent / 'set'}}}")
    assert [step.state for step in plan(loaded)] == ["missing"] * 6
    run(load_config(config))
    run(loaded)
    here, there = (run_files(config.parent / work) for work in ("work", "loaded"))
    for stage in here:
        assert {**here[stage], "manifest.json": None} == {**there[stage], "manifest.json": None}
    assert {stage.state for stage in status(loaded)} == {"current"}
    fewer = from_set(config, f"{{name: {config.parent / 'set'}}}", "data.split=test")
    assert status(fewer)[0].why == "the file of data.dataset changed"
    assert run(fewer, until="ingest").stages[0].manifest.counts["queries"] == 2


def test_a_configuration_is_chosen_by_its_name(config: Path, pairs: Sequence[str]) -> None:
    """As the front matter of a dataset card defines it, here with a split of two files."""
    files = {"a/x.jsonl": pairs[0], "b/1.jsonl": "".join(pairs[:3]), "b/2.jsonl": "".join(pairs[3:5])}
    front = (
        "configs:\n- config_name: a\n  data_files: a/*.jsonl\n"
        "- config_name: b\n  data_files:\n  - split: dev\n    path: b/*.jsonl"
    )
    folder = make_set(config.parent / "set", files, front)
    chosen = from_set(config, f"{{name: {folder}, config: b}}", "data.split=dev")
    assert run(chosen, until="ingest").stages[0].manifest.counts["queries"] == 5
    (config.parent / "relative.yaml").write_text(
        config.read_text().replace("pairs: pairs.jsonl", "dataset: {name: ./set, config: a}")
    )
    assert run(load_config(config.parent / "relative.yaml"), until="ingest").stages[0].manifest.counts["queries"] == 1


def test_a_changed_dataset_is_loaded_again_and_its_earlier_files_go(config: Path, pairs: Sequence[str]) -> None:
    folder = make_set(config.parent / "set", {"train.jsonl": "".join(pairs)})
    loaded = from_set(config, f"{{name: {folder}}}")
    run(loaded, until="ingest")
    make_set(folder, {"train.jsonl": "".join(pairs[:3])})
    assert status(loaded)[0].state == "stale"
    assert run(loaded, until="ingest").stages[0].manifest.counts["queries"] == 3
    files = list((config.parent / "loaded" / ".cache" / "inputs").rglob("*.arrow"))
    assert [str(path) for path in files] == [path.__fspath__() for path in dataset_files(loaded)]
    make_set(folder, {"train.jsonl": "".join(pairs)})
    assert run(loaded, until="ingest").stages[0].manifest.counts["queries"] == len(pairs)


def test_a_commit_is_loaded_once(config: Path, pairs: Sequence[str], loads: list[str], tmp_path: Path) -> None:
    """It cannot change; a branch can, so it is asked for every time. A lost file is loaded again."""
    folder = make_set(config.parent / "set", {"train.jsonl": "".join(pairs), "test.jsonl": pairs[0]})
    config.write_text(config.read_text().replace("pairs: pairs.jsonl", "dataset: {name: owner/name, revision: main}"))
    for revision, expected in (("main", 2), ("a" * 40, 1)):
        loads.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                datasets,
                "load_dataset",
                lambda name, *rest, _real=datasets.load_dataset, **named: _real(str(folder), *rest, **named),
            )
            for split in ("train", "test", "train", "test"):
                fetch_inputs(load_config(config, [f"data.dataset.revision={revision}", f"data.split={split}"]))
            assert loads == ["train", "test"] * expected
            wanted = load_config(config, [f"data.dataset.revision={revision}"])
            dataset_files(wanted)[0].unlink()
            fetch_inputs(wanted)
            assert dataset_files(wanted)[0].is_file()


def test_a_copy_that_the_config_does_not_name_any_more_is_left_over(config: Path, pairs: Sequence[str]) -> None:
    folder = make_set(config.parent / "set", {"train.jsonl": "".join(pairs)})
    loaded = from_set(config, f"{{name: {folder}}}", work="work")
    run(loaded, until="ingest")
    assert leftovers(loaded) == []
    local = load_config(config)
    clean(local, leftovers(local))
    with pytest.raises(InputError, match=r"this was not loaded yet\. Run: negmine run"):
        dataset_files(loaded)


def test_a_bad_row_is_named_by_the_dataset(config: Path, pairs: Sequence[str], call: Any) -> None:
    folder = make_set(config.parent / "set", {"train.jsonl": pairs[0] + json.dumps({"anchor": " ", "positive": "p"})})
    words = ("--set", "data.pairs=null", "--set", f"data.dataset={{name: {folder}}}")
    code, out, err = call("ingest", "-c", config, *words)
    assert (code, out) == (4, "")
    assert err.splitlines()[-1].startswith(f"error: {folder}/set-train.arrow (row 2): ")
    assert f"loading {folder} (train)" in err


@pytest.mark.parametrize(
    ("files", "front", "dataset", "split", "message"),
    [
        (
            {"train.jsonl": "{}"},
            "",
            "{name: ./set}",
            "trian",
            "no split 'trian'. Did you mean 'train'? There are:",
        ),
        (
            {"a/x.jsonl": "{}", "b/x.jsonl": "{}"},
            "configs: [{config_name: a, data_dir: a}, {config_name: b, data_dir: b}]",
            "{name: ./set}",
            "train",
            "it has several configurations. There are: a, b. Set data.dataset.config.",
        ),
        ({"x.jsonl": "{}"}, "", "{name: ./set, config: z}", "train", "it has no config 'z'. There are: default."),
        ({}, "", "{name: ./nothing}", "train", "nothing. Check data.dataset.name."),
        ({"x.jsonl": '{"a": 1}\n{"a":\n'}, "", "{name: ./set}", "train", "its files cannot be read as one table ("),
        ({"state.json": "{}"}, "", "{name: ./set}", "train", "save_to_disk wrote this folder. Set data.pairs: "),
    ],
)
def test_what_cannot_be_loaded_is_told(
    files: Texts, front: str, dataset: str, split: str, message: str, config: Path
) -> None:
    make_set(config.parent / "set", files, front)
    (config.parent / "set" / "dataset_info.json").write_text("{}") if "state.json" in files else None
    text = config.read_text().replace("pairs: pairs.jsonl", f"dataset: {dataset}, split: {split}")
    config.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        run(load_config(config), until="ingest")


def test_without_the_library_the_extra_is_named(config: Path, monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "datasets":
            raise ModuleNotFoundError("No module named 'datasets'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r'pip install "negmine\[datasets\]"'):
        run(from_set(config, "{name: owner/name}"), until="ingest")
    code, _, err = call("run", "-c", config, "--set", "data.pairs=null", "--set", "data.dataset={name: owner/name}")
    assert code == 8
    assert err.splitlines()[-1].startswith("error: data.dataset: it needs a package that is not installed")
