"""Commands that look at a run: status, plan, clean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from negmine.cli.app import app
from negmine.cli.console import Console, duration, size
from negmine.cli.options import Verify, common, example
from negmine.cli.outcomes import outcome

if TYPE_CHECKING:
    from negmine.config import Config
    from negmine.remote.shelf import RemoteFolder

T = TypeVar("T")
Calibrate = Annotated[bool, typer.Option("--calibrate", help="Measure the machine's speed again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")]


@app.command(
    name="status",
    help=example(
        "status",
        "negmine status -c negmine.yaml",
        "negmine status -c negmine.yaml --set mine.k=200   what that makes stale",
    ),
)
@common
def show_status(config: Config, console: Console, verify: Verify = False) -> None:
    from negmine.pipeline import status

    stages = status(config, verify=verify, note=console.note)
    rows = []
    for stage in stages:
        known = stage.tasks is not None or stage.tasks_done
        tasks = f"{stage.tasks_done}/{stage.tasks if stage.tasks is not None else '?'}" if known else "-"
        when = stage.manifest.created[:16].replace("T", " ") if stage.manifest else "-"
        result = outcome(stage.manifest) if stage.manifest and stage.state == "current" else "-"
        rows.append([stage.stage, stage.state, stage.why, tasks, result, when])
    console.table(["stage", "state", "why~", "tasks>", "result~", "finished (UTC)?"], rows)
    console.result(
        {
            "work_dir": config.work_dir,
            "quality": stages[0].manifest.facts.get("quality") if stages[0].manifest else None,
            "stages": [
                {
                    "stage": s.stage,
                    "state": s.state,
                    "why": s.why,
                    "tasks": s.tasks,
                    "tasks_done": s.tasks_done,
                    "counts": dict(s.manifest.counts) if s.manifest else None,
                    "recall": s.manifest.facts.get("recall") if s.manifest else None,
                }
                for s in stages
            ],
        }
    )


@app.command(
    name="plan",
    help=example(
        "plan",
        "negmine plan -c negmine.yaml",
        "negmine plan -c negmine.yaml --set mine.k=200",
        "negmine plan -c negmine.yaml --calibrate   after a change of the machine",
    ),
)
@common
def show_plan(config: Config, console: Console, calibrate: Calibrate = False) -> None:
    from negmine.planning import plan

    stages = plan(config, calibrate=calibrate, note=console.note)
    console.table(
        ["stage", "state", "tasks>", "disk>", "memory>", "time>", "why~"],
        [
            [
                step.stage,
                step.state,
                _known(step.tasks, str),
                _known(step.disk_bytes, size),
                _known(step.memory_bytes, size),
                _known(step.seconds, duration),
                step.why,
            ]
            for step in stages
        ],
    )
    total = {key: _sum([getattr(step, key) for step in stages]) for key in ("tasks", "disk_bytes", "seconds")}
    total["memory_bytes"] = max((step.memory_bytes or 0 for step in stages), default=0)
    console.line(_total_line(total, [s.stage for s in stages if s.seconds is None or s.disk_bytes is None]))
    for step in stages:
        if step.requests:
            price = (
                f"{step.cost:,.2f}" if (step.cost or 0) >= 1 else f"{step.cost:.2g}" if step.cost is not None else ""
            )
            cost = f", at a cost of about {price}" if price else ""
            tokens = f"{step.tokens:,} tokens (estimated as a third of the bytes)"
            console.line(f"{step.stage} sends about {step.requests:,} requests with {tokens}{cost}")
    console.result({"stages": [step.as_json() for step in stages], "total": total})


def _known(value: T | None, words: Callable[[T], str]) -> str:
    """A value in words; ``?`` where it is not known, ``-`` where there is nothing to do."""
    if value is None:
        return "?"
    return words(value) if value else "-"


def _sum(values: Sequence[float | None]) -> float:
    return sum(value for value in values if value is not None)


def _total_line(total: Mapping[str, float], unknown: Sequence[str]) -> str:
    if not total["tasks"] and not unknown:
        return "nothing to do: every stage is current"
    disk, memory = size(total["disk_bytes"]), size(total["memory_bytes"])
    costs = f"{duration(total['seconds'])}, {disk} on disk, {memory} of memory"
    more = f", and what {', '.join(unknown)} will take (?)" if unknown else ""
    return f"total: {total['tasks']:.0f} tasks, about {costs}{more}"


@app.command(
    name="clean",
    help=example(
        "clean",
        "negmine clean -c negmine.yaml --dry-run",
    ),
)
@common
def clean_up(config: Config, console: Console, dry_run: DryRun = False) -> None:
    from negmine.pipeline import clean, leftovers

    found = leftovers(config)
    freed = sum(_bytes(path) for path in found)
    for path in found:
        console.line(str(path))
    if found and not dry_run:
        clean(config, found)
    verb = "would be removed" if dry_run else "removed"
    console.line(f"{len(found)} {'item' if len(found) == 1 else 'items'} {verb}, {size(freed)}")
    names = [str(path) for path in found]
    console.result({"removed": [] if dry_run else names, "found": names, "bytes": freed})


def _bytes(path: Path | RemoteFolder) -> int:
    if not isinstance(path, Path):
        return path.bytes
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
