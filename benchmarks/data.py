"""Synthetic collections with vectors, made once per size and kept in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def collection(folder: Path, passages: int, queries: int, dimension: int, seed: int = 0) -> Path:
    """Corpus, pairs and vectors in ``folder``/<sizes>; queries lie near their positive.

    Passages are drawn around sqrt(passages) random topics, so that a query has neighbours of
    all degrees as it has in text.
    """
    home = folder / f"{passages}x{queries}x{dimension}"
    if (home / "done").exists():
        return home
    home.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    topics = rng.standard_normal((int(passages**0.5), dimension), dtype=np.float32)
    corpus = topics[rng.integers(0, len(topics), passages)]
    corpus += rng.standard_normal((passages, dimension), dtype=np.float32)
    corpus /= np.linalg.norm(corpus, axis=1, keepdims=True)
    positive = rng.choice(passages, queries, replace=queries > passages)
    query = corpus[positive] + 0.7 / dimension**0.5 * rng.standard_normal((queries, dimension), dtype=np.float32)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    np.save(home / "corpus.npy", corpus)
    np.save(home / "queries.npy", query.astype(np.float32))
    with (home / "corpus.jsonl").open("w") as file:
        file.writelines(json.dumps({"_id": f"d{i}", "text": f"passage number {i}"}) + "\n" for i in range(passages))
    with (home / "pairs.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"query_id": f"q{i}", "anchor": f"query number {i}", "positive_id": f"d{p}"}) + "\n"
            for i, p in enumerate(positive)
        )
    (home / "done").touch()
    return home


def config_of(home: Path, work_dir: Path, **sections: object) -> dict[str, object]:
    """A config over a collection's own vectors."""
    return {
        "work_dir": str(work_dir),
        "data": {"pairs": str(home / "pairs.jsonl"), "corpus": str(home / "corpus.jsonl")},
        "embed": {"vectors": {"corpus": str(home / "corpus.npy"), "queries": str(home / "queries.npy")}},
        **sections,
    }
