"""The mine stage against bare faiss and against `mine_hard_negatives`, on the same vectors.

    python -m benchmarks.mining --passages 100000 --queries 10000

Measured: everything the stage does (reading vectors, search, rescoring, ids, files), process
start and imports apart; for the others the search alone on arrays that are already in memory,
and the whole function, which is given the vectors instead of a model.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
from pathlib import Path

import numpy as np

from benchmarks.data import collection, config_of
from benchmarks.measure import alternate, import_all, report_seconds, table


def measure(home: Path, which: str, k: int) -> None:
    """One measured process."""
    if which == "negmine mine":
        import negmine

        import_all()
        config = negmine.config_from_dict(config_of(home, home / "run", mine={"k": k}))
        shutil.rmtree(home / "run" / "mine", ignore_errors=True)
        report_seconds(lambda: negmine.run(config, until="mine", only=True) and None)
        return
    corpus, queries = np.load(home / "corpus.npy"), np.load(home / "queries.npy")
    if which == "faiss search alone":
        import faiss

        index = faiss.IndexFlatIP(corpus.shape[1])
        index.add(corpus)
        report_seconds(lambda: index.search(queries, k) and None)
        return
    peer(home, corpus, queries, k, use_faiss=which.endswith("faiss"))


def peer(
    home: Path,
    corpus: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    use_faiss: bool,
    relative_margin: float | None = None,
) -> None:
    """Sentence Transformers' miner on ready vectors, measured."""
    import json

    import datasets
    import torch
    from sentence_transformers.util import mine_hard_negatives

    texts = [json.loads(line)["text"] for line in (home / "corpus.jsonl").open()]
    pairs = [json.loads(line) for line in (home / "pairs.jsonl").open()]
    place = {text: row for row, text in enumerate(texts)}

    class Vectors:
        """Stands in for a model: looks vectors up."""

        device = torch.device("cpu")

        def encode_document(self, batch: list[str], **_: object) -> np.ndarray:
            return corpus[[place[text] for text in batch]]

        def encode_query(self, batch: list[str], **_: object) -> np.ndarray:
            return queries[: len(batch)]

        def similarity(self, a: object, b: object) -> torch.Tensor:
            return torch.as_tensor(a) @ torch.as_tensor(b).T

        def similarity_pairwise(self, a: object, b: object) -> torch.Tensor:
            return (torch.as_tensor(a) * torch.as_tensor(b)).sum(-1)

        def get_embedding_dimension(self) -> int:
            return int(corpus.shape[1])

    data = datasets.Dataset.from_dict(
        {"anchor": [p["anchor"] for p in pairs], "positive": [texts[int(p["positive_id"][1:])] for p in pairs]}
    )

    def work() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            mine_hard_negatives(
                data,
                Vectors(),
                corpus=texts,
                range_max=k,
                relative_margin=relative_margin,
                num_negatives=5,
                use_faiss=use_faiss,
                verbose=False,
            )

    report_seconds(work)


def run(folder: Path, passages: int, queries: int, dimension: int, k: int, rounds: int, peers: bool) -> str:
    """All arms in turn; a Markdown table."""
    import negmine

    home = collection(folder, passages, queries, dimension)
    negmine.run(negmine.config_from_dict(config_of(home, home / "run", mine={"k": k})), until="index")
    arms = ["faiss search alone", "negmine mine"]
    arms += ["mine_hard_negatives, faiss", "mine_hard_negatives"] if peers else []
    commands = {arm: ["benchmarks.mining", "--home", str(home), "--arm", arm, "-k", str(k)] for arm in arms}
    title = f"mine: {passages:,} passages x {queries:,} queries, {dimension} dimensions, k = {k}"
    return table(title, alternate(commands, rounds), "faiss search alone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm:
        measure(args.home, args.arm, args.k)
        return
    print(run(args.folder, args.passages, args.queries, args.dimension, args.k, args.rounds, not args.no_peers))


if __name__ == "__main__":
    main()
