"""A small run over texts that break careless writers and readers, and what its rows must say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import negmine

TOPICS, DOCUMENTS, QUERIES, NEGATIVES = 8, 96, 40, 4
ODD = [
    'He said "yes", then left.',
    "tab\there, back\\slash \\n, 'single' | pipe",
    "two\nlines\r\nand three",
    "line separator \u2028 and \u2029, NEL \u0085, form\ffeed",
    "héllo — שלום 你好 😀 e\u0301",
    '{"text": "JSON in a text", "list": [1, null]}',
    "null",
    "NaN",
    "<|endoftext|> [SEP] </s> {query} {0} %s $HOME",
    "0012",
    "-",
    "2020-01-01",
]


@dataclass(frozen=True)
class Passage:
    """A positive or negative of a query, as the run's own files have it."""

    doc_id: str
    title: str
    text: str
    score: float

    @property
    def whole(self) -> str:
        """What models and flat formats read."""
        return f"{self.title} {self.text}" if self.title else self.text


@dataclass(frozen=True)
class Group:
    """A query with its positives, and its negatives from the hardest down."""

    query_id: str
    text: str
    positives: tuple[Passage, ...]
    negatives: tuple[Passage, ...]


def documents() -> list[dict[str, str]]:
    rows = []
    for number in range(DOCUMENTS):
        odd = ODD[number % len(ODD)] if number < 3 * len(ODD) else "plain words"
        name = (f"d-{number}", f"{number:05d}", f"q{number}", f"é{number}")[number % 4]
        row = {"_id": name, "text": f"{odd} about {number % TOPICS}, {number}"}
        rows.append(row | ({"title": f"Title, “{number}”"} if number % 3 == 0 else {}))
    return rows


def queries() -> list[dict[str, str]]:
    return [{"_id": f"q{number}", "text": f"{ODD[number % len(ODD)]} asks {number}?"} for number in range(QUERIES)]


def vectors() -> tuple[np.ndarray, np.ndarray]:
    """Passages and queries lie near their topics; query 1 lies far from its positive, so that nothing passes, and a
    few lie so that less than enough does."""
    draws = np.random.default_rng(0)
    centres = 2 * draws.standard_normal((TOPICS, 12))
    passages = centres[np.arange(DOCUMENTS) % TOPICS] + draws.standard_normal((DOCUMENTS, 12))
    asked = passages[np.arange(QUERIES)] + 0.5 * draws.standard_normal((QUERIES, 12))
    asked[1] = -passages[1]
    asked[5::8] = passages[5:QUERIES:8] + 3 * draws.standard_normal((5, 12))
    return passages.astype(np.float32), asked.astype(np.float32)


def labels() -> list[tuple[int, int]]:
    """Every query has its passage as a positive, some have others of the topic as well."""
    own = [(query, query) for query in range(QUERIES)]
    return own + [(query, query + TOPICS * step) for query in range(0, QUERIES, 4) for step in (5, 6)[: 1 + query % 3]]


def write_inputs(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus.jsonl", documents()), ("queries.jsonl", queries())):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    ids, asked = [row["_id"] for row in documents()], [row["_id"] for row in queries()]
    lines = "".join(f"{asked[query]}\t{ids[passage]}\t1\n" for query, passage in labels())
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines, "utf-8")
    passages, queried = vectors()
    np.save(folder / "c.npy", passages)
    np.save(folder / "q.npy", queried)


def run(folder: Path, exports: list[dict[str, Any]], **sections: Any) -> Path:
    """Mines and exports; the run's folder."""
    if not (folder / "qrels.tsv").exists():
        write_inputs(folder)
    config = negmine.config_from_dict(
        {
            "work_dir": "run",
            "data": {"queries": "queries.jsonl", "corpus": "corpus.jsonl", "qrels": "qrels.tsv"},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}},
            "mine": {"k": 20, "part_queries": 16},
            "filter": {
                "num_negatives": NEGATIVES,
                "risk": None,
                "absolute_margin": 0.05,
                "min_score": 0.3,
                "near_duplicates": None,
            },
            "export": exports,
            **sections,
        },
        folder,
    )
    negmine.run(config)
    return Path(config.work_dir)


def groups(run_folder: Path) -> list[Group]:
    """What the run decided, read from its own tables."""
    corpus = {row["doc_id"]: row for row in pq.read_table(run_folder / "ingest" / "corpus.parquet").to_pylist()}
    asked = pq.read_table(run_folder / "ingest" / "queries.parquet").to_pylist()

    def passage(row: dict[str, Any]) -> Passage:
        document = corpus[row["doc_id"]]
        return Passage(row["doc_id"], document["title"], document["text"], row["score"])

    positives: dict[str, list[Passage]] = {row["query_id"]: [] for row in asked}
    negatives: dict[str, list[tuple[int, Passage]]] = {row["query_id"]: [] for row in asked}
    for row in pq.read_table(run_folder / "mine" / "positives.parquet").to_pylist():
        positives[row["query_id"]].append(passage(row))
    for part in sorted((run_folder / "filter").glob("part-*.parquet")):
        for row in pq.read_table(part).to_pylist():
            if row["verdict"] == "kept":
                negatives[row["query_id"]].append((row["position"], passage(row)))
    return [
        Group(
            row["query_id"],
            row["text"],
            tuple(positives[row["query_id"]]),
            tuple(found for _, found in sorted(negatives[row["query_id"]], key=lambda pair: pair[0])),
        )
        for row in asked
    ]
