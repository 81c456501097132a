"""What an export holds is what a run reads from it again: queries, positives and negatives."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import negmine

sys.path.insert(0, str(Path(__file__).parents[1] / "ingest"))
from ingesting import ingest_files

PASSAGES, QUERIES, NEGATIVES = 30, 6, 3
BACK: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # A format: the entry of `export`, and the `data` that reads it; {out} is the folder of the export.
    "triplet": ({"file": "a.jsonl"}, {"pairs": "{out}/a.jsonl"}),
    "triplet with scores": ({"format": "triplet", "file": "b.parquet", "scores": True}, {"pairs": "{out}/b.parquet"}),
    "n-tuple": ({"file": "c.jsonl.gz"}, {"pairs": "{out}/c.jsonl.gz"}),
    "n-tuple in parquet": ({"format": "n-tuple", "file": "d.parquet"}, {"pairs": "{out}/d.parquet"}),
    "n-tuple in shards": (
        {"format": "n-tuple", "file": "e.jsonl", "shard_rows": 2},
        {"pairs": "{out}/e-*.jsonl"},
    ),
    "labeled-pair": ({"file": "f.jsonl"}, {"pairs": "{out}/f.jsonl"}),
    "labeled-list": ({"file": "g.parquet"}, {"pairs": "{out}/g.parquet"}),
    "margin-mse": ({"file": "h.jsonl"}, {"pairs": "{out}/h.jsonl"}),
    "margin-mse of one": (
        {"format": "margin-mse", "file": "i.jsonl", "negatives_per_row": 1},
        {"pairs": "{out}/i.jsonl"},
    ),
    "flagembedding": ({"file": "j.jsonl", "scores": True, "prompt": "p"}, {"pairs": "{out}/j.jsonl"}),
    "flagembedding in parts": (
        {"format": "flagembedding", "file": "k.jsonl", "one_positive_per_row": True},
        {"pairs": "{out}/k.jsonl"},
    ),
    "tevatron": ({"file": "l.jsonl.zst", "scores": True}, {"pairs": "{out}/l.jsonl.zst"}),
    "tevatron-ids": ({"file": "m/"}, {"pairs": "{out}/m/train.jsonl", "corpus": "{out}/m/corpus.jsonl"}),
    "ids": (
        {"file": "n/"},
        {"pairs": "{out}/n/train.jsonl", "queries": "{out}/n/queries.jsonl", "corpus": "{out}/n/documents.jsonl"},
    ),
    "beir": ({"file": "o/"}, {"path": "{out}/o"}),
}
Content = tuple[set[tuple[str, str]], set[tuple[str, str]]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on passages with and without titles, exported in every way."""
    folder = tmp_path_factory.mktemp("run")
    numbers = np.random.default_rng(0)
    vectors = numbers.standard_normal((PASSAGES, 8)).astype(np.float32)
    rows = [{"_id": f"d{n}", "title": f"Title {n}" if n % 2 else "", "text": f"text {n}"} for n in range(PASSAGES)]
    pairs = [
        {"query_id": f"q{n}", "anchor": f"query {n}", "positive_id": [f"d{n}", f"d{n + 9}"]} for n in range(QUERIES)
    ]
    for name, table in (("corpus", rows), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    np.save(folder / "corpus.npy", vectors)
    np.save(folder / "queries.npy", vectors[:QUERIES] + 0.1)
    exports = [{"format": name, **entry} for name, (entry, _) in BACK.items()]
    config = {
        "work_dir": "work",
        "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
        "embed": {"vectors": {"corpus": "corpus.npy", "queries": "queries.npy"}},
        "mine": {"k": 15},
        "filter": {"num_negatives": NEGATIVES, "risk": None, "near_duplicates": None},
        "export": exports,
    }
    negmine.run(negmine.config_from_dict(config, folder))
    return folder / "work"


def tables(ingest: Path) -> tuple[dict[int, str], dict[int, str]]:
    """What the numbers of queries and passages stand for."""
    queries = pq.read_table(ingest / "queries.parquet").to_pylist()
    corpus = pq.read_table(ingest / "corpus.parquet").to_pylist()
    return (
        {row["query"]: row["text"] for row in queries},
        {row["passage"]: f"{row['title']} {row['text']}".strip() for row in corpus},
    )


def named(ingest: Path, pairs: Any) -> set[tuple[str, str]]:
    queries, passages = tables(ingest)
    return {(queries[row["query"]], passages[row["passage"]]) for row in pairs.to_pylist()}


def written(work: Path) -> Content:
    """Positives of ingest and kept negatives of filter."""
    verdicts = [pq.read_table(path) for path in sorted((work / "filter").glob("part-*.parquet"))]
    kept = [table.filter(np.array([v == "kept" for v in table["verdict"].to_pylist()])) for table in verdicts]
    negatives = set().union(*(named(work / "ingest", table) for table in kept))
    return named(work / "ingest", pq.read_table(work / "ingest" / "positives.parquet")), negatives


@pytest.mark.parametrize("name", sorted(BACK))
def test_what_is_written_is_read_again(exported: Path, tmp_path: Path, name: str) -> None:
    """Nothing is told of the layout: it is recognised."""
    data = {key: value.replace("{out}", str(exported / "export")) for key, value in BACK[name][1].items()}
    run = ingest_files(tmp_path, **data, negatives="keep")
    positives, negatives = written(exported)
    assert len(negatives) == QUERIES * NEGATIVES
    assert named(run.folder, pq.read_table(run.folder / "positives.parquet")) == positives
    assert named(run.folder, pq.read_table(run.folder / "negatives.parquet")) == negatives
