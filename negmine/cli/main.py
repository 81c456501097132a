"""Start of every command, and the one place where errors end the process."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn

import typer

from negmine.cli.app import app
from negmine.cli.options import console
from negmine.errors import NegmineError


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with the right code."""
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
