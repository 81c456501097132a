"""A small run whose truth is known, and whose verdicts a server on loopback judges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from chat_server import ChatServer

import negmine

QUERIES, PASSAGES = 24, 80
WORDS = ["dock", "parcel", "refund", "truck", "slot", "password", "guest", "scan", "label", "route"]


def is_relevant(query: str, text: str) -> bool:
    """Of the words of each text, the first number says which it is: a fifth of all pairs are relevant."""
    q, p = int(query.split(maxsplit=1)[0]), int(text.split(maxsplit=1)[0])
    return (q * 7 + p * 3) % 5 == 0


class Data:
    """Files of a run in a folder. Every passage has a number and words; each query has one positive."""

    def __init__(self, folder: Path, server: ChatServer, mined: Path | None = None) -> None:
        """``mined``: a run that has these files and is mined already, from which every run here starts."""
        self.folder, self.server, self._mined = folder, server, mined
        draw = np.random.default_rng(3)
        self.passages = [f"{i} " + " ".join(draw.choice(WORDS, draw.integers(3, 12))) for i in range(PASSAGES)]
        self.queries = [f"{i} " + " ".join(draw.choice(WORDS, 3)) for i in range(QUERIES)]
        vectors = draw.standard_normal((PASSAGES, 8)).astype(np.float32)
        np.save(folder / "c.npy", vectors)
        near = vectors[3 * np.arange(QUERIES)] + draw.standard_normal((QUERIES, 8)).astype(np.float32)
        pq.write_table(
            pa.table({"query_id": [f"q{q}" for q in range(QUERIES)], "vector": list(near)}), folder / "q.parquet"
        )
        rows = [
            {"query_id": f"q{q}", "anchor": text, "positive_id": f"d{3 * q}"} for q, text in enumerate(self.queries)
        ]
        corpus = [{"_id": f"d{i}", "text": text} for i, text in enumerate(self.passages)]
        for name, lines in (("corpus.jsonl", corpus), ("pairs.jsonl", rows)):
            (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    def mapping(self, judge: Any = None, work_dir: str = "run", **rules: Any) -> dict[str, Any]:
        endpoint = {"url": self.server.url, "model": "cheap", "timeout": 5, "concurrency": 4}
        if self._mined is not None and not (self.folder / work_dir).exists():
            shutil.copytree(self._mined / "run", self.folder / work_dir)
        given = dict(judge or {})
        if given.get("endpoint", ...) is not None:
            given["endpoint"] = {**endpoint, **given.get("endpoint", {})}
        if "strong" in given:
            given["strong"] = {**endpoint, "model": "strong", **given["strong"]}
        export = rules.pop("export", [{"format": "labeled-list", "file": "lists.jsonl", "scores": True}])
        more = {name: rules.pop(name) for name in ("split", "pairs", "mine") if name in rules}
        return {
            "work_dir": work_dir,
            "threads": 1,
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.parquet"}},
            "mine": {"k": 30, "part_queries": 10, **more.pop("mine", {})},
            "filter": {"num_negatives": 4, "risk": None, "near_duplicates": None, **rules},
            "judge": given,
            "export": export,
            **more,
        }

    def config(self, judge: Any = None, work_dir: str = "run", **rules: Any) -> negmine.Config:
        return negmine.config_from_dict(self.mapping(judge, work_dir, **rules), self.folder)

    def without_judge(self, work_dir: str = "run", **rules: Any) -> negmine.Config:
        mapping = self.mapping({}, work_dir, **rules)
        del mapping["judge"]
        return negmine.config_from_dict(mapping, self.folder)

    def rows(self, stage: str = "judge", work_dir: str = "run") -> list[dict[str, Any]]:
        parts = sorted((self.folder / work_dir / stage).glob("part-*.parquet"))
        return [row for part in parts for row in pq.read_table(part).to_pylist()]

    def relevant(self, row: dict[str, Any]) -> bool:
        return is_relevant(self.queries[row["query"]], self.passages[row["passage"]])

    def negatives(self, stage: str = "judge", work_dir: str = "run") -> dict[int, list[int]]:
        """The kept passages of each query, in the order of their positions."""
        found: dict[int, list[int]] = {q: [] for q in range(QUERIES)}
        for row in sorted(self.rows(stage, work_dir), key=lambda row: row["position"] or 0):
            if row["verdict"] == "kept":
                found[row["query"]].append(row["passage"])
        return found

    def bytes(self, work_dir: str = "run") -> dict[str, bytes]:
        root = self.folder / work_dir
        return {
            str(path.relative_to(root)): path.read_bytes()
            for stage in ("judge", "export")
            for path in sorted((root / stage).rglob("*"))
            if path.is_file() and path.name not in ("manifest.json", "scores.png")
        }

    def manifest(self, stage: str = "judge", work_dir: str = "run") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / work_dir / stage / "manifest.json").read_text())
        return found
