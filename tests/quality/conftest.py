"""A small finished run without a model: 200 passages, 60 queries, of which the truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import negmine
from negmine.config import Config

QUERIES, PASSAGES, TOPICS = 60, 200, 20
COPIED = 45


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The config of a finished run; ``qrels.tsv`` beside it names as relevant all passages of a query's topic."""
    random = np.random.default_rng(0)
    topics = random.standard_normal((TOPICS, 16))
    of_passage, of_query = np.arange(PASSAGES) % TOPICS, np.arange(QUERIES) % TOPICS
    vectors = topics[of_passage] + random.standard_normal((PASSAGES, 16))
    np.save(tmp_path / "corpus.npy", np.concatenate([vectors, vectors[[COPIED]]]).astype("f4"))
    np.save(tmp_path / "queries.npy", (topics[of_query] + random.standard_normal((QUERIES, 16))).astype("f4"))
    documents = [{"_id": f"d{i}", "text": f"passage {i}"} for i in range(PASSAGES)]
    documents.append({"_id": "copy", "text": f"Passage  {COPIED}"})
    queries = [
        {"query_id": f"q{i}", "anchor": f"query {i}", "positive": f"passage {i % TOPICS}"} for i in range(QUERIES)
    ]
    for name, rows in (("corpus", documents), ("pairs", queries)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    relevant = [(q, d) for q in range(QUERIES) for d in range(PASSAGES) if of_query[q] == of_passage[d]]
    (tmp_path / "qrels.tsv").write_text("".join(f"q{q} 0 d{d} 1\n" for q, d in relevant), "utf-8")
    path = tmp_path / "negmine.yaml"
    path.write_text(
        "work_dir: work\ndata: {pairs: pairs.jsonl, corpus: corpus.jsonl}\n"
        "embed: {vectors: {corpus: corpus.npy, queries: queries.npy}}\nfilter: {num_negatives: 4}\n",
        "utf-8",
    )
    found = negmine.load_config(path)
    negmine.run(found)
    return found
