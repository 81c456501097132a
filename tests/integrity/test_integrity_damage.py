"""Whatever happens to a file of a finished run is noticed, named and mended."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_run import STAGES, negmine

from negmine.errors import ArtifactError
from negmine.writers.histogram import can_draw

FILES = (
    *(f"ingest/{name}" for name in ("corpus.parquet", "queries.parquet", "positives.parquet", "excluded.parquet")),
    *(f"ingest/{name}" for name in ("conflicts.parquet", "negatives.parquet", "rejected.jsonl", "quality.json")),
    *(f"embed/corpus/part-{number:05d}.parquet" for number in range(3)),
    "embed/queries/part-00000.parquet",
    "index/vectors-00000.npy",
    *(f"mine/part-{number:05d}.parquet" for number in range(4)),
    *(f"mine/positives-{number:05d}.parquet" for number in range(4)),
    "mine/positives.parquet",
    *(f"filter/part-{number:05d}.parquet" for number in range(4)),
    *(f"filter/{name}" for name in ("calibration.json", "pairs.json", "pairs.parquet", "report.json")),
    "export/train-00000-of-00002.jsonl",
    "export/train-00001-of-00002.jsonl",
    "export/tuples.jsonl.gz",
    "export/pairs.jsonl.zst",
    "export/lists.parquet",
    "export/provenance.parquet",
    "export/README.md",
    *(["export/scores.png"] if can_draw() else []),
    *(f"{stage}/manifest.json" for stage in STAGES),
)


def kin(path: Path) -> Path:
    """Another file of the same kind, in the same run."""
    work = next(parent for parent in path.parents if parent.name == "work")
    alike = [file for file in sorted(work.rglob(f"*{path.suffix}")) if file.read_bytes() != path.read_bytes()]
    alike = [file for file in alike if file.relative_to(work).parts[0] in STAGES]
    same_name = [file for file in alike if file.name == path.name]
    return (same_name or alike or [work / "mine" / "positives.parquet"])[0]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(path: Path) -> None:
    other = kin(path)
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


DAMAGE: dict[str, Callable[[Path], None]] = {"flip": flip, "truncate": truncate, "remove": Path.unlink, "swap": swap}


def repaired(finished: Any) -> list[tuple[Path, str, int]]:
    """Run, and as long as it is refused run what the message says: each (file, stage, tasks run)."""
    done: list[tuple[Path, str, int]] = []
    while (refused := refusal(finished)) is not None:
        command = re.search(r"negmine (\w+) --repair -c CONFIG", str(refused))
        assert command, str(refused)
        assert len(done) < 4, f"it is still refused after {done}"
        ran = finished.tasks_run(until=command[1], only=True, repair=True)
        done.append((Path(str(refused.where)), command[1], ran[command[1]]))
    return done


def refusal(finished: Any) -> ArtifactError | None:
    try:
        finished.run()
    except ArtifactError as error:
        return error
    return None


def stamps(finished: Any, stage: str) -> dict[str, tuple[int, int]]:
    """When and as what the files of a stage were written."""
    files = {path: path.stat() for path in (finished.work / stage).rglob("*") if path.is_file()}
    return {str(path): (stat.st_ino, stat.st_mtime_ns) for path, stat in files.items()}


def test_every_file_of_the_run_is_tried(finished: Any) -> None:
    """The list in this module is what a run leaves."""
    assert sorted(FILES) == sorted(f"{stage}/{name}" for stage, names in finished.files().items() for name in names)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_damage_is_refused_and_repaired(finished: Any, file: str, damage: str) -> None:
    """`run` names the file and a command; after that command all bytes are the original ones."""
    path = finished.part(file)
    if damage in ("flip", "truncate") and not path.stat().st_size:
        pytest.skip("an empty file has no byte to lose")
    bad = {path, kin(path)} if damage == "swap" else {path}
    untouched = {
        stage: stamps(finished, stage)
        for stage in STAGES
        if stage not in {p.relative_to(finished.work).parts[0] for p in bad}
    }
    DAMAGE[damage](path)
    steps = repaired(finished)
    assert {where for where, _, _ in steps} <= bad
    assert {stage for _, stage, _ in steps} == {p.relative_to(finished.work).parts[0] for p in bad}
    assert finished.files() == finished.expected
    assert set(finished.tasks_run().values()) == {0}
    assert {stage: stamps(finished, stage) for stage in untouched} == untouched


@pytest.mark.parametrize("file", [file for file in FILES if not file.endswith("manifest.json")])
def test_only_the_task_of_a_bad_part_is_rerun(finished: Any, file: str) -> None:
    """Of a stage with one bad file, one task is done again."""
    finished.part(file).unlink()
    assert [ran for _, _, ran in repaired(finished)] == [1]


@pytest.mark.parametrize("file", ["embed/corpus/part-00001.parquet", "filter/manifest.json", "export/lists.parquet"])
def test_the_command_line_says_exit_code_5_file_and_command(finished: Any, file: str) -> None:
    """One line on stderr; the command in it can be pasted and mends the run."""
    truncate(finished.part(file))
    refused = negmine("run", "-c", finished.file)
    lines = refused.stderr.splitlines()
    assert refused.returncode == 5
    assert len(lines) == 1
    assert str(finished.part(file)) in lines[0]
    command = re.search(r"negmine (\w+ --repair -c \S+)", lines[0])
    assert command
    assert negmine(*command[1].split()).returncode == 0
    assert negmine("run", "-c", finished.file).returncode == 0
    assert finished.files() == finished.expected


def test_status_calls_a_damaged_stage_damaged(finished: Any) -> None:
    """`status` names the stage, the file and what is wrong with it."""
    finished.part("mine/part-00002.parquet").unlink()
    said = negmine("status", "-c", finished.file, "--json").stdout
    assert '"damaged", "why": "part-00002.parquet: it is missing"' in said


def test_a_removed_stage_is_just_run_again(finished: Any) -> None:
    """Deleting a stage's folder asks for that stage; the others stay."""
    for path in sorted((finished.work / "mine").rglob("*")):
        path.unlink()
    (finished.work / "mine").rmdir()
    ran = finished.tasks_run()
    assert [stage for stage in STAGES if ran[stage]] == ["mine"]
    assert finished.files() == finished.expected


def test_a_repair_that_is_interrupted_goes_on(finished: Any) -> None:
    """Parts repaired before an interruption are not made a third time."""
    from stopping import Stopping

    for number in range(3):
        finished.part(f"mine/part-{number:05d}.parquet").unlink()
    with pytest.raises(KeyboardInterrupt):
        finished.run(until="mine", only=True, repair=True, executor=Stopping("mine", 2))
    assert finished.tasks_run(until="mine", only=True, repair=True)["mine"] == 1
    finished.run()
    assert finished.files() == finished.expected
