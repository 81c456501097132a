"""What a person reads when something is wrong, and that nothing good is lost by it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import Case, all_cases, good_files

from negmine.cli import main as cli_main
from negmine.cli import options
from negmine.cli.console import Console

CASES = all_cases()
Snapshot = dict[str, tuple[int, int]]


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, config and a finished run; it is copied, never changed."""
    folder = tmp_path_factory.mktemp("good")
    for name, data in good_files().items():
        (folder / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-m", "negmine", "run", "-q"], cwd=folder, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    copy = tmp_path / "project"
    shutil.copytree(good, copy)
    monkeypatch.chdir(copy)
    monkeypatch.setattr(options, "_console", Console())
    monkeypatch.setattr(cli_main.signal, "signal", lambda number, handler: None)
    yield copy
    options._console = Console()


def change(case: Case, folder: Path) -> list[int]:
    """Make the folder as wrong as the case wants it; open files to close at the end."""
    held = []
    for name, content in case.files.items():
        path = folder / name
        if content is None:
            path.unlink(missing_ok=True)
            if path.parent != folder and path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            made = content(path)
            held += [made] if isinstance(made, int) and case.code == 6 else []
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return held


def snapshot(work: Path) -> Snapshot:
    """Every file of the finished stages; hidden ones are the tool's own notes."""
    files = (path for path in work.rglob("*") if path.is_file())
    shown = (path for path in files if not any(part.startswith(".") for part in path.relative_to(work).parts))
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in shown}


def call(case: Case, capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    if case.process:
        words = [sys.executable, "-m", "negmine", *case.command]
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env={**os.environ, **case.environment}
        )
        return done.returncode, done.stdout, done.stderr
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli_main.main(list(case.command))
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


def marked(case: Case) -> object:
    return pytest.param(case, id=case.id)


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_bad_input_is_one_line_and_costs_nothing(case: Case, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The exit code, one line with cause, place and next step, nothing else; the good run stays as it was."""
    held = change(case, folder)
    before = snapshot(folder / "work")
    try:
        code, out, err = call(case, capfd)
    finally:
        for descriptor in held:
            os.close(descriptor)
    line, *rest = err.splitlines() or [""]
    assert code == case.code, err
    assert out == ""
    assert line.startswith("error: ")
    assert all(part.isprintable() for part in (line, *rest)), err
    assert "Traceback" not in err
    assert all(part.startswith("  ") for part in rest), err
    assert case.snippet == bool(rest), err
    for fragment in (case.cause, case.where, case.step):
        assert fragment in line
    told = line[line.index(case.cause) :] if case.step else line
    assert ". " in told, f"no next step: {line}"
    assert len(line) < 2000
    assert snapshot(folder / "work") == before


def test_the_table_is_large_and_names_no_case_twice() -> None:
    """Every area has the cases it is promised to have."""
    twice = [name for name, count in Counter(case.id for case in CASES).items() if count > 1]
    areas = Counter(case.area for case in CASES)
    assert not twice
    assert areas["config"] >= 80
    assert sum(areas[area] for area in ("pairs", "corpus", "queries", "qrels", "beir")) >= 60
    assert areas["vectors"] >= 20
    assert areas["model"] >= 10
    assert areas["work_dir"] >= 10
    assert areas["flags"] >= 20
