"""Measurements are kept by key, and measured again when what is kept cannot be trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from negmine.planning import kept as module
from negmine.planning.kept import kept
from negmine.remote.opening import cache_folder


class Measuring:
    """Counts how often it was asked to measure."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, float]:
        self.times += 1
        return {"rate": float(self.times)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "negmine"


def test_what_was_measured_is_kept(folder: Path) -> None:
    measure = Measuring()
    assert kept("search", {"dimension": 8}, measure) == kept("search", {"dimension": 8}, measure) == {"rate": 1.0}
    assert measure.times == 1
    assert len(list(folder.iterdir())) == 1


def test_it_is_measured_again_when_asked(folder: Path) -> None:
    measure = Measuring()
    kept("search", {}, measure)
    assert kept("search", {}, measure, again=True) == {"rate": 2.0}
    assert kept("search", {}, measure) == {"rate": 2.0}


@pytest.mark.parametrize("other", [("disk", {"dimension": 8}), ("search", {"dimension": 16}), ("search", {})])
def test_another_key_is_measured_for_itself(folder: Path, other: tuple[str, dict[str, int]]) -> None:
    measure = Measuring()
    kept("search", {"dimension": 8}, measure)
    kept(*other, measure)
    assert measure.times == 2


@pytest.mark.parametrize(("what", "value"), [("cores", lambda: 1000), ("_processor", lambda: "another processor"),
                                             ("_versions", lambda: iter([("numpy", "0")]))])  # fmt: skip
def test_another_machine_is_measured_for_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: str, value: object
) -> None:
    measure = Measuring()
    kept("search", {}, measure)
    monkeypatch.setattr(module, what, value)
    kept("search", {}, measure)
    assert measure.times == 2


def _changed(record: dict[str, object], **other: object) -> str:
    return json.dumps({**record, **other})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: "[" * 100_000,
        lambda text: "\x00\xff",
        lambda text: _changed(json.loads(text), measured={"rate": 5.0}),
        lambda text: _changed(json.loads(text), measured={"rate": "fast"}),
        lambda text: _changed(json.loads(text), measured=7),
        lambda text: _changed(json.loads(text), key={}),
        lambda text: text.replace("1.0", "NaN"),
        lambda text: text.replace("1.0", "-1.0"),
    ],
)
def test_a_damaged_file_is_measured_again_and_repaired(folder: Path, damage: object) -> None:
    measure = Measuring()
    kept("search", {}, measure)
    (path,) = folder.iterdir()
    path.write_text(damage(path.read_text("utf-8")), "latin-1")  # type: ignore[operator]
    assert kept("search", {}, measure) == {"rate": 2.0}
    assert kept("search", {}, measure) == {"rate": 2.0}


def test_a_folder_that_takes_no_files_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "negmine").write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measure = Measuring()
    assert [kept("search", {}, measure)["rate"] for _ in range(2)] == [1.0, 2.0]


def test_a_read_only_folder_is_no_reason_to_fail(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, value: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module, "write_json", refuse)
    assert kept("search", {}, Measuring()) == {"rate": 1.0}
    assert not folder.exists()


def test_without_a_cache_variable_the_home_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == tmp_path / ".cache" / "negmine"


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME")
    measure = Measuring()
    assert [kept("search", {}, measure)["rate"] for _ in range(2)] == [1.0, 2.0]
