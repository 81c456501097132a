"""BM25 in a run beside bm25s used alone, over BEIR folders: equal lists, seconds to index and to search.

    python -m benchmarks.lexical FOLDER [FOLDER ...] --queries 2000

Vectors are drawn at random, with two dimensions, so that next to all of the time of `index` is that of BM25.
bm25s has its texts in memory and keeps its index there. Both work on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer

import negmine
from negmine.remote.opening import open_run
from negmine.stages.base import Run
from negmine.stages.lexical import LexicalSearch
from negmine.stages.texts import StandingTable, passage_texts
from negmine.text import DEFAULT_TEMPLATE, Template

K = 100
NONE = (np.empty(0, np.int64), np.empty(0, np.int64))


def run_until_index(folder: Path, work: Path) -> tuple[Run, float]:
    """A finished run, and how long its index took."""
    generator = np.random.default_rng(0)
    for name in ("corpus", "queries"):
        rows = sum(1 for line in (folder / f"{name}.jsonl").open(encoding="utf-8") if line.strip())
        np.save(work / f"{name}.npy", generator.normal(size=(rows, 2)).astype(np.float32))
    config = negmine.config_from_dict(
        {
            "work_dir": str(work / "run"),
            "data": {"path": str(folder), "on_bad_row": "skip"},
            "embed": {"vectors": {name: str(work / f"{name}.npy") for name in ("corpus", "queries")}},
            "index": {"bm25": {"stemmer": "english", "stopwords": "en"}},
            "mine": {"retrievers": ["bm25"]},
        },
        work,
    )
    negmine.run(config, until="embed")
    started = time.perf_counter()
    negmine.run(config, until="index")
    return Run(*open_run(config)), time.perf_counter() - started


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def compare(folder: Path, count: int, rounds: int) -> str:
    """A line of Markdown about one collection. Raises AssertionError where the lists differ."""
    with tempfile.TemporaryDirectory() as work:
        run, index_seconds = run_until_index(folder, Path(work))
        table = StandingTable(run.file("ingest", "corpus.parquet"), "passage")
        template = Template(DEFAULT_TEMPLATE)
        texts = passage_texts(table.slice(0, len(table), list(template.names)), template).to_pylist()
        asked = StandingTable(run.file("ingest", "queries.parquet"), "query")
        queries = asked.slice(0, min(count, len(asked)), ["text"])["text"].to_pylist()
        settings = {"stopwords": "en", "stemmer": Stemmer.Stemmer("english"), "show_progress": False}
        peer = bm25s.BM25(k1=1.2, b=0.75)
        _, peer_index = timed(lambda: peer.index(bm25s.tokenize(texts, **settings), show_progress=False))
        search, depth = LexicalSearch(run), np.full(len(queries), K)

        def ours() -> Any:
            return search.search(search.numbers(queries), depth, NONE)

        def theirs() -> Any:
            terms = bm25s.tokenize(queries, return_ids=False, **settings)
            return peer.retrieve(terms, k=K, show_progress=False)

        own, other = [], []
        for _ in range(rounds):
            hits, seconds = timed(ours)
            own.append(seconds)
            found, seconds = timed(theirs)
            other.append(seconds)
        same = 0
        for number in range(len(queries)):
            passages = hits.passage[hits.query == number]
            documents, scores = found.documents[number], found.scores[number]
            assert len(passages) == (scores > 0).sum()
            # Passages with the last score may be any of those that have it.
            sure = documents[scores > scores[len(passages) - 1]] if len(passages) else []
            assert set(sure) <= set(passages.tolist())
            same += len(passages)
        ratio = statistics.median(mine / base for mine, base in zip(own, other, strict=True))
        cells = (
            f"{folder.name} | {len(texts):,} | {len(queries):,} | {same:,} | {index_seconds:.1f} | {peer_index:.1f}"
            f" | {statistics.median(own):.2f} | {statistics.median(other):.2f} | {ratio:.2f}"
        )
        return f"| {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(
        "| collection | passages | queries | found by both | index stage, s | bm25s, s | search, s | bm25s, s | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for folder in args.folders:
        print(compare(folder.resolve(), args.queries, args.rounds), flush=True)


if __name__ == "__main__":
    main()
