"""A changed margin: what negmine does anew against what `mine_hard_negatives` does, on the same vectors.

    python -m benchmarks.margins --passages 100000 --queries 10000

negmine has mined already: filter and export run. The other one searches again; its vectors are
given to it, as when they are cached. Process start and imports are not measured.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import collection, config_of
from benchmarks.measure import alternate, import_all, report_seconds, table
from benchmarks.mining import peer

_MARGIN = 0.1
_RULES: dict[str, dict[str, Any]] = {
    "negmine, margin alone": {"relative_margin": _MARGIN, "risk": None, "near_duplicates": None},
    "negmine, default guard": {"risk": {"as_hard_as": _MARGIN, "max": 0.5}},
}


def _config(home: Path, k: int, rules: dict[str, Any]) -> dict[str, object]:
    return config_of(home, home / "margins", mine={"k": k}, filter=rules)


def measure(home: Path, which: str, k: int) -> None:
    """One measured process."""
    if which in _RULES:
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401  # for the picture of the card

        import negmine

        import_all()
        config = negmine.config_from_dict(_config(home, k, _RULES[which]))
        for name in ("filter", "export"):
            shutil.rmtree(home / "margins" / name, ignore_errors=True)
        report_seconds(lambda: negmine.run(config) and None)
        return
    corpus, queries = np.load(home / "corpus.npy"), np.load(home / "queries.npy")
    peer(home, corpus, queries, k, use_faiss=which.endswith("faiss"), relative_margin=_MARGIN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-default-path", action="store_true", help="leave out the peer without faiss")
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm:
        measure(args.home, args.arm, args.k)
        return
    import negmine

    home = collection(args.folder, args.passages, args.queries, args.dimension)
    for rules in _RULES.values():
        negmine.run(negmine.config_from_dict(_config(home, args.k, rules)))
    arms = [*_RULES, "mine_hard_negatives, faiss"] + ([] if args.no_default_path else ["mine_hard_negatives"])
    commands = {arm: ["benchmarks.margins", "--home", str(home), "--arm", arm, "-k", str(args.k)] for arm in arms}
    title = (
        f"a changed margin: {args.passages:,} passages x {args.queries:,} queries,"
        f" {min(args.k, args.passages) * args.queries:,} candidates"
    )
    print(table(title, alternate(commands, args.rounds), arms[0]))


if __name__ == "__main__":
    main()
