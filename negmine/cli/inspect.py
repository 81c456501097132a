"""Commands that look at a run: status, plan, clean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.console import Console, duration, size
from negmine.cli.main import app
from negmine.cli.options import Verify, common

if TYPE_CHECKING:
    from negmine.config import Config

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")]


@app.command(name="status", help="Show each stage: current, stale (why), partial, missing or damaged.")
@common
def show_status(config: Config, console: Console, verify: Verify = False) -> None:
    from negmine.pipeline import status

    stages = status(config, verify=verify)
    rows = []
    for stage in stages:
        tasks = f"{stage.tasks_done}/{stage.tasks}" if stage.tasks is not None else "-"
        when = stage.manifest.created if stage.manifest else "-"
        rows.append([stage.stage, stage.state, stage.why, tasks, when])
    console.table("", ["stage", "state", "why", "tasks>", "finished"], rows)
    console.result(
        {
            "work_dir": config.work_dir,
            "stages": [
                {"stage": s.stage, "state": s.state, "why": s.why, "tasks": s.tasks, "tasks_done": s.tasks_done}
                for s in stages
            ],
        }
    )


@app.command(name="plan", help="Show what run would do, and what it would cost; changes nothing.")
@common
def show_plan(config: Config, console: Console) -> None:
    from negmine.planning import plan

    stages = plan(config)
    console.table(
        "",
        ["stage", "state", "tasks to run>", "disk>", "memory>", "time>", "why"],
        [
            [
                step.stage,
                step.state,
                "-" if step.tasks is None else str(step.tasks),
                "-" if step.disk_bytes is None else size(step.disk_bytes),
                "-" if step.memory_bytes is None else size(step.memory_bytes),
                "-" if step.seconds is None else duration(step.seconds),
                step.why,
            ]
            for step in stages
        ],
    )
    console.result({"stages": [step.as_json() for step in stages]})


@app.command(name="clean", help="Remove parts that no manifest names and no interrupted stage can still use.")
@common
def clean_up(config: Config, console: Console, dry_run: DryRun = False) -> None:
    from negmine.pipeline import clean, leftovers

    found = leftovers(config)
    freed = sum(f.stat().st_size for path in found for f in ([path] if path.is_file() else path.rglob("*")) if f.is_file())
    for path in found:
        console.line(str(path))
    if not dry_run:
        clean(config, found)
    verb = "would be removed" if dry_run else "removed"
    console.line(f"{len(found)} {'item' if len(found) == 1 else 'items'} {verb}, {size(freed)}")
    console.result({"removed": [] if dry_run else [str(p) for p in found], "found": [str(p) for p in found], "bytes": freed})
