"""check: the bounds of the config as a gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.app import app
from negmine.cli.console import Console
from negmine.cli.options import common, example
from negmine.errors import CheckFailedError, UsageError

if TYPE_CHECKING:
    from negmine.config import Config

Junit = Annotated[Path | None, typer.Option("--junit", help="Write the results as JUnit XML, for CI.", metavar="FILE")]


@app.command(
    name="check",
    help=example(
        "check",
        "negmine check -c negmine.yaml",
        "negmine check -c negmine.yaml --junit checks.xml",
        "negmine check -c negmine.yaml --set checks.min_yield=0.95 --json",
    ),
)
@common
def check_run(config: Config, console: Console, junit: Junit = None) -> None:
    if junit is not None and (junit.is_dir() or not junit.absolute().parent.is_dir()):
        what = "is a folder" if junit.is_dir() else "is in a folder that is not there"
        raise UsageError(f"the file {what}", where=str(junit), hint="Give the path of a file to write to.")
    from negmine.checks import check, write_junit
    from negmine.checks.junit import shown

    found = check(config)
    console.table(
        ["check", "bound>", "value>", "verdict", "measured~"],
        [
            [
                each.name,
                f"{'>=' if each.at_least else '<='} {shown(each, each.bound)}",
                "-" if each.value is None else shown(each, each.value),
                each.verdict,
                each.detail,
            ]
            for each in found.checks
        ],
    )
    if junit is not None:
        write_junit(found, junit)
        console.note(f"JUnit: {junit}")
    console.result(found.as_json())
    if found.failed:
        names = ", ".join(each.name for each in found.failed)
        raise CheckFailedError(f"{len(found.failed)} of {len(found.checks)} checks failed: {names}")
