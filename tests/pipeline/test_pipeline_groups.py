"""filter.exclude_same and filter.positive_similarity in whole runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import negmine
from negmine.errors import ConfigError
from negmine.results import read_verdicts

PASSAGES = [("d0", "a"), ("d1", "a"), ("d2", "b"), ("d3", None), ("d4", "b"), ("d5", "c")]
VECTORS = np.array([[1, 0], [0.8, 0.6], [0.9, 0.43], [0.6, 0.8], [0.5, 0.86], [0, 1]], np.float32)


def config(folder: Path, **rules: object) -> negmine.Config:
    rows = [{"_id": name, "text": f"text {name}", "doc": doc} for name, doc in PASSAGES]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = [{"query_id": "q", "anchor": "query", "positive_id": "d0"}]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    np.save(folder / "c.npy", VECTORS)
    np.save(folder / "q.npy", VECTORS[:1])
    return negmine.config_from_dict(
        {
            "work_dir": "run",
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl", "metadata": ["doc"]},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}},
            "filter": {"relative_margin": None, "num_negatives": 3, **rules},
        },
        folder,
    )


def reasons(loaded: negmine.Config) -> dict[str, str]:
    negmine.run(loaded)
    return {row["doc_id"]: row["reason"] for row in read_verdicts(loaded).to_pylist()}


def test_chunks_of_the_positives_document_are_no_negatives(tmp_path: Path) -> None:
    """A document without a value belongs to no group."""
    found = reasons(config(tmp_path, exclude_same=["doc"]))
    assert found == {
        "d0": "positive",
        "d1": "same_doc",
        "d2": "kept",
        "d3": "kept",
        "d4": "kept",
        "d5": "not_sampled",
    }
    report = json.loads((tmp_path / "run" / "filter" / "report.json").read_text())
    assert report["reasons"]["same_doc"] == 1


def test_what_is_too_like_the_positive_is_no_negative(tmp_path: Path) -> None:
    found = reasons(config(tmp_path, positive_similarity=0.7))
    assert found["d1"] == found["d2"] == "positive_similarity"
    assert [name for name, reason in found.items() if reason == "kept"] == ["d3", "d4", "d5"]


def test_similarity_to_the_positive_is_kept_with_every_candidate(tmp_path: Path) -> None:
    loaded = config(tmp_path)
    negmine.run(loaded)
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    for row in read_verdicts(loaded).to_pylist():
        assert row["positive_similarity"] == pytest.approx(float(unit[0] @ unit[int(row["doc_id"][1])]), abs=1e-6)


def test_only_carried_columns_can_be_compared(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'product' is not a carried column \(data.metadata: doc\)"):
        config(tmp_path, exclude_same=["product"])
