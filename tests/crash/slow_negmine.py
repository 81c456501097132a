"""``negmine`` with a pretended model, and tasks of embed and mine that take NEGMINE_PAUSE seconds longer."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from negmine.stages import mine
from negmine.stages.embed import stage as embed

_PAUSE = float(os.environ.get("NEGMINE_PAUSE", "0"))


class PretendedEncoder:
    """A vector drawn from a text's digest: equal texts, equal vectors."""

    similarity = "cosine"

    def encode_queries(self, texts: Sequence[str], progress: Any = None) -> np.ndarray:
        time.sleep(_PAUSE)
        return np.stack([_vector(text) for text in texts])

    encode_passages = encode_queries

    def cut_off_queries(self, texts: Sequence[str]) -> np.ndarray:
        return np.zeros(len(texts), bool)

    cut_off_passages = cut_off_queries


def _vector(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(16).astype(np.float32)
    return vector / np.linalg.norm(vector)


def pretend(patch: Any = setattr) -> None:
    """Put the pretended model in place of every real one (``patch`` may be monkeypatch.setattr)."""
    patch(embed, "load_encoder", lambda config: PretendedEncoder())
    patch(embed.EmbedStage, "check", lambda self, config, counts: None)


def main() -> None:
    search = mine.MineStage.execute

    def execute(self: mine.MineStage, task: Any, job: Any) -> Mapping[str, int]:
        time.sleep(_PAUSE)
        return search(self, task, job)

    pretend()
    mine.MineStage.execute = execute  # type: ignore[method-assign]
    from negmine.cli.main import main as negmine

    sys.argv[0] = "negmine"
    negmine()


if __name__ == "__main__":
    main()
