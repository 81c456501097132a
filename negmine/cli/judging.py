"""judge: a language model, or people, look at the hardest survivors of filter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.app import app
from negmine.cli.console import Console
from negmine.cli.options import Verify, common, example
from negmine.cli.steps import Repair, WithUpstream, run_stages
from negmine.errors import ConfigError, StaleError, UsageError

if TYPE_CHECKING:
    from negmine.config import Config

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the first three prompts and the estimated cost; ask nothing.")
]
Export = Annotated[
    Path | None,
    typer.Option("--export-sheet", help="Write what people are to judge to a .jsonl or .csv file.", metavar="FILE"),
]
Import = Annotated[
    Path | None,
    typer.Option("--import-sheet", help="Read the judgements of a filled sheet.", metavar="FILE"),
]


@app.command(
    name="judge",
    help=example(
        "judge",
        "negmine judge -c negmine.yaml --dry-run                 prompts and cost",
        "negmine judge -c negmine.yaml --with-upstream",
        "negmine judge -c negmine.yaml --export-sheet s.jsonl   for people to fill in",
        "negmine judge -c negmine.yaml --import-sheet s.jsonl   the filled one",
    ),
)
@common
def judge_survivors(
    config: Config,
    console: Console,
    dry_run: DryRun = False,
    export_sheet: Export = None,
    import_sheet: Import = None,
    with_upstream: WithUpstream = False,
    repair: Repair = False,
    verify: Verify = False,
) -> None:
    named = {"--dry-run": dry_run, "--export-sheet": export_sheet, "--import-sheet": import_sheet}
    given = [name for name, value in named.items() if value]
    running = {"--with-upstream": with_upstream, "--repair": repair, "--verify": verify}
    given += [name for name, value in running.items() if value and given]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} are given", hint="Give one at a time.")
    if not given:
        run_stages(config, console, until="judge", only=not with_upstream, repair=repair, verify=verify)
        return
    if config.judge is None:
        raise ConfigError("no judge is configured", where="judge", hint="Set judge.endpoint, or write judge: {}.")
    _need_filter(config)
    if dry_run:
        _preview(config, console)
    elif export_sheet is not None:
        _export(config, console, export_sheet)
    elif import_sheet is not None:
        _import(config, console, import_sheet)


def _need_filter(config: Config) -> None:
    """Raises StaleError when the verdicts to be judged are not those of the config."""
    from negmine.pipeline import status

    found = next(stage for stage in status(config) if stage.stage == "filter")
    if found.state != "current":
        raise StaleError(
            f"filter is {found.state} ({found.why}), and judge needs it",
            hint="Run: negmine filter --with-upstream -c CONFIG",
        )


def _preview(config: Config, console: Console) -> None:
    from negmine import quality

    found = quality.judge_preview(config)
    for number, messages in enumerate(found.prompts, 1):
        for message in messages:
            console.line(f"--- prompt {number}, {message['role']} ---")
            console.line(message["content"])
        console.line()
    if not found.requests:
        why = (
            "everything is judged" if config.judge is not None and config.judge.judges else "there is no judge.endpoint"
        )
        console.line(f"nothing would be asked: {why}")
    else:
        cost = f", at a cost of about {found.cost:.4g}" if found.cost is not None else ""
        console.line(
            f"{found.passages:,} passages are not judged yet: about {found.requests:,} requests with {found.tokens:,}"
            f" tokens (estimated as a third of the bytes){cost}"
        )
    console.result(
        {
            "prompts": [list(messages) for messages in found.prompts],
            "passages": found.passages,
            "requests": found.requests,
            "tokens": found.tokens,
            "cost": found.cost,
        }
    )


def _export(config: Config, console: Console, path: Path) -> None:
    from negmine import quality

    written = quality.export_judge_sheet(config, path)
    if written:
        console.line(f"{written:,} candidates to judge are in {path}")
        console.line("Write true, false or unsure into relevant, then import it with --import-sheet.")
    else:
        console.line("people have judged everything that judge looks at: there is nothing to write")
    console.result({"sheet": str(path) if written else None, "rows": written})


def _import(config: Config, console: Console, path: Path) -> None:
    from negmine import quality

    found = quality.import_judge_sheet(config, path)
    empty = f"; {found.empty:,} are empty" if found.empty else ""
    console.line(f"{found.judged:,} rows are judged, {found.new:,} of them new or changed{empty}")
    if found.new:
        console.line("They count when judge runs: negmine run -c CONFIG".replace("CONFIG", console.config))
    console.result({"judged": found.judged, "new": found.new, "empty": found.empty})
