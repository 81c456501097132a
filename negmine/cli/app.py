"""The command line as a whole: its help, and the application that modules add their commands to."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup

from negmine.cli.catalogue import CATALOGUE, COMMANDS
from negmine.errors import EXIT_CODES


class _Commands(Mapping[str, Any]):
    """All commands by name; the module of each is imported when it is asked for."""

    def __init__(self, built: Mapping[str, Any]) -> None:
        self.built = dict(built)

    def __getitem__(self, name: str) -> Any:
        module, _ = COMMANDS[name]
        if name not in self.built:
            importlib.import_module(f"negmine.cli.{module}")
            self.built |= typer.main.get_command(app).commands.built  # type: ignore[attr-defined]
        return self.built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Group(TyperGroup):
    """Lists the commands by section, ``run`` first, each with its whole line of help."""

    def __init__(self, *, commands: Any = None, **rest: Any) -> None:
        super().__init__(**rest)
        self.commands: Any = _Commands(commands or {})

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, flags with a default: for one without, typer imports pydantic on every start."""
        params: list[Any] = super().get_params(ctx)
        for param in params:
            if getattr(param, "is_flag", False) and param.default is None:
                param.default = False
        return params

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for section, commands in CATALOGUE.items():
            with formatter.section(section):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


_EXITS = "\n".join(
    textwrap.fill(f"{code:<9} {meaning}", 74, initial_indent="  ", subsequent_indent=" " * 12)
    for code, meaning in EXIT_CODES
)
_EPILOG = f"""\b
Start with:
  negmine init DIR       look at the data files in DIR, write DIR/negmine.yaml
  negmine plan -c FILE   what a run would do, and what it would cost
  negmine run -c FILE    do it; a second run does only what changed

\b
Exit codes:
{_EXITS}"""

app = typer.Typer(
    name="negmine",
    cls=_Group,
    help="Mine hard negatives: passages that look right for a query but are wrong.",
    epilog=_EPILOG,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from negmine import __version__

        typer.echo(f"negmine {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Shared by all commands."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
