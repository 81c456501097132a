"""The options that commands share, and what they set up."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from negmine.cli.console import Console

if TYPE_CHECKING:
    from negmine.config import Config

_console = Console()


def console() -> Console:
    """The process's console."""
    return _console


ConfigFile = Annotated[Path, typer.Option("-c", "--config", help="Config file (YAML).", metavar="FILE")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set a config key: key.path=value, the value in YAML. Repeatable.", metavar="KEY=VALUE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print only errors.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Print more.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress bars (automatic without a terminal).")]
LogFormat = Annotated[str, typer.Option("--log-format", help="text or json lines on stderr.", metavar="FORMAT")]
Verify = Annotated[bool, typer.Option("--verify", help="Read and check every file of finished stages.")]


def setup(
    *, as_json: bool, quiet: bool, verbose: bool, no_progress: bool, log_format: str, config: Path | None = None
) -> Console:
    """Set the console's mode from the common options."""
    from negmine.errors import UsageError

    if log_format not in ("text", "json"):
        raise UsageError(f"--log-format is '{log_format}'", hint="Use text or json.")
    _console.json, _console.quiet, _console.verbose = as_json, quiet, verbose
    _console.progress, _console.log_json = not no_progress, log_format == "json"
    if config is not None:
        _console.config = str(config)
    return _console


def load(config: Path, overrides: list[str] | None) -> Config:
    """The config a command was given."""
    from negmine.config import load_config

    return load_config(config, overrides or [])


def common(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all commands with a config share.

    The command is called with ``config`` (loaded) and ``console``; its own options come after.
    """
    shared = _parameters(_shared)
    own = [parameter for parameter in _parameters(function) if parameter.name not in ("config", "console")]

    @functools.wraps(function)
    def command(**values: Any) -> None:
        out = setup(
            as_json=values.pop("json"),
            quiet=values.pop("quiet"),
            verbose=values.pop("verbose"),
            no_progress=values.pop("no_progress"),
            log_format=values.pop("log_format"),
            config=values["config"],
        )
        function(config=load(values.pop("config"), values.pop("set_")), console=out, **values)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *shared]]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    del command.__wrapped__  # type: ignore[attr-defined]
    return command


def _parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    """Parameters with their annotations as objects, where those can be had at run time."""
    names = function.__globals__
    return [
        p.replace(annotation=names.get(p.annotation, p.annotation))
        for p in inspect.signature(function).parameters.values()
    ]


def _shared(
    config: ConfigFile,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
    log_format: LogFormat = "text",
) -> None:
    """Only its signature is used."""
