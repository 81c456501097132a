"""Commands to start with: init, schema."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from negmine.cli.app import app
from negmine.cli.options import Json, LogFormat, Quiet, example, setup

Folder = Annotated[Path, typer.Argument(help="Folder with the data files, or one of them.", metavar="DIR")]
ModelName = Annotated[
    str,
    typer.Option("--model", help="Hub name, local folder or package://module/path.", metavar="NAME"),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing negmine.yaml.")]


@app.command(
    name="init",
    help=example(
        "init",
        "negmine init                 for the data files of this folder",
        "negmine init data/support --model BAAI/bge-small-en-v1.5",
        "negmine init data/pairs.jsonl",
    ),
)
def init(
    folder: Folder = Path(),
    model: ModelName = "sentence-transformers/all-MiniLM-L6-v2",
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    log_format: LogFormat = "text",
) -> None:
    from negmine.starter import write_starter

    console = setup(as_json=as_json, quiet=quiet, log_format=log_format)
    starter = write_starter(folder, model=model, force=force)
    for note in starter.notes:
        console.note(note)
    console.line(f"wrote {starter.path}")
    next_step = "fill it in (look for FILL IN), then" if starter.incomplete else "next"
    console.line(f"{next_step}: negmine run -c {shlex.quote(str(starter.path))}")
    console.result({"config": str(starter.path), "notes": list(starter.notes), "incomplete": starter.incomplete})


@app.command(
    name="schema",
    help=example("schema", "negmine schema > negmine.schema.json"),
)
def schema() -> None:
    import json

    from negmine.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
