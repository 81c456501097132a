"""history: what the negatives of a work_dir were before."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from negmine.cli.app import app
from negmine.cli.console import Console, one_line
from negmine.cli.options import common, example
from negmine.errors import UsageError

if TYPE_CHECKING:
    from negmine.comparing.past import Past
    from negmine.config import Config
    from negmine.pipeline.recording import Entry

Number = Annotated[
    int | None, typer.Option("--show-config", help="Print the config of entry N, to run it again.", metavar="N")
]
Of = Annotated[
    str | None, typer.Option("--of", help="Which entry the training files in a folder or URL are of.", metavar="FOLDER")
]

_FILE_COLUMNS = 120


@app.command(
    name="history",
    help=example(
        "history",
        "negmine history -c negmine.yaml",
        "negmine history -c negmine.yaml --of data/train   where did this come from?",
        "negmine history -c negmine.yaml --show-config 3 > again.yaml",
    ),
)
@common
def show_history(config: Config, console: Console, show_config: Number = None, of: Of = None) -> None:
    if show_config is not None and of is not None:
        raise UsageError("--show-config and --of are given", hint="Give one at a time.")
    from negmine.comparing.past import config_text, past

    found = past(config)
    if show_config is not None:
        entry = found.entry(show_config)
        if console.json:
            console.result({"number": show_config, "config": dict(entry.given)})
        else:
            sys.stdout.write(config_text(entry, show_config))
        return
    if of is not None:
        number = found.of(of)
        _show(console, found, [number])
        console.result({"work_dir": found.work_dir, "entry": found.row(number)})
        return
    if found.entries:
        _show(console, found, range(1, len(found.entries) + 1))
    else:
        console.note(f"{found.work_dir} has no history yet: a line is added when filter or export finish")
    console.result(found.as_json())


def _show(console: Console, found: Past, numbers: Sequence[int]) -> None:
    rows = []
    for number in numbers:
        entry = found.entry(number)
        there = ["negatives"] * (number == found.negatives) + ["files"] * (number == found.files)
        when = entry.time[:16].replace("T", " ")
        uplift = found.uplift.get(number)
        told = [f"{uplift.effect:+.4f} ({uplift.verdict})" if uplift else "-"] * bool(found.uplift)
        rows.append([str(number), when, entry.stage, ", ".join(there), *_figures(entry), *told])
    columns = ["entry>", "finished (UTC)?", "by?", "here now", *_FIGURES, *["uplift>"] * bool(found.uplift)]
    console.table(columns, rows)
    console.line()
    width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else _FILE_COLUMNS
    for number in numbers:
        changes = "; ".join(map(one_line, found.entry(number).changes))
        if changes:
            margin = f"{number:>5}   "
            for line in textwrap.wrap(changes, width, initial_indent=margin, subsequent_indent=" " * len(margin)):
                console.line(line)


_FIGURES = ("negatives>", "yield>", "leak>", "score>", "margin>", "risk>?")


def _figures(entry: Entry) -> list[str]:
    of = entry.figures
    leak = of["leak"]["rate"] if of["leak"] else None
    return [
        f"{of['negatives']:,}",
        f"{of['yield']:.1%}",
        "-" if leak is None else f"{leak:.1%}",
        *("-" if of[name] is None else f"{of[name]:.3f}" for name in ("score", "margin")),
        "-" if of["risk"] is None else f"{of['risk']:.1%}",
    ]
