"""report: a run as one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.app import app
from negmine.cli.console import Console, size
from negmine.cli.options import common, example

if TYPE_CHECKING:
    from negmine.config import Config
    from negmine.report import Report

Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        help="The .html file to write (default: report.html in work_dir; in this folder when work_dir is a URL).",
        metavar="FILE",
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]
Queries = Annotated[
    int | None,
    typer.Option(
        "--queries",
        min=1,
        help="How many queries to draw into its table (default: 1000, or as many as fit into 5 MB).",
        metavar="N",
    ),
]


@app.command(
    name="report",
    help=example(
        "report",
        "negmine report -c negmine.yaml --open",
        "negmine report -c negmine.yaml -o report.html --queries 200",
    ),
)
@common
def report_run(
    config: Config, console: Console, output: Output = None, open_: Open = False, queries: Queries = None
) -> None:
    from negmine.report import write_report

    written = write_report(config, output, queries=queries, tell=console.note)
    _warn(console, written)
    shown = f"{written.queries:,} of {written.queries_of_run:,} queries"
    console.line(f"{written.path} ({size(written.bytes)}, {shown})")
    opened = False
    if open_:
        import webbrowser

        opened = webbrowser.open(written.path.as_uri())
        if not opened:
            console.warn(f"no browser could be started: open {written.path.as_uri()}")
    console.result({**written.as_json(), "opened": opened})


def _warn(console: Console, written: Report) -> None:
    """Say what the page says too: which stages are not what the config asks for, and which parts are missing."""
    for state in ("stale", "partial", "damaged", "missing"):
        names = [stage for stage, found in written.stages.items() if found == state]
        if names:
            console.warn(f"{', '.join(names)}: {state}; the page says so where it matters")
    for reason in dict.fromkeys(written.missing.values()):
        parts = ", ".join(part for part, why in written.missing.items() if why == reason)
        console.warn(f"not on the page ({parts}): {reason}")
