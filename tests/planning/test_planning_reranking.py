"""What a plan says of the rerank stage: at most so many pairs, and time by the model's own pace."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))

import tiny_models

import negmine
from negmine.pipeline.states import stage_status
from negmine.planning import machine as machines
from negmine.planning import plan
from negmine.planning import reranking as planned
from negmine.planning.pace import Pace
from negmine.planning.reranking import known_pairs
from negmine.remote.opening import open_run
from negmine.stages import stages_of

DOCUMENTS, QUERIES = 60, 10


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_cross_encoder(tmp_path_factory.mktemp("models") / "reranker")


@pytest.fixture
def config(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(machines, "_search_rate", lambda *args: 1e9)
    monkeypatch.setattr(machines, "_disk", lambda *args: {"write_bytes": 1e9, "read_bytes": 1e9, "sync_seconds": 1e-4})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    for name, rows in (("c.npy", DOCUMENTS), ("q.npy", QUERIES)):
        np.save(tmp_path / name, draw.standard_normal((rows, 8)).astype(np.float32))
    corpus = [{"_id": f"d{i}", "text": f"passage {i} of a dock"} for i in range(DOCUMENTS)]
    pairs = [{"query_id": f"q{i}", "anchor": f"query {i}", "positive_id": f"d{i}"} for i in range(QUERIES)]
    for name, lines in (("corpus.jsonl", corpus), ("pairs.jsonl", pairs)):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lambda **rerank: negmine.config_from_dict(
        {
            "work_dir": "run",
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}},
            "mine": {"k": 20},
            "rerank": {"model": str(model), "device": "cpu", "part_pairs": 50, **rerank}
            if "endpoint" not in rerank
            else rerank,
        },
        tmp_path,
    )


def reranking(config: Any, notes: list[str] | None = None) -> Any:
    return next(step for step in plan(config, note=(notes or []).append) if step.stage == "rerank")


def test_a_plan_counts_candidates_and_positives(config: Any) -> None:
    whole, less = reranking(config()), reranking(config(depth=5))
    assert (whole.tasks, less.tasks) == (-(-QUERIES * 21 // 50), -(-QUERIES * 6 // 50))
    assert whole.disk_bytes > less.disk_bytes > 0
    assert whole.seconds > 0
    assert whole.memory_bytes > 100e6
    result = negmine.run(config())
    assert result.stages[4].tasks <= whole.tasks + 1
    assert reranking(config()).tasks == 0


def test_pairs_with_a_score_cost_nothing_more(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer candidates score nothing; other ones score those that are new, as the run then does."""
    monkeypatch.setattr(planned, "_measured", lambda of: Pace(1.0, 0.001, 1e-5, 0.0, 1e8, 0.0))  # whatever else runs
    negmine.run(config())
    notes: list[str] = ["-"]
    less = reranking(config(depth=5), notes)
    assert "measuring the reranker" not in notes  # no model is needed
    assert less.seconds < 0.5
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write(json.dumps({"query_id": "q10", "anchor": "another query", "positive_id": "d3"}) + "\n")
    queries = np.load(tmp_path / "q.npy")
    np.save(tmp_path / "q.npy", np.concatenate([queries, -queries[:1]]))
    assert reranking(config()).seconds > less.seconds  # what is mined is not known yet
    negmine.run(config(), until="mine")
    changed = config()
    work = open_run(changed)[1]
    found: dict[str, Any] = {}
    for stage in stages_of(changed).values():
        found[stage.name] = stage_status(stage, changed, work, found)
    total, new = known_pairs(changed, work, found["mine"], found["rerank"])
    assert (total, new) == ((QUERIES + 1) * 21, 21)
    few = reranking(changed)
    assert few.seconds < reranking(config(max_length=32)).seconds  # which scores all anew
    counts = negmine.run(changed).stages[4].manifest.counts
    assert counts["scores"] - counts["reused"] == new


def test_the_pace_is_measured_once(config: Any) -> None:
    notes: list[str] = ["-"]
    first = reranking(config(), notes)
    assert "measuring the reranker" in notes
    del notes[1:]
    assert reranking(config(), notes).seconds == first.seconds
    assert notes == ["-"]
    reranking(config(max_length=32), notes)
    assert "measuring the reranker" in notes


def test_an_endpoint_is_told_in_requests(config: Any) -> None:
    step = reranking(config(endpoint={"url": "http://localhost:1", "batch_texts": 8}))
    assert step.requests == QUERIES * 3
    assert step.tokens > QUERIES * 21
    assert step.seconds is None
