"""Every error a user can expect, and the exit code each one ends the process with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Where:
    """A place in a user's file: line and column are 1-based, row counts data rows of a table."""

    file: str
    line: int | None = None
    column: int | str | None = None
    row: int | None = None
    byte: int | None = None

    def __str__(self) -> str:
        text = self.file
        if self.line is not None:
            text += f":{self.line}"
            if isinstance(self.column, int):
                text += f":{self.column}"
        details = []
        if self.row is not None:
            details.append(f"row {self.row}")
        if isinstance(self.column, str):
            details.append(f"column '{self.column}'")
        if self.byte is not None:
            details.append(f"byte {self.byte}")
        return f"{text} ({', '.join(details)})" if details else text


class NegmineError(Exception):
    """An expected failure: what happened, where, and what to do next.

    The command line prints it as one line and ends with ``exit_code``; a ``snippet`` (the
    offending line of a file) follows on lines of its own.
    """

    exit_code = 1

    def __init__(
        self,
        cause: str,
        *,
        where: Where | str | None = None,
        hint: str | None = None,
        snippet: str | None = None,
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.where = where
        self.hint = hint
        self.snippet = snippet

    def __str__(self) -> str:
        text = f"{self.where}: {self.cause}" if self.where is not None else self.cause
        if self.hint:
            text = f"{text.rstrip('.')}. {self.hint}"
        return " ".join(text.split("\n"))


class UsageError(NegmineError):
    """The command was called with words that do not fit together."""

    exit_code = 2


class ConfigError(NegmineError):
    """The configuration is not valid."""

    exit_code = 3


class InputError(NegmineError):
    """The user's data, vectors or model cannot be used as they are."""

    exit_code = 4


class ArtifactError(NegmineError):
    """A file of a run is missing, damaged or not what its manifest says."""

    exit_code = 5


class LockedError(NegmineError):
    """Another process is writing to the same run."""

    exit_code = 6


class CheckFailedError(NegmineError):
    """A bound of the ``checks`` section does not hold."""

    exit_code = 7


class MissingDependencyError(NegmineError):
    """An optional package is needed and not installed."""

    exit_code = 8


class StaleError(UsageError):
    """A stage was asked for whose earlier stages are not current."""


EXIT_CODES: tuple[tuple[str, str], ...] = (
    ("0", "done"),
    ("1", "unexpected error (traceback)"),
    ("2", "usage: unknown option, missing argument, or earlier stages are stale"),
    ("3", "config error"),
    ("4", "bad input data"),
    ("5", "corrupt or mismatched artifact"),
    ("6", "another run holds the lock"),
    ("7", "a `checks:` bound failed"),
    ("8", "missing optional dependency"),
    ("130 / 143", "interrupted (Ctrl-C / terminated)"),
)


def nearest(name: str, known: Sequence[str]) -> str:
    """' Did you mean 'x'?' for the closest of ``known``, or '' when none is close."""
    match = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean '{match[0]}'?" if match else ""
