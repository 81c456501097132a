"""Config files that commands write beside the user's own, comments kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from negmine.config import PATH_KEYS, Config, get, load_config
from negmine.config.changing import written_with
from negmine.config.source import parse
from negmine.errors import UsageError
from negmine.store.files import replacing


def file_text(source: Path, overrides: Sequence[str], config: Config, values: Mapping[str, Any], said: str) -> str:
    """The text of ``source`` with the ``overrides`` that made ``config`` of it, other ``values``, and a first line."""
    laid: dict[str, Any] = {}
    for override in overrides:
        key, _, text = override.partition("=")
        laid[key.strip()] = parse(text).value
    for key in (*PATH_KEYS, "mine.retrievers"):  # a path of an option is relative to another folder
        if any(key == given or key.startswith(f"{given}.") for given in laid):
            laid[key] = get(config, key)
    return f"# {said}\n{written_with(source.read_text('utf-8-sig'), {**laid, **values})}"


def plain_text(config: Config, said: str) -> str:
    """The text of a file that reads as ``config``, with all paths absolute, and a first line."""
    out = StringIO()
    yaml = YAML()
    yaml.dump(config.model_dump(mode="json", exclude_unset=True), out)
    return f"# {said}\n{out.getvalue()}"


def beside(source: Path, suffix: str) -> Path:
    """The name of a config file beside ``source``."""
    return source.with_name(f"{source.stem}-{suffix}{source.suffix}")


def check_free(path: Path, known: str | None) -> None:
    """Raise UsageError when a file is there that is not as it was written here (``known`` is its digest)."""
    if path.exists() and text_digest(path.read_text("utf-8")) != known:
        raise UsageError(
            "this file is in the way: it was not written here, or was changed since",
            where=str(path),
            hint="Rename or delete it.",
        )


def write_file(path: Path, text: str, expected: Config) -> None:
    """Write a config file, and see that it reads as ``expected``."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")
    if load_config(path).model_dump() != expected.model_dump():
        raise UsageError("the config cannot be written so that it reads the same", where=str(path))


def text_digest(text: str) -> str:
    """What identifies a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def shown_path(place: str, folder: str) -> str:
    """A path as a config in ``folder`` has it: relative where it is inside."""
    return os.path.relpath(place, folder) if place.startswith(f"{folder}/") else place
