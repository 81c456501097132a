"""The dataset card of whole runs: what it says agrees with the run, with and without matplotlib."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from negmine.stages.export import describing

sys.path.insert(0, str(Path(__file__).parents[1] / "consumers"))
import sample

EXPORTS = [{"format": "n-tuple", "file": "train.jsonl"}]


def verdicts(run: Path) -> list[dict]:
    return [row for part in sorted((run / "filter").glob("part-*")) for row in pq.read_table(part).to_pylist()]


def test_without_matplotlib_the_card_counts_scores_in_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describing, "can_draw", lambda: False)
    run = sample.run(tmp_path, EXPORTS)
    card = (run / "export" / "README.md").read_text("utf-8")
    assert not (run / "export" / "scores.png").exists()
    assert "pip install 'negmine[plot]'" in card
    rows = re.findall(r"^\| -?[\d.]+ to -?[\d.]+ \| (\d+) \| (\d+) \| (\d+) \|$", card, re.MULTILINE)
    positives, negatives, dropped = (sum(int(row[column]) for row in rows) for column in range(3))
    found = verdicts(run)
    assert positives == pq.read_table(run / "mine" / "positives.parquet").num_rows
    assert negatives == sum(row["reason"] == "kept" for row in found)
    assert dropped == sum(row["reason"] not in ("kept", "positive") for row in found)


def test_the_card_counts_candidates_by_what_became_of_them(tmp_path: Path) -> None:
    run = sample.run(tmp_path, EXPORTS)
    card = (run / "export" / "README.md").read_text("utf-8")
    told = {reason: int(count) for count, reason in re.findall(r"^\| ([\d]+) \| `(\w+)` \|$", card, re.MULTILINE)}
    reasons = [row["reason"] for row in verdicts(run)]
    assert told == {reason: reasons.count(reason) for reason in set(reasons)}
    assert "absolute_margin` (0.05)" in card


def test_card_and_picture_do_not_depend_on_how_the_work_is_cut(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folders = [
        sample.run(tmp_path / str(size), EXPORTS, mine={"k": 20, "part_queries": size}) / "export" for size in (7, 40)
    ]
    for name in ("README.md", "scores.png"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_rows_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    run = sample.run(tmp_path, EXPORTS)
    card = (run / "export" / "README.md").read_text("utf-8")
    missing = sum(len(group.positives) for group in sample.groups(run) if len(group.negatives) < sample.NEGATIVES)
    assert missing > 0
    assert re.search(rf"\| `train\.jsonl` \| n-tuple \| \d+ \| [\d,]+ \| {missing} \|", card)
