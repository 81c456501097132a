"""The options that commands share, and what they set up."""

from __future__ import annotations

import contextlib
import functools
import inspect
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import negmine
from negmine.cli.catalogue import summary
from negmine.cli.console import Console
from negmine.errors import UsageError

if TYPE_CHECKING:
    from negmine.config import Config

DEFAULT_CONFIG = "negmine.yaml"

_console = Console()


def console() -> Console:
    """The process's console."""
    return _console


ConfigFile = Annotated[
    Path | None,
    typer.Option("-c", "--config", help=f"Config file (default: {DEFAULT_CONFIG} of this folder).", metavar="FILE"),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set a config key, such as mine.k=50. Repeatable.", metavar="KEY=VALUE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print only errors.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Print versions, and what each stage counted.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress bars (automatic without a terminal).")]
LogFormat = Annotated[
    str, typer.Option("--log-format", help="Messages on stderr as text or JSON lines.", metavar="text|json")
]
Verify = Annotated[bool, typer.Option("--verify", help="Read and check every file of finished stages.")]


def setup(
    *,
    as_json: bool,
    quiet: bool,
    log_format: str,
    verbose: bool = False,
    no_progress: bool = False,
) -> Console:
    """Set the console's mode from the common options."""
    if log_format not in ("text", "json"):
        raise UsageError(f"--log-format is '{log_format}'", hint="Use text or json.")
    _console.json, _console.quiet, _console.verbose = as_json, quiet, verbose
    _console.progress, _console.log_json = not no_progress, log_format == "json"
    if verbose:
        _console.note(_versions())
    return _console


def _versions() -> str:
    """What is installed, without importing it."""
    import platform
    from importlib import metadata

    parts = [f"python {platform.python_version()}"]
    for name in ("numpy", "pyarrow", "faiss-cpu", "torch", "sentence-transformers"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            parts.append(f"{name} {metadata.version(name)}")
    return f"negmine {negmine.__version__} ({', '.join(parts)})"


def find_config(given: Path | None, overrides: list[str] | None = None) -> Path:
    """The config that was given, or the one of this folder. Raises UsageError when there is none."""
    path = given if given is not None else Path(DEFAULT_CONFIG)
    if given is None and not path.is_file():
        raise UsageError(
            f"no config was given, and there is no {DEFAULT_CONFIG} in this folder",
            hint="Give one with -c FILE, or write one with: negmine init",
        )
    _console.config = shlex.join([str(path), *(word for each in overrides or [] for word in ("--set", each))])
    if given is None:
        _console.note(f"config: {path}")
    return path


def load(config: Path, overrides: list[str] | None) -> Config:
    """The config a command was given."""
    from negmine.config import load_config

    return load_config(config, overrides or [])


def example(command: str, *calls: str) -> str:
    """The help of a command: what it does, then how it is called."""
    return f"{summary(command)}\n\n\b\nFor example:\n" + "\n".join(f"  {call}" for call in calls)


@dataclass(frozen=True)
class Source:
    """The config file that a command was given, and the values that were laid over it."""

    path: Path
    overrides: tuple[str, ...]


def common(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all commands with a config share.

    The command is called with ``config`` (loaded) and ``console``; its own options come after. One that has a
    parameter ``source`` is told where the config came from.
    """
    shared = _parameters(_shared)
    given = ("config", "console", "source")
    own = [parameter for parameter in _parameters(function) if parameter.name not in given]
    asks = "source" in inspect.signature(function).parameters

    @functools.wraps(function)
    def command(**values: Any) -> None:
        out = setup(
            as_json=values.pop("json"),
            quiet=values.pop("quiet"),
            verbose=values.pop("verbose"),
            no_progress=values.pop("no_progress"),
            log_format=values.pop("log_format"),
        )
        overrides = values.pop("set_")
        path = find_config(values.pop("config"), overrides)
        if asks:
            values["source"] = Source(path, tuple(overrides or ()))
        function(config=load(path, overrides), console=out, **values)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *shared]]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    del command.__wrapped__
    return command


def _parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    """Parameters with their annotations as objects, where those can be had at run time."""
    names = function.__globals__
    return [
        p.replace(annotation=names.get(p.annotation, p.annotation))
        for p in inspect.signature(function).parameters.values()
    ]


def _shared(
    config: ConfigFile = None,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
    log_format: LogFormat = "text",
) -> None:
    """Only its signature is used."""
