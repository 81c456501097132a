"""A run whose truth is known: every answer stands there several times, under several ids and in other words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import negmine
from negmine.config import Config

TOPICS, COPIES, QUERIES = 90, 4, 450
MEANING, NUISANCE = 24, 8


def make_run(folder: Path, *, queries: int = QUERIES, **sections: Any) -> Config:
    """The config of a finished run in ``folder``; ``qrels.tsv`` names all copies of every answer.

    Vectors have dimensions that carry the meaning, and some that carry nothing and that a student can learn to
    ignore. One copy of a query's answer is labelled; the others are its nearest candidates.
    """
    random = np.random.default_rng(7)
    topics = _unit(random.standard_normal((TOPICS, MEANING)))
    topics[1::3] = _unit(topics[::3] + 2 * topics[1::3])  # siblings: near, and wrong
    of_passage, of_query = np.arange(TOPICS * COPIES) // COPIES, np.arange(queries) % TOPICS
    passages = np.hstack([topics[of_passage], 0.6 * _unit(random.standard_normal((len(of_passage), NUISANCE)))])
    near = topics[of_query] + 0.5 * _unit(random.standard_normal((queries, MEANING)))
    asked = np.hstack([_unit(near), 1.2 * _unit(random.standard_normal((queries, NUISANCE)))])
    np.save(folder / "corpus.npy", _unit(passages).astype(np.float32))
    np.save(folder / "queries.npy", _unit(asked).astype(np.float32))
    words = [" ".join(f"w{word}" for word in random.integers(0, 5000, 12)) for _ in of_passage]
    copy = random.integers(0, COPIES, queries)
    _jsonl(folder / "corpus.jsonl", [{"_id": f"d{i}", "text": text} for i, text in enumerate(words)])
    pairs = [
        {"query_id": f"q{i}", "anchor": f"question {i}", "positive_id": f"d{of_query[i] * COPIES + copy[i]}"}
        for i in range(queries)
    ]
    _jsonl(folder / "pairs.jsonl", pairs)
    relevant = [(q, of_query[q] * COPIES + c) for q in range(queries) for c in range(COPIES)]
    (folder / "qrels.tsv").write_text("".join(f"q{q} 0 d{d} 1\n" for q, d in relevant), "utf-8")
    config = config_of(folder, **sections)
    negmine.run(config, until="filter")
    return config


def config_of(folder: Path, **sections: Any) -> Config:
    """The config of the run in a folder."""
    return negmine.config_from_dict(
        {
            "work_dir": "work",
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "corpus.npy", "queries": "queries.npy"}},
            "mine": {"k": 30},
            "filter": {"num_negatives": 3},
            "threads": 1,
            **sections,
        },
        folder,
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
