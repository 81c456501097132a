"""explain: every candidate of a query, for people to read."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.app import app
from negmine.cli.console import Console, one_line, shortened
from negmine.cli.options import common, example
from negmine.errors import UsageError, nearest

if TYPE_CHECKING:
    from negmine.config import Config
    from negmine.explain import ExplainedCandidate, ExplainedPositive, ExplainedQuery

    _Column = tuple[str, Callable[[ExplainedCandidate], str]]

QueryIds = Annotated[list[str] | None, typer.Argument(help="Ids of the queries to explain.", metavar="QUERY_ID")]
Random = Annotated[int | None, typer.Option(min=1, help="Explain N queries, drawn by the seed.", metavar="N")]
Starved = Annotated[bool, typer.Option("--starved", help="Explain queries that came out short of negatives.")]
Riskiest = Annotated[
    int | None,
    typer.Option(min=1, help="Explain the N queries whose negatives are likeliest to be false.", metavar="N"),
]
Count = Annotated[
    int | None, typer.Option("-n", min=1, help="How many of the starved queries (default: 10).", metavar="N")
]
Reason = Annotated[str | None, typer.Option(help="Show only the candidates with this reason.", metavar="NAME")]
Full = Annotated[bool, typer.Option("--full", help="Show whole texts, and each reason in words.")]

_STARVED_SHOWN = 10
_FILE_COLUMNS = 120
_LEAST_TEXT = 16
_SPARE = ("to pos.>", "source")
"""Columns that are left out when the room does not suffice."""
_GAP = "  "


@app.command(
    name="explain",
    help=example(
        "explain",
        "negmine explain -c negmine.yaml q17",
        "negmine explain -c negmine.yaml q17 --reason risk --full",
        "negmine explain -c negmine.yaml --starved -n 3   queries that came out short",
        "negmine explain -c negmine.yaml --riskiest 3     likeliest false negatives",
        "negmine explain -c negmine.yaml --random 3       the same three every time",
    ),
)
@common
def explain_queries(
    config: Config,
    console: Console,
    query_ids: QueryIds = None,
    random: Random = None,
    riskiest: Riskiest = None,
    starved: Starved = False,
    count: Count = None,
    reason: Reason = None,
    full: Full = False,
) -> None:
    from dataclasses import replace

    from negmine.explain import explain
    from negmine.selection.verdicts import reason_names

    if bool(query_ids) + (random is not None) + (riskiest is not None) + starved != 1:
        choices = "ids of queries, or --random N, or --riskiest N, or --starved"
        raise UsageError(f"explain takes {choices}", hint="Give one of them.")
    if count is not None and not starved:
        raise UsageError("-n goes with --starved", hint="Add --starved, or leave out -n.")
    reasons = reason_names(config.filter.exclude_same)
    if reason is not None and reason not in reasons:
        hint = nearest(reason, reasons) or f"Reasons are {', '.join(reasons)}."
        raise UsageError(f"there is no reason '{reason}'", hint=hint)
    queries = explain(config, query_ids or _chosen(config, console, random, riskiest, count or _STARVED_SHOWN))
    _warn_of_changes(config, console)
    width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else _FILE_COLUMNS
    for i, query in enumerate(queries):
        for line in [*[""] * (i > 0), *_explained(query, width, full=full, reason=reason)]:
            console.line(line)
    console.result({"queries": [replace(q, candidates=_with_reason(q, reason)).as_json() for q in queries]})


def _with_reason(query: ExplainedQuery, reason: str | None) -> tuple[ExplainedCandidate, ...]:
    """The candidates to show."""
    return tuple(each for each in query.candidates if reason in (None, each.reason))


def _chosen(config: Config, console: Console, random: int | None, riskiest: int | None, count: int) -> list[str]:
    """Ids of random queries, of the riskiest, or of starved ones."""
    from negmine.explain import random_ids, riskiest_ids, starved_ids

    if riskiest is not None:
        ids = riskiest_ids(config, riskiest)
        if not ids:
            console.note("no query has a mined negative")
        return ids
    if random is not None:
        return random_ids(config, random)
    ids, total = starved_ids(config, count)
    if not ids:
        console.note("no query came out short of negatives")
    elif len(ids) < total:
        console.note(f"{len(ids)} of {total} queries that came out short (-n shows more)")
    return ids


def _warn_of_changes(config: Config, console: Console) -> None:
    from negmine.pipeline import status

    found = next(stage for stage in status(config) if stage.stage == "filter")
    if found.state in ("stale", "partial"):
        console.warn(f"filter is {found.state} ({found.why}): these are the verdicts of the run as it was")


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _both(each: ExplainedCandidate) -> list[str]:
    """What each scorer gave, where there are two."""
    if each.dense_score is None:
        return []
    return [f"(dense {_score(each.dense_score)}, rerank {_score(each.rerank_score)})"]


_BOTH: list[_Column] = [
    ("dense>", lambda each: _score(each.dense_score)),
    ("rerank>", lambda each: _score(each.rerank_score)),
]


def _explained(query: ExplainedQuery, width: int, *, full: bool, reason: str | None) -> Iterator[str]:
    """The lines that explain one query."""
    from rich.cells import cell_len

    yield from _folded(f"{query.query_id}{_GAP}", query.text, width, full=full)
    others = [name for name in query.ids if name != query.query_id]
    if others:
        names = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        yield f"The same text as {names}: they share these candidates."
    candidates = _with_reason(query, reason)
    counted = f"{len(query.candidates)} candidate{'s' * (len(query.candidates) != 1)}, {query.kept} kept"
    only = "" if reason is None else f", {len(candidates)} with reason {reason}"
    yield f"reference score {query.reference:.3f}, {counted}{only}"
    yield ""
    if full:
        for positive in query.positives:
            label = _GAP.join([positive.doc_id, _place(positive), f"{positive.score:.3f}", "a labelled positive"])
            yield ": ".join([label, *([_found(positive)] if positive.findings else [])])
            yield from _folded(" " * 4, positive.text, width, full=True)
        for each in candidates:
            rank = "-" if each.rank is None else f"#{each.rank}"
            words = [each.doc_id, each.retriever, rank, *_others(each), _score(each.score), *_both(each), *_risk(each)]
            yield ""
            yield _coloured(f"{_GAP.join([*words, _verdict(each), each.reason])}: {each.explanation}", each)
            yield from _folded(" " * 4, each.text, width, full=True)
        return
    positives = [[p.doc_id, _place(p), f"{p.score:.3f}", _found(p), p.text] for p in query.positives]
    shown = _grid(["positive", "rank>", "score>", "findings", "text"], positives, width)
    if max(map(cell_len, shown)) > width or not any(positive.findings for positive in query.positives):
        rows = [[*row[:3], row[4]] for row in positives]
        shown = _grid(["positive", "rank>", "score>", "text"], rows, width)
    yield from shown
    if not candidates:
        return
    yield ""
    columns: list[_Column] = [
        ("rank>", lambda each: "" if each.rank is None else str(each.rank)),
        ("candidate", lambda each: each.doc_id),
        ("source", lambda each: " + ".join([each.retriever, *_others(each)])),
        ("score>", lambda each: _score(each.score)),
        *(_BOTH if any(each.dense_score is not None for each in candidates) else []),
        ("to pos.>", lambda each: "" if each.positive_similarity is None else f"{each.positive_similarity:.3f}"),
        *([("risk>", lambda each: _percent(each.risk))] if any(each.risk is not None for each in candidates) else []),
        ("verdict", _verdict),
        ("reason", lambda each: each.reason),
        ("text", lambda each: each.text),
    ]
    shown = _grid_of(columns, candidates, width)
    for spare in _SPARE:
        if max(map(cell_len, shown)) <= width:
            break
        columns = [column for column in columns if column[0] != spare]
        shown = _grid_of(columns, candidates, width)
    head, *lines = shown
    yield head
    yield from (_coloured(line, each) for line, each in zip(lines, candidates, strict=True))
    yield ""
    yield from _legend(candidates, width)


def _legend(candidates: Sequence[ExplainedCandidate], width: int) -> Iterator[str]:
    """How many candidates have each reason, and what it means."""
    counts = Counter(each.reason for each in candidates)
    meaning = {each.reason: each.explanation for each in candidates}
    rows = [("reason", "count", "meaning"), *((name, str(n), meaning[name]) for name, n in counts.items())]
    wide = max(len(name) for name, _, _ in rows)
    for name, count, words in rows:
        yield from _folded(f"{name:<{wide}}{_GAP}{count:>5}{_GAP}", words, width, full=True)


def _others(candidate: ExplainedCandidate) -> list[str]:
    """Who else found a candidate, each with its rank."""
    others = zip(candidate.retrievers[1:], candidate.ranks[1:], strict=True)
    return [f"{name} #{rank}" for name, rank in others]


def _place(positive: ExplainedPositive) -> str:
    return "-" if positive.rank is None else f"#{positive.rank}"


def _found(positive: ExplainedPositive) -> str:
    return ", ".join(positive.findings)


def _percent(risk: float | None) -> str:
    return "" if risk is None else f"{risk:.1%}"


def _risk(candidate: ExplainedCandidate) -> tuple[str, ...]:
    return () if candidate.risk is None else (f"risk {_percent(candidate.risk)}",)


def _verdict(candidate: ExplainedCandidate) -> str:
    return candidate.verdict if candidate.position is None else f"{candidate.verdict} {candidate.position}"


def _coloured(line: str, candidate: ExplainedCandidate) -> str:
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return line
    return typer.style(line, fg="green", bold=True) if candidate.verdict == "kept" else typer.style(line, dim=True)


def _grid_of(columns: Sequence[_Column], candidates: Sequence[ExplainedCandidate], width: int) -> list[str]:
    rows = [[words(each) for _, words in columns] for each in candidates]
    return _grid([name for name, _ in columns], rows, width)


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """A line per row, in columns; the last one is a text that gets the room that is left.

    The name of a column may end in ``>``, which aligns it right.
    """
    from rich.cells import cell_len

    table = [[name.rstrip(">") for name in columns], *[[one_line(cell) for cell in row] for row in rows]]
    wide = [max(cell_len(row[i]) for row in table) for i in range(len(columns) - 1)]
    room = max(width - sum(wide) - len(_GAP) * len(wide), _LEAST_TEXT)
    lines = []
    for row in table:
        cells = []
        for cell, size_, name in zip(row, wide, columns, strict=False):
            space = " " * (size_ - cell_len(cell))
            cells.append(space + cell if name.endswith(">") else cell + space)
        lines.append(_GAP.join([*cells, shortened(row[-1], room)]).rstrip())
    return lines


def _folded(margin: str, text: str, width: int, *, full: bool) -> list[str]:
    """A text beside a margin: whole, over several lines, or shortened to one."""
    if not full:
        return [margin + shortened(one_line(text), max(width - len(margin), _LEAST_TEXT))]
    room = max(width - len(margin), _LEAST_TEXT)
    lines = [line for part in text.splitlines() for line in textwrap.wrap(one_line(part), room)] or [""]
    return [margin + lines[0], *[" " * len(margin) + line for line in lines[1:]]]
