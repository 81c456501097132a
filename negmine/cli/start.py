"""Commands to start with: init, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from negmine.cli.main import app
from negmine.cli.options import Json, LogFormat, NoProgress, Quiet, Verbose, setup


@app.command(name="init", help="Write a commented starter config, filled in from the data files it finds.")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder with the data files, or for the config alone.", metavar="DIR")] = Path(),
    model: Annotated[str, typer.Option("--model", help="Embedding model to put into the config.")] = (
        "sentence-transformers/all-MiniLM-L6-v2"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing negmine.yaml.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
    log_format: LogFormat = "text",
) -> None:
    from negmine.starter import write_starter

    console = setup(as_json=as_json, quiet=quiet, verbose=verbose, no_progress=no_progress, log_format=log_format)
    starter = write_starter(folder, model=model, force=force)
    for note in starter.notes:
        console.note(note)
    console.line(f"wrote {starter.path}")
    command = "edit it, then run" if starter.incomplete else "next"
    console.line(f"{command}: negmine run -c {starter.path}")
    console.result({"config": str(starter.path), "notes": list(starter.notes), "incomplete": starter.incomplete})


@app.command(name="schema", help="Print the JSON Schema of the config, for editors and checks.")
def schema() -> None:
    import json

    from negmine.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
