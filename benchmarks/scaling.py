"""How mine's time and memory grow with the corpus: the same queries against more and more passages.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --half          # also 3,000,000 passages, stored in float16

Exact search compares every query with every passage. Each further comparison, beyond those with the
smallest corpus, should cost the same CPU time; what candidates and files cost does not grow with the
corpus: checked from 100,000 passages on. The memory should not grow any more once a block, a quarter of
`memory_limit`, does not hold the whole corpus: checked from there on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.approximate import text_like
from benchmarks.data import config_of
from benchmarks.measure import import_all, machine, report_seconds

_FROM = 100_000
"""Passages from which on time must be flat."""
_MORE = 1.15


def _config(home: Path, k: int, limit: str, dtype: str) -> dict[str, object]:
    config = config_of(home, home / "run", mine={"k": k}, memory_limit=limit)
    return {**config, "embed": {**config["embed"], "store_dtype": dtype}}  # type: ignore[dict-item]


def measure(home: Path, stage: str, k: int, limit: str, dtype: str) -> None:
    """One measured process: the stages up to ``index``, or ``mine`` alone."""
    import negmine

    import_all()
    config = negmine.config_from_dict(_config(home, k, limit, dtype))
    if stage == "mine":
        shutil.rmtree(home / "run" / "mine", ignore_errors=True)
    report_seconds(lambda: negmine.run(config, until=stage, only=stage == "mine") and None)


def _measured(home: Path, stage: str, k: int, limit: str, dtype: str) -> dict[str, Any]:
    words = ["--home", str(home), "--stage", stage, "-k", str(k), "--memory-limit", limit, "--dtype", dtype]
    command = [sys.executable, "-m", "benchmarks.scaling", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(
    folder: Path, sizes: list[tuple[int, str]], queries: int, dimension: int, k: int, limit: str, rounds: int
) -> str:
    """A Markdown table of all sizes, and whether time and memory are flat."""
    import negmine

    lines = [
        f"## mine: {queries:,} queries, {dimension} dimensions, k = {k}, memory_limit {limit}",
        "",
        "| passages | seconds | CPU seconds | ns per comparison | CPU ns per further one | peak memory | corpus |",
        "|---|---|---|---|---|---|---|",
    ]
    each, peaks = dict[str, float](), dict[str, float]()
    first: tuple[int, float] | None = None
    for passages, dtype in sizes:
        home = text_like(folder, passages, queries, dimension)
        shutil.rmtree(home / "run", ignore_errors=True)
        _measured(home, "index", k, limit, dtype)
        records = [_measured(home, "mine", k, limit, dtype) for _ in range(rounds)]
        corpus = sum(path.stat().st_size for path in (home / "run" / "index").glob("vectors-*.npy"))
        shutil.rmtree(home / "run")
        wall, cpu = (statistics.median(r[key] for r in records) for key in ("seconds", "cpu_seconds"))
        peak = max(r["peak_bytes"] for r in records)
        name = f"{passages:,}{' (float16)' if dtype == 'float16' else ''}"
        first = first or (passages, cpu)
        further = 1e9 * (cpu - first[1]) / max(passages - first[0], 1) / queries
        lines.append(
            f"| {name} | {wall:.2f} | {cpu:.2f} | {1e9 * wall / passages / queries:.2f} | {further:.2f} |"
            f" {peak / 1e6:.0f} MB | {corpus / 1e6:.0f} MB |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
        if passages >= _FROM:
            each[name] = further
        if passages * dimension * 4 > negmine.config_from_dict(_config(home, k, limit, dtype)).memory_limit // 4:
            peaks[name] = peak
    lines += ["", *_flatness("CPU time of a further comparison", each), *_flatness("peak memory", peaks)]
    return "\n".join(lines) + "\n"


def _flatness(what: str, found: dict[str, float]) -> list[str]:
    if len(found) < 2:
        return []
    least, most = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    ratio = found[most] / found[least]
    judged = "flat" if ratio <= _MORE else "NOT flat"
    return [f"- {what}: {judged}, at most {ratio:.2f} times the least ({most} against {least} passages)"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000, 100_000, 300_000, 1_000_000])
    parser.add_argument(
        "--half", action="store_true", help="also 3,000,000 passages, stored in float16 (10 GB of disk)"
    )
    parser.add_argument("--queries", type=int, default=4096)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--memory-limit", default="1GB")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--dtype", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stage:
        measure(args.home, args.stage, args.k, args.memory_limit, args.dtype)
        return
    sizes = [(size, "float32") for size in args.sizes] + [(3_000_000, "float16")] * args.half
    print(run(args.folder, sizes, args.queries, args.dimension, args.k, args.memory_limit, args.rounds))
    print(machine())


if __name__ == "__main__":
    main()
