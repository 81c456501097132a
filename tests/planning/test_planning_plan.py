"""A plan on a machine of known speed: what it counts, what it leaves alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import negmine
from negmine.planning import machine as machines
from negmine.planning import plan
from negmine.planning.workload import from_files, from_run
from negmine.store.manifest import Manifest

DOCUMENTS, QUERIES, DIMENSION = 300, 40, 8
PLAN = sys.modules["negmine.planning.plan"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What was measured on a machine whose speed is known."""
    found: list[tuple[Any, ...]] = []

    def measure(name: str, result: Any) -> Any:
        return lambda *args: found.append((name, *args)) or result

    monkeypatch.setattr(machines, "_fastest", measure("processor", 0.1))
    monkeypatch.setattr(machines, "_search_rate", measure("search", 1e9))
    disk = {"write_bytes": 1e9, "read_bytes": 1e9, "sync_seconds": 1e-4}
    monkeypatch.setattr(machines, "_disk", measure("disk", disk))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    return found


@pytest.fixture
def config(tmp_path: Path, asked: list[tuple[Any, ...]]) -> Any:
    random = np.random.default_rng(0)
    np.save(tmp_path / "c.npy", random.standard_normal((DOCUMENTS, DIMENSION)).astype(np.float32))
    np.save(tmp_path / "q.npy", random.standard_normal((QUERIES, DIMENSION)).astype(np.float32))
    rows = [{"_id": f"d{i}", "title": "Ä" * (i % 3), "text": f"passage {i}"} for i in range(DOCUMENTS)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = [{"query_id": f"q{i}", "anchor": f"query {i}", "positive_id": f"d{i}"} for i in range(QUERIES)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    return lambda **sections: negmine.config_from_dict(
        {
            "work_dir": "run",
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}},
            "mine": {"k": 20},
            **sections,
        },
        tmp_path,
    )


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def test_every_number_is_there(config: Any) -> None:
    for step in plan(config()):
        assert step.tasks
        assert step.disk_bytes
        assert step.memory_bytes
        assert step.seconds is not None


def test_planning_changes_nothing_in_the_folders(config: Any, tmp_path: Path) -> None:
    before = tree(tmp_path)
    plan(config())
    assert tree(tmp_path) == before
    negmine.run(config())
    before = tree(tmp_path)
    plan(config(mine={"k": 10}), calibrate=True)
    assert tree(tmp_path) == before


def test_the_disk_is_measured_without_a_trace(tmp_path: Path) -> None:
    """Not even the folder's time changes."""
    before = tree(tmp_path), tmp_path.stat().st_mtime_ns
    assert min(machines._disk(tmp_path).values()) > 0
    assert (tree(tmp_path), tmp_path.stat().st_mtime_ns) == before


def test_the_machine_is_measured_once(config: Any, asked: list[tuple[Any, ...]]) -> None:
    notes: list[str] = []
    plan(config(), note=notes.append)
    assert notes == ["measuring the processor", "measuring the disk"]  # there is too little to search
    first = len(asked)
    plan(config(), note=notes.append)
    assert len(asked) == first
    plan(config(), calibrate=True, note=notes.append)
    assert notes[2:] == [*notes[:2], f"measuring exact search of {DIMENSION} dimensions"]


def test_search_is_measured_when_there_is_much(
    config: Any, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PLAN, "_LITTLE", 100)
    mine = plan(config())[3]
    assert ("search", DIMENSION, 64, 64, "auto") in asked
    found = [step for step in asked if step[0] == "search"]
    monkeypatch.setattr(machines, "_search_rate", lambda *args: 1e5)
    slow = plan(config(), calibrate=True)[3]
    assert len(found) == 1
    assert mine.seconds is not None
    assert slow.seconds is not None
    assert slow.seconds - mine.seconds == pytest.approx(2 * DIMENSION * DOCUMENTS * QUERIES / 1e5, rel=0.01)


def test_threads_are_part_of_the_question(
    config: Any, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PLAN, "_LITTLE", 0)
    for threads in (1, 2, 1):
        plan(config(threads=threads))
    assert len([step for step in asked if step[0] == "search"]) == 2


def test_words_that_are_searched_are_planned(config: Any) -> None:
    """The tasks are those that the run has; the words add to what index takes."""
    words = config(mine={"k": 20, "retrievers": ["dense", "bm25"]})
    without, expected = plan(config())[2], plan(words)
    assert expected[2].disk_bytes > without.disk_bytes
    done = negmine.run(words, until="mine").stages
    assert [step.tasks for step in expected[2:4]] == [stage.tasks for stage in done[2:4]]


def test_a_finished_run_is_not_measured(config: Any, asked: list[tuple[Any, ...]]) -> None:
    negmine.run(config())
    assert {step.seconds for step in plan(config())} == {0.0}
    assert asked == []


def test_counts_before_and_after_ingest_agree(config: Any, tmp_path: Path) -> None:
    before = from_files(config())
    negmine.run(config(), until="ingest")
    folder = tmp_path / "run" / "ingest"
    after = from_run(folder, Manifest.load(folder / "manifest.json"))
    for kind in ("passages", "queries"):
        one, other = getattr(before, kind), getattr(after, kind)
        assert one.count == other.count
        assert one.characters == pytest.approx(other.characters, rel=0.1)
        assert one.lengths.sum() == pytest.approx(other.lengths.sum())
        assert set(one.sample) & set(other.sample)
    assert (before.positives, after.positives) == (QUERIES, QUERIES)


def test_equal_texts_count_once_before_ingest(config: Any, tmp_path: Path) -> None:
    pairs = [{"anchor": f"query {i % 4}", "positive": f"passage {i % 10}"} for i in range(40)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    found = from_files(config(data={"pairs": "pairs.jsonl"}))
    assert (found.queries.count, found.passages.count, found.rows) == (4, 10, 40)


@pytest.mark.parametrize(("workers", "share"), [(1, 1.0), (2, 0.6), (4, 0.4), (100, 0.2)])
def test_workers_share_the_parts(config: Any, workers: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five parts of 8 queries."""
    monkeypatch.setattr(PLAN, "_LITTLE", 0)
    monkeypatch.setattr(machines, "_search_rate", lambda *args: 1e4)
    sections = {"mine": {"k": 20, "part_queries": 8}, "threads": 1}
    alone = plan(config(**sections))[3]
    shared = plan(config(**sections, engine={"kind": "ray", "workers": workers}))[3]
    assert alone.seconds is not None
    assert alone.seconds > 1
    assert shared.seconds == pytest.approx(alone.seconds * share, rel=0.05)
