"""Texts about topics, and pretended models that know the topics more or less well."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

TOPICS, PASSAGES, QUERIES = 8, 96, 48
CONFIG = """\
# a run of the tests
work_dir: work   # where it goes
data:
  pairs: pairs.jsonl
  corpus: corpus.jsonl
embed:
  model: ./models/old   # the first one
mine: {k: 30, part_queries: 16, retrievers: [dense, bm25]}
filter:
  num_negatives: 3   # three
"""


class TopicEncoder:
    """Vectors of a text: its topic, its own noise, and as much of the noise as the model's file ``noise`` says."""

    similarity = "cosine"
    encoded = 0

    def __init__(self, noise: float) -> None:
        self._noise = noise

    def encode_queries(self, texts: Sequence[str], progress: Any = None) -> np.ndarray:
        TopicEncoder.encoded += len(texts)
        return np.stack([self._vector(text) for text in texts])

    encode_passages = encode_queries

    def cut_off_queries(self, texts: Sequence[str]) -> np.ndarray:
        return np.zeros(len(texts), bool)

    cut_off_passages = cut_off_queries

    def _vector(self, text: str) -> np.ndarray:
        own = _drawn(text) * self._noise
        for word in set(text.split()):
            if word.startswith(("topic", "detail")):
                own = own + _drawn(word) * (1.0 if word.startswith("topic") else 0.7)
        return (own / np.linalg.norm(own)).astype(np.float32)


def _drawn(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(16)


def model(folder: Path, noise: float) -> Path:
    """A pretended model: the files that decide its identity."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"noise": noise}))
    return folder


def write_data(folder: Path) -> None:
    """Passages of a topic and a detail, of which queries name both."""
    draw = random.Random(3)
    words = [f"word{n}" for n in range(60)]
    corpus = [
        f"topic{n % TOPICS} detail{n // TOPICS} passage{n} " + " ".join(draw.choices(words, k=8))
        for n in range(PASSAGES)
    ]
    positives = [draw.randrange(PASSAGES) for _ in range(QUERIES)]
    pairs = [
        {"query_id": f"q{n}", "anchor": f"asked{n} topic{p % TOPICS} detail{p // TOPICS}", "positive": corpus[p]}
        for n, p in enumerate(positives)
    ]
    rows = [{"_id": f"d{n}", "text": text} for n, text in enumerate(corpus)]
    for name, lines in (("corpus", rows), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
