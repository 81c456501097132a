"""refresh: mine again with another model, in a run beside the one there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.app import app
from negmine.cli.console import Console
from negmine.cli.options import Source, common, example
from negmine.cli.steps import show_stages

if TYPE_CHECKING:
    from negmine.comparing import Comparison
    from negmine.config import Config
    from negmine.rounds import Became, Look

Model = Annotated[
    str,
    typer.Option("--model", help="The improved model, as embed.model takes it.", metavar="MODEL", show_default=False),
]
Into = Annotated[
    str | None,
    typer.Option(
        "--into", help="Folder or URL of the new run (default: <work_dir>-<name of the model>).", metavar="DIR"
    ),
]

_REASONS_SHOWN = 4


@app.command(
    name="refresh",
    help=example(
        "refresh",
        "negmine refresh -c negmine.yaml --model models/checkpoint-500",
        "negmine refresh --model models/checkpoint-500 --into runs/second --json",
    ),
)
@common
def refresh_run(config: Config, console: Console, source: Source, model: Model, into: Into = None) -> None:
    from negmine.rounds import refresh, refreshing, sibling_of, write_config

    refreshing.check_finished(config)
    warn_of_changes(config, console)
    sibling = sibling_of(config, model, into)
    path = write_config(sibling, source.path, source.overrides)
    console.note(f"the new run is in {sibling.config.work_dir}, its config is {path}")
    if config.publish is not None:
        console.note("it is not published: set publish in its config where it is to go")
    reporter = console.reporter()
    try:
        found = refresh(sibling, reporter=reporter)
    finally:
        reporter.close()
    show_stages(console, found.result)
    for exported in found.result.exports:
        console.line(str(exported))
    console.line()
    show_churn(console, found.comparison)
    show_negatives(console, found.negatives)
    console.result(refreshing.as_json(found, str(path)))


def warn_of_changes(config: Config, console: Console) -> None:
    """Say that a run is not what its config says, where it is so."""
    from negmine.pipeline import status
    from negmine.stages.final import final_stage

    found = next(stage for stage in status(config) if stage.stage == final_stage(config))
    if found.state in ("stale", "partial"):
        console.warn(f"{found.stage} is {found.state} ({found.why}): its negatives are those of the run as it was")


def show_churn(console: Console, found: Comparison) -> None:
    """How far two runs' negatives differ, in a line."""
    churn = found.churn
    if churn.churn is not None:
        same = f"{churn.unchanged:,} of {churn.queries:,} queries have the same negatives"
        console.line(f"Churn {churn.churn:.1%}: {same}; {churn.gone:,} went, {churn.new:,} came. More: negmine diff")


def show_negatives(console: Console, found: Became) -> None:
    """What became of the old negatives, and how hard all of them are."""
    some = "" if found.queries == found.queries_of_run else f" of {found.queries:,} of {found.queries_of_run:,} queries"
    console.line(f"What became of {found.old.negatives:,} negatives{some}")
    rows = [
        ("negatives again", found.kept, ""),
        ("still candidates, others were taken", found.spared, ""),
        ("taken for relevant now", found.false, _false(found)),
        ("too easy: no candidates any more", found.gone, ""),
    ]
    if found.reasons.get("not_there"):
        rows.append(("not in the data any more", found.reasons["not_there"], ""))
    most = max(found.old.negatives, 1)
    console.table(
        ["now", "count>", "share>", "by~?"], [[name, f"{n:,}", f"{n / most:.1%}", why] for name, n, why in rows]
    )
    console.line()
    console.table(
        ["negatives", "count>", "score>", "margin>", "10% / 50% / 90%>?", "risk>", "rank>"],
        [
            ["of the old run, by the old model", *_cells(found.old)],
            ["of the old run, by the new model", *_cells(found.old_now)],
            ["of the new run, by the new model", *_cells(found.new)],
        ],
    )
    console.line(
        "score, margin (reference - score), risk: means; rank: the median. Two models' scores have two scales."
    )


def _false(found: Became) -> str:
    named = [f"{reason} {count:,}" for reason, count in found.why_false.items()]
    return ", ".join(named[:_REASONS_SHOWN]) + (", ..." if len(named) > _REASONS_SHOWN else "")


def _cells(look: Look) -> list[str]:
    margins = "-" if look.margins is None else " / ".join(f"{value:.3f}" for value in look.margins)
    rank = "beyond" if look.rank is None and look.negatives else "-" if look.rank is None else f"{look.rank:g}"
    means = ["-" if value is None else f"{value:.3f}" for value in (look.score, look.margin)]
    risk = "-" if look.risk is None else f"{look.risk:.2%}"
    return [f"{look.negatives:,}", *means, margins, risk, rank]
