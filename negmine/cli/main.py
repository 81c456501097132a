"""Start of every command: the list of commands, one place where errors end the process."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from negmine.errors import EXIT_CODES, NegmineError

# The list of commands in --help; a command that is named nowhere goes to the last section.
_SECTIONS = {
    "Commands": ("run", "init"),
    "One stage at a time": ("ingest", "embed", "index", "mine", "rerank", "filter", "judge", "export"),
    "Look at a run": (
        "status",
        "plan",
        "explain",
        "sweep",
        "report",
        "diff",
        "audit",
        "evaluate",
        "check",
        "clean",
        "schema",
    ),
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


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with the right code."""
    from negmine.cli import commands  # noqa: F401  registers them
    from negmine.cli.options import console

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        result = app(arguments, prog_name="negmine", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except NegmineError as error:
        console().error(error)
        code = error.exit_code
    except (_StoppedError, KeyboardInterrupt, typer.Abort) as stop:
        code = 128 + (stop.number if isinstance(stop, _StoppedError) else signal.SIGINT)
        what = "terminated" if code == 128 + signal.SIGTERM else "interrupted"
        console().failure(f"{what}: what was finished is kept, the same command continues", code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as error:
        code = _other(error)
    sys.exit(code)


def _other(error: Exception) -> int:
    """Usage errors of the parser, errors of the file system, and the unexpected."""
    from negmine.cli.options import console

    usage: Any = getattr(error, "format_message", None)
    if usage is not None:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "negmine"
        text = " ".join(usage().split()).replace("Value error, ", "").rstrip(".")
        console().failure(f"error: {text}{'' if text.endswith('?') else '.'} See: {command} --help", 2)
        return 2
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if error.filename else ""
        console().failure(
            f"error: {place}{error.strerror}. What was finished is kept: mend this and run the same command again.", 1
        )
        return 1
    import traceback

    traceback.print_exc()
    console().failure("error: this is a fault of negmine; please report it with the lines above", 1)
    return 1


class _StoppedError(BaseException):
    """A signal asks the process to end; unlike KeyboardInterrupt, no library turns it into its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, frame: object) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # what is being tidied up is not to be stopped again
    raise _StoppedError(number)
