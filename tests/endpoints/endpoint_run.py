"""Runs that embed by a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from embedding_server import EmbeddingServer

import negmine


class Run:
    """Texts, a config that embeds them by the server, and what a run makes of them."""

    def __init__(self, folder: Path, server: EmbeddingServer, passages: int = 60, queries: int = 12) -> None:
        self.folder, self.server = folder, server
        self.passages = [f"passage {n}" + " word" * (n % 9) for n in range(passages)]
        self.queries = [f"query {n}" for n in range(queries)]
        self.write()

    def write(self) -> None:
        self._lines("corpus.jsonl", [{"_id": f"d{n}", "text": text} for n, text in enumerate(self.passages)])
        pairs = [{"query_id": f"q{n}", "anchor": text, "positive_id": f"d{n}"} for n, text in enumerate(self.queries)]
        self._lines("pairs.jsonl", pairs)

    def _lines(self, name: str, rows: list[dict[str, Any]]) -> None:
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def mapping(self, endpoint: dict[str, Any] | None = None, **embed: Any) -> dict[str, Any]:
        asked = {"url": self.server.url, "model": "m", "timeout": 5, **(endpoint or {})}
        return {
            "work_dir": str(self.folder / "run"),
            "data": {"pairs": str(self.folder / "pairs.jsonl"), "corpus": str(self.folder / "corpus.jsonl")},
            "embed": {"endpoint": asked, "part_rows": 20, **embed},
            "mine": {"k": 20},
            "filter": {"num_negatives": 2},
        }

    def config(self, endpoint: dict[str, Any] | None = None, **embed: Any) -> Any:
        return negmine.config_from_dict(self.mapping(endpoint, **embed), self.folder)

    def embed(self, endpoint: dict[str, Any] | None = None, **embed: Any) -> Any:
        """Run the embed stage; its result."""
        return negmine.run(self.config(endpoint, **embed), until="embed").stages[-1]

    def vectors(self, kind: str = "corpus") -> np.ndarray:
        parts = sorted((self.folder / "run" / "embed" / kind).glob("part-*.parquet"))
        return np.concatenate([np.stack(pq.read_table(part)["vector"].to_numpy()) for part in parts])
