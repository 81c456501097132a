"""The command line as a whole: its help, and the list that commands are added to."""

from __future__ import annotations

import textwrap
from typing import Any

import typer
from typer.core import TyperGroup

from negmine.errors import EXIT_CODES

# The list of commands in --help; a command that is named nowhere goes to the last section.
_SECTIONS = {
    "Commands": ("run", "init"),
    "One stage at a time": ("ingest", "embed", "index", "mine", "filter", "export"),
    "Look at a run": ("status", "plan", "explain", "sweep", "clean", "schema"),
}


class _Commands(TyperGroup):
    """Lists the commands by section, ``run`` first, each with its whole line of help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, flags with a default: for one without, typer imports pydantic on every start."""
        params: list[Any] = super().get_params(ctx)
        for param in params:
            if getattr(param, "is_flag", False) and param.default is None:
                param.default = False
        return params

    def list_commands(self, ctx: Any) -> list[str]:
        order = [name for names in _SECTIONS.values() for name in names]
        known = super().list_commands(ctx)
        return sorted(known, key=lambda name: order.index(name) if name in order else len(order))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        left = self.list_commands(ctx)
        for section, names in _SECTIONS.items():
            last = section == list(_SECTIONS)[-1]
            rows = [(name, self.commands[name].help or "") for name in left if name in names or last]
            left = [name for name in left if name not in dict(rows)]
            if rows:
                with formatter.section(section):
                    formatter.write_dl([(name, text.split("\n")[0]) for name, text in rows])


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
    cls=_Commands,
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
