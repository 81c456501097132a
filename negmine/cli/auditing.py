"""audit: what share of the negatives is false, from a sample that people label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.app import app
from negmine.cli.console import Console
from negmine.cli.options import common, example
from negmine.errors import UsageError

if TYPE_CHECKING:
    from negmine.config import Config
    from negmine.quality import Audit, Imported, Simulation
    from negmine.quality.estimating import Rate

Export = Annotated[
    Path | None,
    typer.Option("--export-sheet", help="Write the negatives to label to a .jsonl or .csv file.", metavar="FILE"),
]
Import = Annotated[
    Path | None,
    typer.Option("--import-sheet", help="Read the labels of a filled sheet, then estimate.", metavar="FILE"),
]
Simulate = Annotated[
    Path | None,
    typer.Option(help="Repeat audits on known relevance: do the intervals hold?", metavar="QRELS"),
]
Count = Annotated[
    int | None,
    typer.Option("-n", min=10, help="How many negatives to draw (default: as last time, at first 200).", metavar="N"),
]
Judge = Annotated[
    bool, typer.Option("--judge", help="Let the language model of judge.endpoint label, instead of a person.")
]
Repeats = Annotated[int | None, typer.Option(min=1, help="How many audits to simulate (default: 200).", metavar="N")]

_REPEATS = 200


@app.command(
    name="audit",
    help=example(
        "audit",
        "negmine audit -c negmine.yaml --export-sheet sheet.csv",
        "negmine audit -c negmine.yaml --import-sheet sheet.csv   the labelled one",
        "negmine audit -c negmine.yaml --json                     the estimate again",
        "negmine audit -c negmine.yaml --judge                    labels of a model",
        "negmine audit -c negmine.yaml --simulate qrels.tsv       is it right?",
    ),
)
@common
def audit_negatives(
    config: Config,
    console: Console,
    export_sheet: Export = None,
    import_sheet: Import = None,
    n: Count = None,
    simulate: Simulate = None,
    repeats: Repeats = None,
    judge: Judge = False,
) -> None:
    given = [name for name, value in (("--export-sheet", export_sheet), ("--import-sheet", import_sheet)) if value]
    given += ["--simulate"] * (simulate is not None) + ["--judge"] * judge
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} are given", hint="Give one at a time.")
    if repeats is not None and simulate is None:
        raise UsageError("--repeats is for --simulate", hint="Leave it out, or give --simulate QRELS.")
    from negmine import quality

    _warn_of_changes(config, console, "filter" if config.judge is None or judge else "judge")
    if simulate is not None:
        of_audits = quality.simulate(config, simulate, n or quality.JUDGEMENTS, repeats or _REPEATS)
        _show_simulation(console, of_audits)
        console.result(of_audits.as_json())
        return
    if export_sheet is not None:
        found, written = quality.export_sheet(config, export_sheet, n)
        _show_sheet(console, found, written, export_sheet)
        console.result({"sheet": str(export_sheet) if written else None, "rows": written, **found.as_json()})
        return
    if import_sheet is not None:
        found, imported = quality.import_sheet(config, import_sheet, n)
        _tell_imported(console, imported)
    elif judge:
        found = _judged(config, console, n)
    else:
        found = quality.audit(config, n)
    if not found.labelled:
        raise UsageError(
            f"none of the {found.sampled:,} drawn negatives is labelled",
            hint="Write a sheet to label with: negmine audit --export-sheet sheet.csv -c CONFIG",
        )
    _show(console, found)
    console.result(found.as_json())


def _warn_of_changes(config: Config, console: Console, last: str) -> None:
    from negmine.pipeline import status

    found = next(stage for stage in status(config) if stage.stage == last)
    if found.state in ("stale", "partial"):
        console.warn(f"{last} is {found.state} ({found.why}): these are the negatives of the run as it was")


def _judged(config: Config, console: Console, n: int | None) -> Audit:
    """An audit by the judge, which is told to be one."""
    from negmine import quality

    reporter = console.reporter()
    reporter.stage_started("audit", "the judge labels")
    reporter.tasks_known("audit", "answers", n or quality.JUDGEMENTS, 0)
    try:
        found = quality.judged_audit(config, n, lambda: reporter.advanced("audit", 1))
    finally:
        reporter.close()
    by = ", ".join(f"{count:,} by {source}" for source, count in found.sources.items())
    console.warn(f"labels of a language model are no truth: {by}")
    if found.agreement is not None and found.agreement[0]:
        both, same = found.agreement
        console.note(f"people and the judge both labelled {both:,} of them, and agree on {same:,} ({same / both:.0%})")
    if config.judge is not None:
        console.note("this is about the negatives of filter, before judge: a judge says nothing about its own choice")
    return found


def _tell_imported(console: Console, imported: Imported) -> None:
    text = f"{imported.judged:,} rows are labelled, {imported.new:,} of them new or changed"
    console.note(text + (f"; {imported.empty:,} are empty" if imported.empty else ""))
    if imported.elsewhere:
        console.note(f"{imported.elsewhere:,} are about pairs that are not in this sample; their labels are kept")


def _show_sheet(console: Console, found: Audit, written: int, path: Path) -> None:
    if not written:
        console.line(f"all {found.sampled:,} drawn negatives are labelled: there is nothing to write")
        return
    before = f" ({found.labelled:,} others are labelled already)" if found.labelled else ""
    drawn = f"{found.sampled:,} of {found.overall.population:,} negatives are drawn (seed {found.seed})"
    console.line(f"{drawn}; {written:,} to label are in {path}{before}")
    console.line("Write true, false or unsure into its column relevant, then import it with --import-sheet.")


def _show(console: Console, found: Audit) -> None:
    drawn = f"{found.overall.population:,} negatives of {found.queries:,} queries, {found.sampled:,} drawn"
    unsure = f", {found.unsure:,} of them unsure" if found.unsure else ""
    console.line(f"{drawn} (seed {found.seed}), {found.labelled:,} labelled{unsure}")
    console.line()
    rows = [["all", "", *_cells(found.overall)]]
    rows += [[group.by, group.name, *_cells(group.rate)] for group in found.groups]
    console.table(["among", "", "negatives>", "judged>", "relevant>", "false>", "95% interval>"], rows)
    console.line()
    if found.new_queries is not None:
        low, high = found.new_queries
        console.line(f"For further queries like these the interval is {low:.1%} to {high:.1%}.")
    if found.unsure and found.if_unsure.rate is not None:
        console.line(f"If all that is unsure were relevant, the rate would be {found.if_unsure.rate:.1%}.")
    if found.labelled < found.sampled:
        console.warn(
            f"{found.sampled - found.labelled:,} of {found.sampled:,} drawn negatives are not labelled: the estimate"
            " is from the others. Write the rest with --export-sheet"
        )


def _cells(rate: Rate) -> list[str]:
    counts = [f"{rate.population:,}", f"{rate.judged:,}", f"{rate.relevant:,}"]
    if rate.rate is None:
        return [*counts, "-", "-"]
    return [*counts, f"{rate.rate:.1%}", f"{rate.low:.1%} to {rate.high:.1%}"]


def _show_simulation(console: Console, found: Simulation) -> None:
    console.line(
        f"{found.population:,} negatives, {found.relevant:,} of them relevant ({found.rate:.2%});"
        f" {found.repeats:,} audits of {found.judgements:,}"
    )
    console.line()
    designs = (("stratified (this tool)", found.stratified), ("simple random sample", found.simple))
    rows = [[name, f"{each.coverage:.1%}", f"{each.bias:+.2%}", f"{each.width:.2%}"] for name, each in designs]
    console.table(["sample", "intervals that hold>", "mean error>", "mean width>"], rows)
