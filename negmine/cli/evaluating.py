"""evaluate: does training on the negatives help, here?"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from negmine.cli.app import app
from negmine.cli.console import Console, duration
from negmine.cli.options import common, example

if TYPE_CHECKING:
    from negmine.config import Config
    from negmine.evaluation import Evaluation

Student = Annotated[
    str | None,
    typer.Option(help="What is trained: adapter, static or full (evaluate.student).", metavar="KIND"),
]
Judged = Annotated[
    Path | None,
    typer.Option(help="Qrels that name all that is relevant (evaluate.judged).", metavar="QRELS"),
]
Seeds = Annotated[int | None, typer.Option(help="Trainings of every arm (evaluate.seeds).", metavar="N")]
Steps = Annotated[int | None, typer.Option(help="Batches of a training (evaluate.steps).", metavar="N")]
Arms = Annotated[
    str | None,
    typer.Option(help="What is compared, such as in_batch,naive,run (evaluate.arms).", metavar="ARM,ARM"),
]

_WIDTH = 80


@app.command(
    name="evaluate",
    help=example(
        "evaluate",
        "negmine evaluate -c negmine.yaml",
        "negmine evaluate --student static --seeds 3",
        "negmine evaluate --judged qrels.tsv --json   everything relevant is known",
    ),
)
@common
def evaluate_negatives(
    config: Config,
    console: Console,
    student: Student = None,
    judged: Judged = None,
    seeds: Seeds = None,
    steps: Steps = None,
    arms: Arms = None,
) -> None:
    import time

    from negmine.evaluation import evaluate

    given = {
        "student": student,
        "judged": None if judged is None else str(judged.absolute()),
        "seeds": seeds,
        "steps": steps,
        "arms": None if arms is None else [arm.strip() for arm in arms.split(",")],
    }
    config = _with(config, {key: value for key, value in given.items() if value is not None})
    _warn_of_changes(config, console)
    reporter, started = console.reporter(), time.perf_counter()
    try:
        found = evaluate(config, reporter)
    finally:
        reporter.close()
    console.note(f"evaluate: done in {duration(time.perf_counter() - started)}")
    _show(console, found)
    console.result(found.as_json())


def _with(config: Config, given: dict[str, Any]) -> Config:
    """The config with other keys of ``evaluate``, checked as if they stood in the file."""
    from negmine.config import config_from_dict

    if not given:
        return config
    values = config.model_dump(mode="json")
    return config_from_dict({**values, "evaluate": {**values["evaluate"], **given}})


def _warn_of_changes(config: Config, console: Console) -> None:
    from negmine.pipeline import status
    from negmine.stages.final import final_stage

    found = next(stage for stage in status(config) if stage.stage == final_stage(config))
    if found.state in ("stale", "partial"):
        console.warn(f"{found.stage} is {found.state} ({found.why}): these are the negatives of the run as it was")


def _show(console: Console, found: Evaluation) -> None:
    of = found.queries
    console.line(
        f"{found.student}: {of['train']:,} queries train, {of['dev']:,} choose (dev), {of['tested']:,} test, among"
        f" {found.passages:,} passages; {found.seeds} seeds, {found.steps:,} steps each"
    )
    if found.groups < of["tested"]:
        console.line(f"Queries with the same answers count as one: there are {found.groups:,} kinds.")
    console.line()
    from negmine.evaluation.metrics import METRICS

    rows = [["untrained", "-", *_numbers(found.untrained), "", "", ""]]
    for arm in found.arms:
        low, high = arm.interval
        steps = ", ".join(map(str, arm.steps))
        rates = ", ".join(f"{rate:g}" for rate in sorted(set(arm.learning_rates)))
        rows.append([arm.arm, f"{arm.negatives:.1f}", *_numbers(arm.metrics), f"{low:.4f} to {high:.4f}", steps, rates])
    names = [f"{name}>" for name in METRICS]
    columns = ["arm", "negatives>", *names, "95% of ndcg@10>", "best steps (dev)>?", "rates (dev)>?"]
    console.table(columns, rows)
    console.line()
    for comparison in found.comparisons:
        for line in textwrap.wrap(comparison.sentence, _WIDTH, subsequent_indent="  "):
            console.line(line)
    if found.recovered is not None:
        low, high = found.recovered.interval
        console.line(
            f"Of what the oracle gains over naive top-k, the run recovers {found.recovered.share:.2f}"
            f" (95% {low:.2f} to {high:.2f})."
        )
    elif found.judged and any(arm.arm == "oracle" for arm in found.arms):
        console.line("The hardest true negatives are not clearly above naive top-k here: nothing to recover.")
    if all(step == 0 for arm in found.arms for step in arm.steps):
        console.warn("dev preferred the untrained student in every arm: nothing was learnt, so nothing is told")


def _numbers(metrics: Any) -> list[str]:
    return [f"{value:.4f}" for value in metrics.values()]
