"""A small run with many parts, made of seeded random texts and vectors; no model needed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

STAGES = ("ingest", "embed", "index", "mine", "filter", "export")
_EXPORTS = (
    "export:\n"
    "  - {format: triplet, file: train.jsonl, shard_rows: 40}\n"
    "  - {format: n-tuple, file: tuples.jsonl.gz, scores: true}\n"
    "  - {format: labeled-pair, file: pairs.jsonl.zst}\n"
    "  - {format: labeled-list, file: lists.parquet}\n"
)
_VOLATILE = ("wall_seconds", "cpu_seconds", "peak_rss_bytes", "created", "digest", "tasks")


def make_run(
    folder: Path,
    *,
    passages: int = 240,
    queries: int = 80,
    part_rows: int = 16,
    part_queries: int = 4,
    seed: int = 0,
    extra: str = "",
) -> Path:
    """Write data and config into ``folder``; the config's path. Its work_dir is ``folder/work``."""
    folder.mkdir(parents=True, exist_ok=True)
    draw, numbers = random.Random(seed), np.random.default_rng(seed)
    words = [f"word{n}" for n in range(200)]
    texts = [f"passage {seed}-{n} " + " ".join(draw.choices(words, k=12)) for n in range(passages)]
    vectors = numbers.standard_normal((passages, 16)).astype(np.float32)
    positives = [draw.sample(range(passages), draw.choice([1, 1, 2])) for _ in range(queries)]
    of_queries = np.stack([vectors[rows].mean(axis=0) for rows in positives])
    of_queries += 0.3 * numbers.standard_normal(of_queries.shape).astype(np.float32)
    rows = [{"_id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    _write_lines(folder / "corpus.jsonl", rows)
    pairs = [{"anchor": f"query {n}", "positive": [texts[row] for row in positives[n]]} for n in range(queries)]
    _write_lines(folder / "pairs.jsonl", pairs)
    np.save(folder / "corpus.npy", vectors)
    np.save(folder / "queries.npy", of_queries.astype(np.float32))
    config = folder / "config.yaml"
    config.write_text(
        "work_dir: work\n"
        "data: {pairs: pairs.jsonl, corpus: corpus.jsonl}\n"
        f"embed: {{vectors: {{corpus: corpus.npy, queries: queries.npy}}, part_rows: {part_rows}}}\n"
        f"mine: {{k: 20, part_queries: {part_queries}}}\n"
        f"filter: {{num_negatives: 3}}\n{extra}{_EXPORTS}"
    )
    return config


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def command(*words: str | Path, driver: Path | None = None) -> list[str]:
    """``negmine words...`` as an argument list, run by this Python (through ``driver``, if given)."""
    start = [str(driver)] if driver else ["-m", "negmine"]
    return [sys.executable, *start, *(str(word) for word in words)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


def negmine(*words: str | Path, driver: Path | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*words, driver=driver), capture_output=True, text=True, env=environment(), check=False, **more
    )


def tasks_run(finished: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Tasks that a ``--json`` run did, by stage."""
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("{"), finished.stdout
    return {stage["stage"]: stage["tasks_run"] for stage in json.loads(finished.stdout)["stages"]}


def stage_files(folder: Path) -> dict[str, Any]:
    """What a stage's folder holds: a digest per file, of a manifest what must not vary."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        if name == "manifest.json":
            manifest = json.loads(path.read_bytes())
            found[name] = {
                **{key: value for key, value in manifest.items() if key not in _VOLATILE},
                "tasks": {task: record["counts"] for task, record in manifest["tasks"].items()},
            }
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def run_files(work: Path) -> dict[str, dict[str, Any]]:
    """``stage_files`` of every stage there is."""
    return {stage: stage_files(work / stage) for stage in STAGES if (work / stage).is_dir()}


def litter(work: Path) -> list[str]:
    """Files that no finished run may leave: work in progress, replaced stages, temporary files."""
    hidden = [path for name in (".pending", ".trash") for path in (work / name).rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(work)) for path in {*hidden, *work.rglob(".tmp-*")})
