"""Reads a config from a file, from ``--set`` options and from Python, with the same checks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from negmine.config.embedding import is_local_model
from negmine.config.keys import PATH_KEYS, is_key, split_key, suggest
from negmine.config.models import Config
from negmine.config.report import Finding, config_error, findings, from_flaw
from negmine.config.source import Document, NotYamlError, parse, printable, split_lines
from negmine.errors import ConfigError, Where

_DEFAULT_EXPORT = [{"format": "triplet", "file": "train.jsonl"}]


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Config:
    """The config in a YAML file, with ``key.path=value`` overrides laid over it.

    Paths in the file are relative to its folder, paths in overrides to the current one; in
    the result they are absolute. Raises ConfigError, which names the key, line and column.
    """
    file = os.fspath(path)
    document = _parse_file(file)
    for override in overrides:
        _override(document, override)
    return _checked(document, str(Path(file).absolute().parent), file)


def config_from_dict(mapping: Mapping[str, Any], base_dir: str | os.PathLike[str] | None = None) -> Config:
    """The config in a mapping laid out like the YAML file.

    Relative paths are relative to ``base_dir``, which is the current folder unless given.
    Raises ConfigError, which names the key.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"a config is a mapping of keys, not {type(mapping).__name__}")
    return _checked(Document(_plain(mapping)), str(Path(base_dir or ".").absolute()), None)


def _checked(document: Document, folder: str, file: str | None) -> Config:
    _resolve_paths(document, folder)
    wrong = [from_flaw(flaw) for flaw in document.flaws]
    flawed = {flaw.spot for flaw in document.flaws}
    try:
        config = Config.model_validate(document.value)
    except ValidationError as error:
        wrong += [finding for finding in findings(error, document) if finding.spot not in flawed]
    if wrong:
        raise config_error(wrong, document, file)
    return config


def _parse_file(file: str) -> Document:
    text = _read(file)
    try:
        document = parse(text)
    except NotYamlError as error:
        lines = Document(lines=split_lines(text))
        raise config_error([from_flaw(error.flaw)], lines, file) from None
    if document.value is None:
        raise ConfigError("the file is empty", where=file, hint="A config needs at least 'data' and 'embed'.")
    if not isinstance(document.value, dict):
        what = "a list" if isinstance(document.value, list) else "a single value"
        text = f"a config is made of 'key: value' lines, and this is {what}"
        raise config_error([Finding((), text, "", document.values[()])], document, file)
    return document


def _read(file: str) -> str:
    try:
        raw = Path(file).read_bytes()
    except FileNotFoundError:
        raise ConfigError("there is no such file", where=file, hint="Check the path of the config.") from None
    except IsADirectoryError:
        raise ConfigError(
            "this is a folder, not a config file", where=file, hint="Give the path of the .yaml file in it."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"the file cannot be read: {reason}", where=file) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        where = Where(file, line, byte=error.start + 1)
        raise ConfigError("the file is not UTF-8 text", where=where, hint="Save it as UTF-8.") from None


def _override(document: Document, override: str) -> None:
    """Lay one ``key.path=value`` over the document."""
    dotted, equals, text = override.partition("=")
    dotted = dotted.strip()
    if not equals or not dotted:
        raise ConfigError("expected key.path=value", where=f"--set {override}", hint="For example: --set mine.k=50")
    names = split_key(dotted)
    if not is_key(names):
        raise ConfigError("there is no such key", where=f"--set {dotted}", hint=suggest(names) or None)
    try:
        parsed = parse(text)
    except NotYamlError as error:
        raise ConfigError(
            f"the value cannot be read: {error.flaw.text}",
            where=f"--set {dotted}",
            hint=error.flaw.hint or None,
        ) from None
    if parsed.flaws:
        raise ConfigError(parsed.flaws[0].text, where=f"--set {dotted}", hint=parsed.flaws[0].hint or None)
    node = document.value
    for depth, name in enumerate(names[:-1], 1):
        below = _item(node, name)
        if below is None:
            below = [dict(entry) for entry in _DEFAULT_EXPORT] if names[:depth] == ("export",) else {}
            _put(node, name, below, dotted)
            document.place(names[:depth], dotted)
        if not isinstance(below, dict | list):
            return  # the file has a wrong value here, which is reported as such
        node = below
    _put(node, names[-1], parsed.value, dotted)
    document.place(names, dotted)


def _item(node: Any, name: str | int) -> Any:
    if isinstance(node, list):
        return node[name] if isinstance(name, int) and name < len(node) else None
    return node.get(name)


def _put(node: Any, name: str | int, value: Any, dotted: str) -> None:
    """Set one item; a list takes an entry at its end too."""
    if not isinstance(node, list):
        node[name] = value
    elif isinstance(name, int) and name <= len(node):
        node[name : name + 1] = [value]
    else:
        raise ConfigError(
            f"there is no entry {name}: the list has {len(node)}",
            where=f"--set {dotted}",
            hint="Entries count from 0.",
        )


def _resolve_paths(document: Document, folder: str) -> None:
    """Make every path absolute, in place: relative to the folder it was written for."""
    document.value.setdefault("work_dir", Config.model_fields["work_dir"].default)
    for key in (*PATH_KEYS, *_run_keys(document.value), *_encoder_keys(document.value)):
        names = split_key(key)
        *parents, last = names
        node = document.value
        for name in parents:
            node = _item(node, name) if isinstance(node, dict | list) else None
        value = node.get(last) if isinstance(node, dict) else None
        if not isinstance(value, str | list):
            continue
        spot = document.spot(names, key=False)
        base = str(Path.cwd()) if spot is not None and spot.override is not None else folder
        named = last == "model" or key == "data.dataset.name"
        paths = [_absolute(p, base, is_model=named) if isinstance(p, str) else p for p in _as_list(value)]
        node[last] = paths if isinstance(value, list) else paths[0]


def _run_keys(value: Any) -> list[str]:
    """The keys of the paths in ``mine.retrievers``, as far as it is a list."""
    mine = value.get("mine")
    entries = mine.get("retrievers") if isinstance(mine, dict) else None
    return [f"mine.retrievers.{i}.run" for i in range(len(entries))] if isinstance(entries, list) else []


def _encoder_keys(value: Any) -> list[str]:
    """The same of further encoders."""
    embed = value.get("embed")
    entries = embed.get("others") if isinstance(embed, dict) else None
    keys = ("model", "vectors.corpus", "vectors.queries")
    return [f"embed.others.{i}.{key}" for i in range(len(entries)) for key in keys] if isinstance(entries, list) else []


def _as_list(value: str | list[Any]) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _absolute(value: str, base: str, *, is_model: bool) -> str:
    value = value.removeprefix("file://")
    if not value or "://" in value or "\0" in value or (is_model and not is_local_model(value, base)):
        return value
    # not Path.resolve: a path through a link stays the one that was written
    return os.path.abspath(os.path.join(base, os.path.expanduser(value)))  # noqa: PTH100, PTH111, PTH118


def _plain(value: Any) -> Any:
    """Mappings, sequences and paths of Python as what YAML would have given."""
    if isinstance(value, Mapping):
        return {printable(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
