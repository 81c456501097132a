"""Small runs that differ: documents and queries whose vectors depend on their texts alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import negmine
from negmine.config import Config


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Result]


Texts = Mapping[str, str]
DOCUMENTS = {f"d{i}": f"passage {i} about topic {i % 7}" for i in range(60)}
QUERIES = {f"q{i}": f"question {i}" for i in range(20)}


def positives(queries: Texts, documents: Texts) -> list[tuple[str, str]]:
    """Two positives for every query, which depend on the texts and not on the ids."""
    by_text = sorted(documents, key=lambda name: _hash(documents[name]))
    pairs = []
    for name, text in queries.items():
        place = int(_hash(text)[:8], 16)
        pairs += [(name, by_text[place % len(by_text)]), (name, by_text[(place + 5) % len(by_text)])]
    return pairs


def write(folder: Path, documents: Texts = DOCUMENTS, queries: Texts = QUERIES, seed: str = "") -> None:
    """A BEIR folder with vectors of 6 dimensions; another ``seed`` is another encoder."""
    for name in ("qrels", "vectors"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _jsonl(folder / "corpus.jsonl", [{"_id": name, "title": "", "text": text} for name, text in documents.items()])
    _jsonl(folder / "queries.jsonl", [{"_id": name, "text": text} for name, text in queries.items()])
    pairs = positives(queries, documents)
    rows = "".join(f"{query}\t{document}\t1\n" for query, document in pairs)
    (folder / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}", "utf-8")
    vectors = {name: _vector(text, seed) for name, text in documents.items()}
    near = {name: _vector(text, seed) / 2 for name, text in queries.items()}
    for query, document in pairs:
        near[query] = near[query] + vectors[document]
    for kind, name, found in (("corpus", "doc_id", vectors), ("queries", "query_id", near)):
        table = pa.table({name: list(found), "vector": pa.array(list(found.values()), pa.list_(pa.float32(), 6))})
        pq.write_table(table, folder / "vectors" / f"{kind}.parquet")


def config_of(
    folder: Path,
    work_dir: Path | str,
    overrides: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Config:
    """A config with these keys of filter, and ``more`` sections."""
    vectors = {kind: str(folder / "vectors" / f"{kind}.parquet") for kind in ("corpus", "queries")}
    return negmine.config_from_dict(
        {
            "work_dir": str(work_dir),
            "data": {"path": str(folder), "split": "train"},
            "embed": {"vectors": vectors},
            "mine": {"k": 15},
            **(more or {}),
            "filter": {"risk": None, "near_duplicates": None, "num_negatives": 4, **(overrides or {})},
        }
    )


def finished(folder: Path, work_dir: Path, overrides: Mapping[str, Any] | None = None) -> Path:
    """The work_dir of a finished run on ``folder``, with these keys of filter."""
    negmine.run(config_of(folder, work_dir, overrides))
    return work_dir


def kept(work_dir: Path) -> dict[str, list[str]]:
    """Ids of the negatives by the id of the query, in order."""
    table = negmine.read_negatives(work_dir).select(["query_id", "doc_id", "position"]).to_pylist()
    found: dict[str, list[str]] = {}
    for row in sorted(table, key=lambda row: row["position"]):
        found.setdefault(row["query_id"], []).append(row["doc_id"])
    return found


def _vector(text: str, seed: str) -> np.ndarray:
    return np.random.default_rng(int(_hash(f"{seed}{text}")[:12], 16)).standard_normal(6).astype(np.float32)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
