"""What the command costs before it does anything: `--help` and `status` against the libraries they print with.

    python -m benchmarks.startup

The baseline is a Python that imports typer and rich, which draw every page of help. Each is a process
of its own, in turn; `status` looks at a finished run of the sample data without its model.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import machine

_SAMPLE = Path(__file__).parent.parent / "sample_data"


def finished_run(folder: Path) -> Path:
    """The config of a run of the sample data, with random vectors."""
    import negmine

    home = (folder / "startup").absolute()
    home.mkdir(parents=True, exist_ok=True)
    rows = {name: [json.loads(line) for line in (_SAMPLE / f"{name}.jsonl").open()] for name in ("corpus", "pairs")}
    rng = np.random.default_rng(0)
    # Without ids there is a vector for each row of the pairs.
    counts = {"corpus": len(rows["corpus"]), "queries": len(rows["pairs"])}
    for name, count in counts.items():
        np.save(home / f"{name}.npy", rng.standard_normal((count, 16)).astype(np.float32))
    config = {
        "work_dir": str(home / "run"),
        "data": {"pairs": str(_SAMPLE / "pairs.jsonl"), "corpus": str(_SAMPLE / "corpus.jsonl")},
        "embed": {"vectors": {name: str(home / f"{name}.npy") for name in counts}},
        "mine": {"k": 20},
    }
    negmine.run(negmine.config_from_dict(config))
    path = home / "negmine.yaml"
    path.write_text(json.dumps(config))
    return path


def run(folder: Path, rounds: int) -> str:
    """A Markdown table: medians of seconds and of CPU seconds, and ratios to the baseline."""
    negmine = str(Path(sys.executable).parent / "negmine")
    commands = {
        "python -c 'import typer, rich'": [sys.executable, "-c", "import typer, rich"],
        "negmine --help": [negmine, "--help"],
        "negmine status": [negmine, "status", "-c", str(finished_run(folder))],
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            before, started = os.times(), time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds, after = time.perf_counter() - started, os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            found[name].append((seconds, cpu))
    lines = [
        f"## Start: medians of {rounds} processes each, in turn",
        "",
        "| | seconds | min - max | CPU seconds | ratio | ratio by CPU |",
        "|---|---|---|---|---|---|",
    ]
    base = next(iter(found.values()))
    for name, runs in found.items():
        seconds, cpu = ([run[i] for run in runs[1:]] for i in (0, 1))  # the first reads from disk
        ratio, by_cpu = (
            statistics.median(r[i] / b[i] for r, b in zip(runs[1:], base[1:], strict=True)) for i in (0, 1)
        )
        lines.append(
            f"| `{name}` | {statistics.median(seconds):.3f} | {min(seconds):.3f} - {max(seconds):.3f} |"
            f" {statistics.median(cpu):.3f} | {ratio:.2f} | {by_cpu:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    print(run(args.folder, args.rounds))
    print(machine())


if __name__ == "__main__":
    main()
