"""run, and one command per stage."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.app import app
from negmine.cli.console import Console, duration, size
from negmine.cli.options import Verify, common, example
from negmine.cli.outcomes import judge_warnings, outcome
from negmine.cli.quality import data_warnings, show_quality, truncation_warnings

if TYPE_CHECKING:
    from negmine.config import Config
    from negmine.pipeline import RunResult

WithUpstream = Annotated[bool, typer.Option("--with-upstream", help="Run stale or missing earlier stages first.")]
Repair = Annotated[bool, typer.Option("--repair", help="Rebuild files of this stage that are damaged or missing.")]

_STAGES = ("ingest", "embed", "index", "mine", "rerank", "filter", "export")


@app.command(
    name="run",
    help=example(
        "run",
        "negmine run -c negmine.yaml",
        "negmine run -c negmine.yaml --set filter.num_negatives=3 --json",
    ),
)
@common
def run_all(config: Config, console: Console, verify: Verify = False) -> None:
    run_stages(config, console, until="export", only=False, repair=False, verify=verify)


def _stage_command(name: str) -> None:
    @app.command(
        name=name,
        help=example(name, f"negmine {name} -c negmine.yaml", f"negmine {name} -c negmine.yaml --with-upstream"),
    )
    @common
    def command(
        config: Config,
        console: Console,
        with_upstream: WithUpstream = False,
        repair: Repair = False,
        verify: Verify = False,
    ) -> None:
        run_stages(config, console, until=name, only=not with_upstream, repair=repair, verify=verify)


for _name in _STAGES:
    _stage_command(_name)


def run_stages(config: Config, console: Console, *, until: str, only: bool, repair: bool, verify: bool) -> None:
    from negmine.pipeline import run

    reporter = console.reporter()
    try:
        result = run(config, until=until, only=only, repair=repair, verify=verify, reporter=reporter)
    finally:
        reporter.close()
    _show(console, result)


def _show(console: Console, result: RunResult) -> None:
    ingest = result.stages[0]
    if ingest.state == "done":
        show_quality(console, ingest.manifest.facts["quality"])
    show_stages(console, result)
    for path in result.exports:
        console.line(str(path))
    if result.published is not None:
        verb = "published to" if result.published.state == "done" else "is published already:"
        console.line(f"{verb} {result.published.url}")
    _warn(console, result)
    console.result(
        {
            "stages": [
                {
                    "stage": stage.stage,
                    "state": stage.state,
                    "why": stage.why,
                    "tasks": stage.tasks,
                    "tasks_run": stage.tasks_run,
                    "wall_seconds": round(stage.wall_seconds, 3),
                    "counts": dict(stage.manifest.counts),
                    "peak_rss_bytes": stage.manifest.peak_rss_bytes,
                }
                for stage in result.stages
            ],
            "exports": [str(path) for path in result.exports],
            "published": asdict(result.published) if result.published is not None else None,
            "quality": ingest.manifest.facts["quality"],
        }
    )


def show_stages(console: Console, result: RunResult) -> None:
    """The table of what a run did."""
    console.table(
        ["stage", "state", "why~", "tasks>?", "result~", "time>", "memory>?"],
        [
            [
                stage.stage,
                stage.state,
                stage.why,
                f"{stage.tasks_run}/{stage.tasks}",
                outcome(stage.manifest),
                duration(stage.wall_seconds) if stage.state == "done" else "-",
                size(stage.manifest.peak_rss_bytes) if stage.state == "done" else "-",
            ]
            for stage in result.stages
        ],
    )


def _warn(console: Console, result: RunResult) -> None:
    """Say what a finished run lacks: it succeeded, but not as much as was asked for."""
    ingest = result.stages[0].manifest
    for text in data_warnings(ingest.facts["quality"]):
        console.warn(text)
    for stage in result.stages:
        counts = stage.manifest.counts
        if stage.stage == "embed":
            for text in truncation_warnings(counts, ingest.counts):
                console.warn(text)
        if stage.stage == result.verdicts and counts["short_queries"]:
            queries = counts["queries_with_all"] + counts["short_queries"]
            console.warn(
                f"{counts['short_queries']:,} of {queries:,} queries have fewer negatives than filter.num_negatives,"
                f" {counts['queries_without_any']:,} have none; which ones is in {stage.stage}/report.json"
            )
        if stage.stage == "judge":
            for text in judge_warnings(counts):
                console.warn(text)
        recall = stage.manifest.facts.get("recall") if stage.stage == "mine" else None
        if recall and recall["fallback"]:
            console.note(
                f"mine searched exactly: with {recall['lists']:,} lists, recall@{recall['k']} is"
                f" {recall['recall']:.3f} where exact search is as fast (index.recall_target: {recall['target']})"
            )
        if stage.stage == "export":
            for key, rows in counts.items():
                if key.startswith("rows:") and not rows:
                    console.warn(f"{key.removeprefix('rows:')} has no rows: no query has the negatives it needs")
            left_out = {key.partition(":")[2]: rows for key, rows in counts.items() if key.startswith("left_out:")}
            if left_out:
                files = ", ".join(f"{rows:,} of {name}" for name, rows in left_out.items())
                console.note(f"rows left out for want of negatives: {files}")
