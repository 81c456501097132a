"""What a run tells of the training files it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FEW = "filter={num_negatives: 2, max_score: -0.55, risk: null, near_duplicates: null}"
EXPORTS = (
    "export=[{format: flagembedding, file: fe.jsonl}, {format: labeled-pair, file: pair.jsonl},"
    " {format: beir, file: beir/}]"
)


def test_rows_that_had_no_place_are_told(project: Path, call: Any) -> None:
    """Beside the rows that were written, and file by file in a note."""
    result = call("run", "--set", FEW, "--set", EXPORTS)
    assert result.code == 0
    with_negatives = len((project / "work/export/fe.jsonl").read_text().splitlines())
    without = 6 - with_negatives
    assert without
    assert f"{with_negatives} rows ({without} left out)" in " ".join(result.out.split())
    assert f"{without} of fe.jsonl, {without} of beir/hard-negatives.jsonl" in result.err
    assert "of pair.jsonl" not in result.err


def test_files_in_folders_are_listed(project: Path, call: Any) -> None:
    result = call("run", "--json", "--set", EXPORTS)
    names = [Path(path).relative_to(project / "work" / "export").as_posix() for path in result.json["exports"]]
    assert sorted(names) == [
        "beir/corpus.jsonl",
        "beir/hard-negatives.jsonl",
        "beir/qrels/train.tsv",
        "beir/queries.jsonl",
        "fe.jsonl",
        "pair.jsonl",
    ]
    assert result.json["stages"][-1]["counts"]["rows:beir/hard-negatives.jsonl"] == 6
