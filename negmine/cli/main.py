"""Start of every command: options that all share, one place where errors end the process."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn

import typer

from negmine.errors import EXIT_CODES, NegmineError

_EXITS = "\n".join(f"{code}: {meaning}  " for code, meaning in EXIT_CODES)

app = typer.Typer(
    name="negmine",
    help="Mine hard negatives: passages that look right for a query but are wrong.",
    epilog="Exit codes: " + " | ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from negmine import __version__

        typer.echo(f"negmine {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and exit."),
) -> None:
    """Shared by all commands."""


def main() -> NoReturn:
    """Run the command line and end the process with the right code."""
    from negmine.cli import inspect, start, steps  # noqa: F401  each registers its commands
    from negmine.cli.options import console

    signal.signal(signal.SIGTERM, _terminated)
    code = 0
    try:
        app(standalone_mode=False)
    except NegmineError as error:
        console().error(error)
        code = error.exit_code
    except typer.Exit as exit_:
        code = exit_.exit_code
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("\ninterrupted: what was finished is kept, the same command continues\n")
        code = 130
    except _TerminatedError:
        sys.stderr.write("terminated: what was finished is kept, the same command continues\n")
        code = 143
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as error:
        code = _other(error)
    sys.exit(code)


def _other(error: Exception) -> int:
    """Usage errors of the parser, errors of the file system, and the unexpected."""
    usage: Any = getattr(error, "format_message", None)
    if usage is not None:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "negmine"
        sys.stderr.write(f"error: {usage()}. See: {command} --help\n".replace("..", "."))
        return 2
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(
            f"error: {place}{error.strerror}. What was finished is kept: mend this and run the same command again.\n"
        )
        return 1
    import traceback

    traceback.print_exc()
    sys.stderr.write("error: this is a fault of negmine; please report it with the lines above\n")
    return 1


class _TerminatedError(BaseException):
    pass


def _terminated(number: int, frame: object) -> NoReturn:
    raise _TerminatedError
