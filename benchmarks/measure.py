"""Runs of several commands in turn, each in a process of its own, and their ratios."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from negmine.store.usage import peak_rss_bytes


@dataclass(frozen=True)
class Sample:
    """One run: seconds of the measured part, those of all its processor cores, and the process's peak memory."""

    seconds: float
    peak_bytes: int
    cpu_seconds: float


def alternate(commands: dict[str, Sequence[str]], rounds: int) -> dict[str, list[Sample]]:
    """Run each command once per round, in turn. A command prints one JSON object with ``seconds``."""
    found: dict[str, list[Sample]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            done = subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True, text=True)
            record = json.loads(done.stdout.splitlines()[-1])
            found[name].append(Sample(**record))
    return found


def import_all() -> None:
    """In a measured process: import what the stages would, which is not measured."""
    import faiss  # noqa: F401
    import pyarrow.parquet

    import negmine.pipeline
    import negmine.stages  # noqa: F401

    pyarrow.array([0])  # with its first array it imports pandas, where that is installed


def report_seconds(work: Callable[[], None]) -> None:
    """In a measured process: do ``work`` and print what it took."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    # The kernel's own figure for a child begins with what its parent holds, so it is not used.
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_rss_bytes(), "cpu_seconds": cpu}))


def table(title: str, samples: dict[str, list[Sample]], baseline: str) -> str:
    """Markdown: medians, and the median of the ratios to the baseline round by round. Other work on the
    machine changes CPU seconds less than seconds."""
    lines = [
        f"## {title}",
        "",
        "| | seconds (median) | min - max | CPU seconds | peak memory | ratio to baseline | by CPU |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, runs in samples.items():
        seconds = [run.seconds for run in runs]
        pairs = list(zip(runs, samples[baseline], strict=True))
        ratio = statistics.median(run.seconds / base.seconds for run, base in pairs)
        by_cpu = statistics.median(run.cpu_seconds / base.cpu_seconds for run, base in pairs)
        lines.append(
            f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} - {max(seconds):.2f} |"
            f" {statistics.median(run.cpu_seconds for run in runs):.2f} |"
            f" {max(run.peak_bytes for run in runs) / 1e6:.0f} MB | {ratio:.2f} | {by_cpu:.2f} |"
        )
    return "\n".join(lines) + "\n"


def machine() -> str:
    """What the figures were taken on."""
    import os

    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("faiss-cpu", "numpy", "pyarrow", "sentence-transformers")
    )
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {libraries}"
