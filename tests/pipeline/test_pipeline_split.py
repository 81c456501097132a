"""Held-out queries in whole runs: nothing that training has seen is among them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import negmine
from negmine.text import normalise

sys.path.insert(0, str(Path(__file__).parents[1] / "consumers"))
import sample

EXPORTS = [
    {"format": "flagembedding", "file": "fe.jsonl"},
    {"format": "labeled-pair", "file": "{split}-pairs.jsonl"},
    {"format": "beir", "file": "beir/"},
]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def twins(folder: Path) -> None:
    """Inputs in which a query says what another's positive says, and a document is there in other letters."""
    sample.write_inputs(folder)
    asked, documents = lines(folder / "queries.jsonl"), lines(folder / "corpus.jsonl")
    asked[2]["text"] = documents[3]["text"].upper()
    documents[10]["text"] = f"  {documents[12]['text']}  "
    documents[13]["text"], documents[13]["title"] = documents[14]["text"], "Another title"
    for name, rows in (("queries.jsonl", asked), ("corpus.jsonl", documents)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.mark.parametrize("seed", range(4))
def test_no_text_of_a_query_or_positive_is_on_both_sides(tmp_path: Path, seed: int) -> None:
    twins(tmp_path)
    run = sample.run(tmp_path, EXPORTS, split={"dev": 0.3}, seed=seed) / "export"
    seen: dict[str, set[str]] = {}
    for split, name in (("train", "fe.jsonl"), ("dev", "fe.dev.jsonl")):
        rows = lines(run / name)
        assert rows
        pairs = [(row["anchor"], row["text"]) for row in lines(run / f"{split}-pairs.jsonl") if row["label"] == 1]
        said = [text for pair in pairs for text in pair] + [
            text for row in rows for text in (row["query"], *row["pos"])
        ]
        seen[split] = {normalise(text) for text in said}
        corpus = {row["_id"]: row["text"] for row in lines(run / "beir" / "corpus.jsonl")}
        for line in (run / "beir" / "qrels" / f"{split}.tsv").read_text("utf-8").splitlines()[1:]:
            seen[split].add(normalise(corpus[line.split("\t")[1]]))  # without its title
    assert seen["train"]
    assert not seen["train"] & seen["dev"]


def test_a_split_only_parts_the_rows(tmp_path: Path) -> None:
    """Train and dev together are the rows without a split; the record of the split names every query once."""
    before = lines(sample.run(tmp_path, EXPORTS[:1]) / "export" / "fe.jsonl")
    parted = sample.run(tmp_path, EXPORTS, split={"dev": 0.3}) / "export"
    after = [row for name in ("fe.jsonl", "fe.dev.jsonl") for row in lines(parted / name)]
    assert sorted(after, key=str) == sorted(before, key=str)
    record = pq.read_table(parted / "split.parquet").to_pylist()
    assert sorted(row["query_id"] for row in record) == sorted(row["_id"] for row in sample.queries())
    assert sum(row["split"] == "dev" for row in record) == pytest.approx(0.3 * len(record), abs=2)


def test_one_component_cannot_be_split(tmp_path: Path) -> None:
    sample.write_inputs(tmp_path)
    ids = [row["_id"] for row in sample.queries()]
    common = "".join(f"{name}\t{sample.documents()[0]['_id']}\t1\n" for name in ids)
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + common, "utf-8")
    with pytest.raises(negmine.NegmineError, match=r"\b40\b"):
        sample.run(tmp_path, EXPORTS, split={"dev": 0.3})
