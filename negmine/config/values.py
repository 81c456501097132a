"""The base of every config section, and the few value types that YAML has no name for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

COMBINATION = "combination"
"""Type of the validation error that carries the broken rules of a section in its context."""

WORDED = "worded"
"""Type of the validation errors whose message is written for people already."""

_UNITS = {"": 1, **{f"{p}": 1000**i for i, p in enumerate("kmgt", 1)}}
_UNITS |= {f"{p}i": 1024**i for i, p in enumerate("kmgt", 1)}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]i?)?(b)?", re.IGNORECASE | re.ASCII)
_LEAST_MEMORY = 64 * 10**6


@dataclass(frozen=True)
class Problem:
    """A rule that a config breaks.

    ``keys`` are dotted and relative to the section: the first one that the user wrote is
    where the problem is shown, the first one of all when none was written. ``secret``: what was
    written may be a password, so its line is not shown.
    """

    keys: tuple[str, ...]
    text: str
    hint: str = ""
    secret: bool = False


class Section(BaseModel):
    """A group of keys: immutable, strictly typed, and no key is unknown to it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    example: ClassVar[str] = ""
    """What to write, for an error about a plain value in its place."""

    def problems(self) -> Iterator[Problem]:
        """The rules between keys of this section that do not hold."""
        yield from ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Section:
        broken = list(self.problems())
        if broken:
            text = "; ".join(problem.text for problem in broken)
            raise PydanticCustomError(COMBINATION, "{text}", {"text": text, "problems": broken})
        return self


def worded(text: str, hint: str = "") -> PydanticCustomError:
    """A validation error with a message of our own; it reads on after the name of the key."""
    return PydanticCustomError(WORDED, "{text}", {"text": text, "hint": hint})


def found(value: Any) -> str:
    """How an error message names the value it met: ``the text 'abc'``, ``the number 5``, ``a list``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        short = value if len(value) <= 60 else f"{value[:57]}..."
        return f"the text {short!r}"
    if isinstance(value, int | float):
        digits = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "of many digits"
        return f"the number {digits}"
    if isinstance(value, dict):
        return "a section"
    return "a list" if isinstance(value, list | tuple) else f"a value of type {type(value).__name__}"


def _count_or_auto(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise worded(f"expected 'auto' or a whole number of at least 1, found {found(value)}")


def _bytes(value: Any) -> int:
    """Bytes of ``500MB``, ``1.5GiB``, ``800M`` or a plain number: MB is 10^6, MiB is 2^20."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 40 else None
        if match is None or not (match[2] or match[3]):
            raise worded(
                f"expected an amount of memory, found {found(value)}",
                "Write it like 500MB, 2GB or 1.5GiB.",
            )
        size = int(float(match[1]) * _UNITS[(match[2] or "").lower()])
    if size < _LEAST_MEMORY:
        raise worded(f"must be at least 64MB, found {found(value)}")
    return size


def _plain_text(value: Any) -> Any:
    if isinstance(value, str) and "\0" in value:
        raise worded("must not contain a NUL character")
    return value


def _paths(value: Any) -> str | tuple[str, ...]:
    paths = value if isinstance(value, list | tuple) else [value]
    for path in paths:
        if not isinstance(path, str):
            number = isinstance(path, bool | int | float)
            raise worded(
                f"expected a path or a list of paths, found {found(path)}",
                "Put it in quotes to make it text." if number else "",
            )
        _plain_text(path)
    if not all(paths) or not paths:
        raise worded("must not be empty")
    return value if isinstance(value, str) else tuple(paths)


Text = Annotated[str, Field(min_length=1)]
"""Text that is not empty."""

PathText = Annotated[str, Field(min_length=1), BeforeValidator(_plain_text)]
"""A path or URL."""

PathTexts = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_paths),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]
"""A path, glob or URL, or a list of them."""

Names = Annotated[tuple[Text, ...], Strict(False)]
"""A list of texts."""

CountOrAuto = Annotated[
    int | Literal["auto"],
    BeforeValidator(_count_or_auto),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]}),
]
"""``auto``, or a whole number of at least 1."""

MemorySize = Annotated[
    int,
    BeforeValidator(_bytes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*([kKmMgGtT][iI]?[bB]?|[bB])$"},
                {"type": "integer", "minimum": _LEAST_MEMORY},
            ],
            "examples": ["500MB", "2GB", "1.5GiB"],
        }
    ),
]
"""A number of bytes, written with a unit or without."""
