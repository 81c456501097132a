"""Show what `make demo` mined: false negatives before and after filtering, and five queries.

Reads the finished run and `judgments.tsv`, the complete truth, which the pipeline never sees.
"""

from __future__ import annotations

import csv
import textwrap
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

import negmine
from negmine.results import read_verdicts

HERE = Path(__file__).parent
SHOWN = 5
GUARDS = ("risk", "near_duplicate")
"""Rules that drop what is probably an answer."""


def main() -> None:
    config = negmine.load_config(HERE.parent / "configs" / "demo.yaml")
    wanted = config.filter.num_negatives
    corpus = pq.read_table(Path(config.work_dir) / "ingest" / "corpus.parquet").to_pylist()
    queries = pq.read_table(Path(config.work_dir) / "ingest" / "queries.parquet").to_pylist()
    relevant = _judged(queries, {row["doc_id"]: row["passage"] for row in corpus})
    by_query: dict[int, list[dict]] = defaultdict(list)
    for row in read_verdicts(config).to_pylist():
        by_query[row["query"]].append(row)
    console = Console(highlight=False, width=110)
    _rates(console, by_query, relevant, wanted)
    texts = {row["passage"]: f"{row['title']}: {row['text']}" for row in reversed(corpus)}
    names = {row["query"]: row["text"] for row in reversed(queries)}
    instructive = sorted(by_query, key=lambda q: (-_caught(by_query[q], relevant[q]), q))
    for query in sorted(instructive[: SHOWN * 6 : 6]):
        _show(console, names[query], by_query[query], texts, relevant[query])
    console.print(f"The training files are in {Path(config.work_dir) / 'export'}")


def _judged(queries: list[dict], passage_of: dict[str, int]) -> dict[int, set[int]]:
    """Relevant passages of every query number, from the judgements."""
    number = {row["query_id"]: row["query"] for row in queries}
    found: dict[int, set[int]] = defaultdict(set)
    with (HERE / "judgments.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["query_id"] in number and int(row["relevance"]) > 0:
                found[number[row["query_id"]]].add(passage_of[row["doc_id"]])
    return found


def _caught(rows: list[dict], relevant: set[int]) -> int:
    """Answers that are no known positive and that the filter dropped."""
    return sum(row["verdict"] == "dropped" and row["reason"] in GUARDS and row["passage"] in relevant for row in rows)


def _rates(console: Console, by_query: dict[int, list[dict]], relevant: dict[int, set[int]], wanted: int) -> None:
    def rate(chosen: list[tuple[int, dict]]) -> tuple[str, str]:
        wrong = sum(row["passage"] in relevant[query] for query, row in chosen)
        return f"{wrong} of {len(chosen)}", f"{wrong / max(len(chosen), 1):.1%}"

    naive = [
        (query, row)
        for query, rows in by_query.items()
        for row in [r for r in rows if r["reason"] not in ("positive", "positive_text", "query_text")][:wanted]
    ]
    kept = [(query, row) for query, rows in by_query.items() for row in rows if row["verdict"] == "kept"]
    table = Table(title="False negatives: negatives that truly answer the query", title_justify="left")
    table.add_column("negatives")
    table.add_column("false", justify="right")
    table.add_column("share", justify="right")
    table.add_column("mean score", justify="right")
    table.add_column("slots filled", justify="right")
    for name, chosen in ((f"before: the {wanted} nearest passages", naive), ("after: this run's filter", kept)):
        score = sum(row["score"] for _, row in chosen) / max(len(chosen), 1)
        table.add_row(name, *rate(chosen), f"{score:.3f}", f"{len(chosen) / (len(by_query) * wanted):.1%}")
    console.print(table)


def _show(console: Console, query: str, rows: list[dict], texts: dict[int, str], relevant: set[int]) -> None:
    console.rule(f"[bold]{query}", align="left")
    positive = [row for row in rows if row["reason"] == "positive"][:1]
    kept = [row for row in rows if row["verdict"] == "kept"]
    dropped = [row for row in rows if row["reason"] in (*GUARDS, "positive_text", "query_text")][:3]
    for label, style, chosen in (
        ("positive", "green", positive),
        ("negative", "red", kept),
        ("dropped", "yellow", dropped),
    ):
        for row in chosen:
            reason = row["reason"] if label == "dropped" else ""
            truth = " (truly an answer)" if row["passage"] in relevant and label != "positive" else ""
            console.print(f"[{style}]{label:>9}[/] {row['score']:.3f} {reason}{truth}", soft_wrap=True)
            text = textwrap.shorten(texts[row["passage"]], 190, placeholder=" ...")
            for line in textwrap.wrap(text, 92):
                console.print(f"{'':>16}{line}", markup=False)


if __name__ == "__main__":
    main()
