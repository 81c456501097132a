"""diff: the negatives of two runs side by side."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from negmine.cli.app import app
from negmine.cli.console import Console, one_line, shortened
from negmine.cli.options import Json, LogFormat, Quiet, example, setup
from negmine.errors import UsageError

if TYPE_CHECKING:
    from negmine.comparing import Comparison, ListedNegative, QueryChange, RunSummary

RunA = Annotated[str, typer.Argument(help="A work_dir, its URL, or a config file.", metavar="RUN_A")]
RunB = Annotated[str, typer.Argument(help="The run to compare it with.", metavar="RUN_B")]
QueryIds = Annotated[
    list[str] | None, typer.Option("--query", help="Show this query's negatives. Repeatable.", metavar="ID")
]
Count = Annotated[
    int | None,
    typer.Option("-n", min=0, help="How many of the queries that changed most to show (default: 10).", metavar="N"),
]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page with all of it.", metavar="FILE")]

_FILE_COLUMNS = 120
_BETWEEN = " │ "
_VALUE = 40
_MEASURES = {
    "score": "score",
    "margin": "margin (reference - score)",
    "risk": "risk",
    "rank": "rank in what was mined",
}


@app.command(
    name="diff",
    help=example(
        "diff",
        "negmine diff runs/monday runs/tuesday",
        "negmine diff old.yaml new.yaml --html diff.html",
        "negmine diff runs/monday runs/tuesday --query q17",
    ),
)
def diff_runs(
    run_a: RunA,
    run_b: RunB,
    query: QueryIds = None,
    count: Count = None,
    html: Html = None,
    as_json: Json = False,
    quiet: Quiet = False,
    log_format: LogFormat = "text",
) -> None:
    console = setup(as_json=as_json, quiet=quiet, log_format=log_format)
    if query and count is not None:
        raise UsageError("-n and --query are given", hint="Give one of them.")
    if html is not None and (html.is_dir() or not html.absolute().parent.is_dir()):
        what = "is a folder" if html.is_dir() else "is in a folder that is not there"
        raise UsageError(f"the file {what}", where=str(html), hint="Give the path of a file to write to.")
    from negmine.comparing import MOST, compare

    found = compare(run_a, run_b, most=MOST if count is None else count, query_ids=query or ())
    for name, run in (("A", found.a), ("B", found.b)):
        for text in run.warnings:
            console.warn(f"{name}, {run.name}: {text}; these are its negatives as they are")
    if html is not None:
        from negmine.comparing.page import write_page

        write_page(found, html)
        console.note(f"page: {html}")
    if not query:
        _show(console, found)
    _show_queries(console, found.changed)
    console.result(found.as_json())


def _show(console: Console, found: Comparison) -> None:
    console.table(
        ["", "run~", "queries>", "negatives>", "filtered (UTC)?", "fingerprint?"],
        [_of_run("A", found.a), _of_run("B", found.b)],
    )
    console.line()
    if found.settings:
        rows = [[each.kind, each.key, _value(each.a), _value(each.b)] for each in found.settings]
        console.table(["kind", "differs", "A~", "B~"], rows)
    else:
        console.line("Both were made from the same data with the same settings.")
    console.line()
    for line in _churn(found):
        console.line(line)
    console.line()
    _show_shifts(console, found)
    rows = [
        [reason, f"{a:,}", f"{b:,}", f"{b - a:+,}" if b != a else "", *_moved(found, reason)]
        for reason, (a, b) in found.reasons.items()
    ]
    for reason in dict.fromkeys([*found.gone, *found.new]):
        if reason not in found.reasons:
            rows.append([reason, "-", "-", "", *_moved(found, reason)])
    console.table(["verdict", "A>", "B>", "change>?", "gone, in B>", "new, in A>"], rows)
    console.line("gone, in B: what B made of the negatives that only A has; new, in A: the reverse")
    console.line()


def _of_run(name: str, run: RunSummary) -> list[str]:
    created = run.created[:16].replace("T", " ")
    return [name, run.name, f"{run.queries:,}", f"{run.negatives:,}", created, run.fingerprint[:12]]


def _value(value: Any) -> str:
    """A setting, short enough for a column."""
    if value is None:
        return "-"
    text = one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 4 * _VALUE else text[: 4 * _VALUE - 1] + "…"


def _churn(found: Comparison) -> Iterator[str]:
    churn = found.churn
    by = churn.matched_by
    others = [f"{by['text']:,} by text alone"] * bool(by["text"]) + [f"{by['id']:,} by id alone"] * bool(by["id"])
    matched = f" ({', '.join(others)})" if others else ""
    yield f"{churn.queries:,} queries are in both runs{matched}"
    for count, ids, run in (
        (churn.removed_queries, churn.removed_ids, "A"),
        (churn.new_queries, churn.new_ids, "B"),
    ):
        if count:
            more = " ..." if count > len(ids[:5]) else ""
            yield f"{count:,} queries only in {run}: {', '.join(map(one_line, ids[:5]))}{more}"
    if churn.churn is None:
        return
    yield f"negatives: {churn.kept:,} in both, {churn.gone:,} only in A (gone), {churn.new:,} only in B (new)"
    quantiles = ", ".join(f"{name} {churn.jaccard[key]:.2f}" for name, key in _QUANTILES)
    yield f"churn {churn.churn:.1%}: 1 - the mean Jaccard index of a query's two lists ({churn.jaccard['mean']:.3f})"
    yield f"of these: {quantiles}; {churn.unchanged:,} queries unchanged"


_QUANTILES = (("5%", "p05"), ("25%", "p25"), ("median", "p50"), ("75%", "p75"), ("95%", "p95"))


def _moved(found: Comparison, reason: str) -> list[str]:
    return [f"{counts[reason]:,}" if reason in counts else "" for counts in (found.gone, found.new)]


def _show_shifts(console: Console, found: Comparison) -> None:
    rows = []
    for shift in found.shifts:
        form = ".1f" if shift.measure == "rank" else ".3f"
        for run, values in (("A", shift.a), ("B", shift.b)):
            cells = ["-" if values[key] is None else format(values[key], form) for key in ("mean", *_KEYS)]
            rows.append([_MEASURES[shift.measure] if run == "A" else "", run, *cells])
    console.table(["negatives", "run", "mean>", "5%>?", "25%>?", "median>", "75%>?", "95%>?"], rows)
    why: dict[str, list[str]] = {}
    for shift in found.shifts:
        if shift.not_comparable:
            why.setdefault(shift.not_comparable, []).append(shift.measure)
    for reason, measures in why.items():
        console.line(f"{', '.join(measures)}: not comparable, as {reason}")
    console.line()


_KEYS = tuple(key for _, key in _QUANTILES)


def _show_queries(console: Console, queries: Sequence[QueryChange]) -> None:
    width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else _FILE_COLUMNS
    if queries:
        console.line("= in both   - gone, and what B made of it   + new, and what A made of it")
    for query in queries:
        console.line()
        for line in _side_by_side(query, width):
            console.line(line)


def _side_by_side(query: QueryChange, width: int) -> Iterator[str]:
    from rich.cells import cell_len

    names = dict.fromkeys(name for name in (query.id_a, query.id_b) if name is not None)
    index = f"Jaccard {query.jaccard:.2f}  " if query.jaccard is not None else f"only in {'B' if query.id_b else 'A'}  "
    yield shortened(f"{one_line(' -> '.join(names))}  {index}{one_line(query.text)}", width)
    for positive in query.positives[:1]:
        more = f"  (and {len(query.positives) - 1} more)" if len(query.positives) > 1 else ""
        yield shortened(f"positive: {one_line(positive)}", width - len(more)) + more
    room = (width - len(_BETWEEN)) // 2
    left = [line for each in query.a for line in _cell(each, "-", "B", room)]
    right = [line for each in query.b for line in _cell(each, "+", "A", room)]
    heads = [f"A: {len(query.a)} negatives"], [f"B: {len(query.b)} negatives"]
    for a, b in zip_longest(heads[0] + left, heads[1] + right, fillvalue=""):
        yield f"{a}{' ' * (room - cell_len(a))}{_BETWEEN}{b}".rstrip()


def _cell(negative: ListedNegative, sign: str, other: str, room: int) -> list[str]:
    same = negative.elsewhere == "kept"
    fate = "" if same else f"  {other}: {negative.elsewhere}"
    head = f"{'=' if same else sign} {one_line(negative.doc_id)}  {negative.score:.3f}{fate}"
    return [shortened(head, room), shortened(f"    {one_line(negative.text)}", room)]
