"""`make bench`: every benchmark at its usual size; writes benchmarks/RESULTS.md."""

from __future__ import annotations

from pathlib import Path

from benchmarks import mining
from benchmarks.measure import machine


def main() -> None:
    folder = Path("runs/benchmarks")
    parts = [
        "# Results",
        f"Medians of alternating runs, each in a process of its own. {machine()}.",
        mining.run(folder, 100_000, 10_000, 384, 100, rounds=5, peers=True),
    ]
    text = "\n\n".join(parts)
    (Path(__file__).parent / "RESULTS.md").write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
