"""How many negatives are false, on judged collections: rules of negmine beside those of others.

    python -m benchmarks.quality FOLDER [FOLDER ...] --seeds 5

A folder is a BEIR collection with ready vectors in `minilm/corpus.parquet` (doc_id, vector) and
`minilm/queries.parquet` (query_id, vector). Of each query one positive, drawn at random among
those of `qrels/train.tsv` and `qrels/test.tsv`, is shown; the others are hidden. FNR is the share
of the negatives that are hidden positives, hardness their mean score, yield the share of slots
that are filled. Intervals are bootstraps over queries.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from negmine.arrays import positions
from negmine.readers import BadRows, read_qrels
from negmine.retrieval.evidence import positive_similarity
from negmine.retrieval.exact import search_exact
from negmine.selection.verdicts import KEPT, Rules, verdicts
from negmine.store.tables import to_numpy

ARMS: dict[str, Rules] = {
    "naive top": Rules(),
    "relative_margin 0.05": Rules(relative_margin=0.05),
    "relative_margin 0.1": Rules(relative_margin=0.1),
    "relative_margin 0.2": Rules(relative_margin=0.2),
    "skip the first 10": Rules(range_min=10),
    "positive_similarity 0.6": Rules(positive_similarity=0.6),
    "positive_similarity 0.5": Rules(positive_similarity=0.5),
    "positive_similarity 0.4": Rules(positive_similarity=0.4),
    "positive_similarity 0.6, relative_margin 0.05": Rules(positive_similarity=0.6, relative_margin=0.05),
}


@dataclass(frozen=True)
class Collection:
    """Vectors and judgements; ``relevant`` holds, per query row, the rows of its relevant passages."""

    name: str
    passages: np.ndarray
    queries: np.ndarray
    relevant: list[np.ndarray]


def load(folder: Path, at_least: int) -> Collection:
    """Queries with at least so many relevant passages."""
    tables = {kind: pq.read_table(folder / "minilm" / f"{kind}.parquet") for kind in ("corpus", "queries")}
    vectors = {kind: to_numpy(table["vector"]).astype(np.float32) for kind, table in tables.items()}
    row_of = {kind: {name: row for row, name in enumerate(table[0].to_pylist())} for kind, table in tables.items()}
    relevant: dict[int, set[int]] = {}
    for split in ("train", "test"):
        for batch in read_qrels(folder / "qrels" / f"{split}.tsv", BadRows()):
            for query, document, grade in zip(batch.query_ids, batch.doc_ids, batch.grades, strict=True):
                if grade > 0:
                    relevant.setdefault(row_of["queries"][query], set()).add(row_of["corpus"][document])
    kept = sorted(query for query, found in relevant.items() if len(found) >= at_least)
    unit = {kind: v / np.linalg.norm(v, axis=1, keepdims=True).clip(1e-9) for kind, v in vectors.items()}
    return Collection(
        folder.name, unit["corpus"], unit["queries"][kept], [np.array(sorted(relevant[query])) for query in kept]
    )


def blocks_of(vectors: np.ndarray) -> Callable[[], list[tuple[int, np.ndarray]]]:
    return lambda: [(low, vectors[low : low + 65_536]) for low in range(0, len(vectors), 65_536)]


def measure(data: Collection, seed: int, k: int, negatives: int) -> dict[str, np.ndarray]:
    """Per arm and query: false negatives, negatives, sum of their scores: (queries, 3)."""
    rng = np.random.default_rng(seed)
    count = len(data.queries)
    shown = np.array([rng.choice(found) for found in data.relevant])
    blocks = blocks_of(data.passages)
    found = search_exact(data.queries, blocks, np.full(count, k + 1), len(data.passages), "cosine")
    reference = np.einsum("ij,ij->i", data.queries, data.passages[shown], dtype=np.float64)
    other = found.passage != shown[found.query]
    query, passage, score = found.query[other], found.passage[other], found.score[other]
    similarity = positive_similarity(blocks, query, passage, np.arange(count), shown, normalized=True)
    keys = query.astype(np.int64) * len(data.passages) + passage
    truth = np.concatenate([q * len(data.passages) + rows for q, rows in enumerate(data.relevant)])
    is_false = np.isin(keys, truth)
    nothing, key = np.zeros(len(query), np.int64), np.zeros(len(query), np.uint64)
    result = {}
    for name, rules in ARMS.items():
        arm = Rules(**{**rules.__dict__, "num_negatives": negatives})
        rank = positions(query) + 1
        taken = verdicts(arm, query, rank, score, similarity, reference[query], nothing, key, key) == KEPT
        columns = (taken & is_false, taken, taken * score)
        result[name] = np.stack([np.bincount(query, weights=c, minlength=count) for c in columns], axis=1)
    return result


def interval(per_query: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95% bootstrap interval of the FNR, over queries (seeds of a query stay together)."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(per_query), (draws, len(per_query)))
    sums = per_query[chosen].sum(axis=1)
    rates = sums[:, 0] / np.maximum(sums[:, 1], 1)
    return float(np.quantile(rates, 0.025)), float(np.quantile(rates, 0.975))


def table(data: Collection, seeds: int, k: int, negatives: int) -> str:
    runs = [measure(data, seed, k, negatives) for seed in range(seeds)]
    lines = [
        f"## {data.name}: {len(data.queries):,} queries, {len(data.passages):,} passages",
        "",
        f"Top {k}, {negatives} negatives a query, {seeds} seeds.",
        "",
        "| rule | FNR | 95% interval | hardness | yield |",
        "|---|---|---|---|---|",
    ]
    for name in ARMS:
        per_query = sum(run[name] for run in runs)
        wrong, taken, score = per_query.sum(axis=0)
        low, high = interval(per_query)
        filled = taken / (seeds * negatives * len(data.queries))
        rate = wrong / max(taken, 1)
        lines.append(f"| {name} | {rate:.3f} | {low:.3f} - {high:.3f} | {score / max(taken, 1):.3f} | {filled:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--negatives", type=int, default=5)
    parser.add_argument("-k", type=int, default=200)
    parser.add_argument("--positives", type=int, default=2, help="only queries with at least so many (default 2)")
    args = parser.parse_args()
    for folder in args.folders:
        print(table(load(folder, args.positives), args.seeds, args.k, args.negatives))


if __name__ == "__main__":
    main()
