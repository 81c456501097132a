"""The keys of a config by dotted name: which there are, what they hold, which one was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from negmine.config.models import Config, ExportConfig, RunConfig
from negmine.config.values import Section
from negmine.errors import ConfigError, nearest

PATH_KEYS = (
    "work_dir",
    "data.path",
    "data.pairs",
    "data.corpus",
    "data.queries",
    "data.qrels",
    "data.eval_guard.files",
    "data.dataset.name",
    "embed.model",
    "rerank.model",
    "judge.prompts.system",
    "judge.prompts.user",
    "embed.vectors.corpus",
    "embed.vectors.queries",
    "evaluate.model",
    "evaluate.judged",
    "publish",
    "engine.scratch",
    "checks.max_churn_against.run",
)
"""Keys that hold a path (models and ``data.dataset.name`` only when they name a local folder)."""


def split_key(dotted: str) -> tuple[str | int, ...]:
    """``export.0.file`` as ``("export", 0, "file")``; the empty key as the empty path."""
    parts = dotted.split(".") if dotted else []
    return tuple(int(part) if re.fullmatch("[0-9]{1,6}", part) else part for part in parts)


def section_at(names: tuple[str | int, ...]) -> type[Section] | None:
    """The class of the section at a path; a position in a list of sections is one too."""
    section: type[Section] = Config
    inside_list = False
    for name in names:
        if inside_list:
            inside_list = False
            if isinstance(name, int):
                continue
            return None
        field = section.model_fields.get(str(name))
        inner = _section_in(field.annotation) if field is not None else None
        if inner is None:
            return None
        section, inside_list = inner, _is_list(field.annotation if field else None)
    return None if inside_list else section


def is_key(names: tuple[str | int, ...]) -> bool:
    """Whether a path leads to a key, a section or an entry of a list of sections."""
    if not names:
        return False
    *parents, last = names
    if isinstance(last, int):
        return section_at(names) is not None
    section = section_at(tuple(parents))
    return section is not None and last in section.model_fields


@cache
def all_keys() -> tuple[str, ...]:
    """Every key that holds a value, dotted, in the order of the reference; a list of sections is one."""
    return tuple(_leaves(Config, ""))


def get(config: Config, dotted: str) -> Any:
    """The value of a key (or section) as plain values that JSON knows.

    A key below a section that is null is null. Raises ConfigError for a key there is none of.
    """
    names = split_key(dotted)
    if not is_key(names):
        raise ConfigError(f"there is no key '{dotted}'", hint=suggest(names) or None)
    value: Any = config
    for name in names:
        if isinstance(name, int):
            if name >= len(value):
                raise ConfigError(f"there is no entry '{dotted}'")
            value = value[name]
        elif value is not None:
            value = getattr(value, name, None)  # an entry of a list may be a plain value, which has no keys
    return _plain(value)


def suggest(names: tuple[str | int, ...], *, dotted: bool = True) -> str:
    """The key that was probably meant by an unknown one, as a sentence.

    ``names`` leads to the unknown key. A key that exists elsewhere is named with its section;
    when none comes near, the sentence lists those of the section.
    """
    for end in range(len(names)):  # the first unknown name on the way decides
        section = section_at(names[:end])
        if section is not None and str(names[end]) not in section.model_fields:
            break
    else:
        return ""
    name = str(names[end]).lower().replace("-", "_")
    homes = _homes(name)
    if homes and not {name, f"{name}s"} & set(section.model_fields):
        return f"It belongs {' or '.join(homes)}."
    prefix = ".".join(str(part) for part in names[:end]) + "." if dotted and end else ""
    here = nearest(name, list(section.model_fields))
    if here:
        return here.replace("'", f"'{prefix}", 1)
    leaves = {key.rpartition(".")[2]: key for key in reversed(all_keys())}
    far = nearest(name, list(leaves))
    if far:
        return far.replace(leaf := far.split("'")[1], leaves[leaf])
    place = f"under '{prefix.rstrip('.')}'" if prefix else "here"
    return f"The keys {place} are {', '.join(section.model_fields)}."


def _homes(name: str) -> list[str]:
    """Where a key of this name does exist: ``at the top level``, ``under 'mine'``."""
    homes = ["at the top level"] if name in Config.model_fields else []
    lists: dict[str, type[Section]] = {"export": ExportConfig, "mine.retrievers": RunConfig}
    entries = tuple(f"{key}.{field}" for key, entry in lists.items() for field in entry.model_fields)
    parents = [key.rpartition(".")[0] for key in (*all_keys(), *entries) if key.endswith(f".{name}")]
    return homes + [f"under '{parent}'" for parent in dict.fromkeys(parents)]


def _leaves(section: type[Section], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = _section_in(field.annotation)
        if inner is None or _is_list(field.annotation):
            yield prefix + name
        else:
            yield from _leaves(inner, f"{prefix}{name}.")


def _section_in(annotation: Any) -> type[Section] | None:
    """The section class inside ``X``, ``X | None`` or ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _section_in(arg)) is not None), None)


def _is_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is tuple


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
