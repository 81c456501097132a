"""The grid of a sweep: which keys take which values, and the config at each of its points."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args

from pydantic import BaseModel

from negmine.config import Config, get
from negmine.config.changing import with_values
from negmine.config.filtering import FilterConfig
from negmine.config.values import Section
from negmine.errors import UsageError, nearest

MOST_POINTS = 1_000
MOST_KEYS = 2
_PREFIX = "filter."
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,2})?", re.IGNORECASE | re.ASCII)
_AS_HARD_AS = "0,0.02,0.05,0.1,0.15,0.2,0.3"
_DEFAULTS = {
    "filter.risk.as_hard_as": _AS_HARD_AS,
    "filter.risk.max": "0.1:0.9:0.1",
    "filter.risk.target_fnr": "0.01,0.02,0.05,0.1,0.15,0.2,0.3",
    "filter.leak_rate": "0.05,0.1,0.15,0.2,0.3",
    "filter.absolute_margin": _AS_HARD_AS,
    "filter.relative_margin": _AS_HARD_AS,
}
"""What is swept when nothing is asked for: the first of these keys that the config sets, else the last."""
_HOW = "Write it as KEY=0,0.05,0.1 or KEY=START:STOP:STEP."


@dataclass(frozen=True)
class Axis:
    """A key of ``filter``, the values it takes (ascending), and the config's own, None where it sets none."""

    key: str
    values: tuple[float, ...]
    current: float | None


@dataclass(frozen=True)
class Setting:
    """One point of the grid: the value of every key, and the config that has them."""

    values: Mapping[str, float | None]
    config: Config
    is_current: bool


def numeric_keys() -> dict[str, type]:
    """The keys that a sweep takes, dotted, each with int or float."""
    return dict(_numbers_of(FilterConfig, _PREFIX))


def axes(config: Config, over: Sequence[str] = ()) -> tuple[Axis, ...]:
    """What ``KEY=SPEC`` texts ask for; the rule that the config relies on when there is none.

    SPEC is a list of numbers, in which START:STOP:STEP stands for START, START + STEP and so on up to
    STOP. Raises UsageError for a key that holds no number, a text that cannot be read, an empty or a too
    large grid.
    """
    if len(over) > MOST_KEYS:
        raise UsageError(f"--over is given {len(over)} times", hint=f"A sweep is over at most {MOST_KEYS} keys.")
    found: list[Axis] = []
    for text in over or [_default(config)]:
        axis = _axis(config, text)
        if any(other.key == axis.key for other in found):
            raise UsageError(f"--over names {axis.key} twice", hint="Give all its values in one --over.")
        found.append(axis)
    points = 1
    for axis in found:
        points *= len(axis.values)
    if points > MOST_POINTS:
        raise UsageError(f"the grid has {points:,} points", hint=f"Take a larger step: at most {MOST_POINTS:,}.")
    return tuple(found)


def settings(config: Config, over: Sequence[Axis]) -> tuple[Setting, list[Setting]]:
    """The config's own point, and those of the grid: the last key changes fastest.

    All other keys stay as they are. Raises ConfigError, which names the key, where a value makes no
    valid config.
    """
    current = Setting({axis.key: axis.current for axis in over}, config, True)
    grid = []
    for combination in itertools.product(*(axis.values for axis in over)):
        values: dict[str, float | None] = {axis.key: v for axis, v in zip(over, combination, strict=True)}
        same = values == current.values
        grid.append(Setting(values, config if same else with_values(config, values), same))
    return current, grid


def _default(config: Config) -> str:
    key = next((key for key in _DEFAULTS if get(config, key) is not None), list(_DEFAULTS)[-1])
    return f"{key}={_DEFAULTS[key]}"


def _axis(config: Config, text: str) -> Axis:
    name, equals, spec = text.partition("=")
    if not equals or not name.strip() or not spec.strip():
        raise UsageError(f"--over {text}: expected KEY=VALUES", hint=_HOW)
    key = _PREFIX + name.strip().removeprefix(_PREFIX)
    kinds = numeric_keys()
    if key not in kinds:
        raise _no_such_key(key, kinds)
    numbers = [number for item in spec.split(",") for number in _numbers(text, item.strip())]
    if kinds[key] is int and any(number != number.to_integral_value() for number in numbers):
        raise UsageError(f"--over {text}: {key} takes whole numbers", hint=_HOW)
    values = tuple(sorted({kinds[key](number) for number in numbers}))
    return Axis(key, values, get(config, key))


def _numbers(text: str, item: str) -> list[Decimal]:
    """The numbers that one item of a list stands for."""
    parts = item.split(":")
    for part in parts:
        if _NUMBER.fullmatch(part.strip()) is None:
            raise UsageError(f"--over {text}: '{part.strip()}' is no number", hint=_HOW)
    numbers = [Decimal(part.strip()) for part in parts]
    if len(numbers) == 1:
        return numbers
    if len(numbers) != 3:
        raise UsageError(f"--over {text}: '{item}' has {len(numbers)} parts", hint=_HOW)
    start, stop, step = numbers
    if step <= 0 or stop < start:
        raise UsageError(
            f"--over {text}: there is nothing from {start} up to {stop} in steps of {step}",
            hint="START is not above STOP, and STEP is above 0.",
        )
    count = int((stop - start) / step) + 1
    if count > MOST_POINTS:
        raise UsageError(f"--over {text}: the grid has {count:,} points", hint="Take a larger step.")
    return [start + step * i for i in range(count)]


def _no_such_key(key: str, known: Mapping[str, type]) -> UsageError:
    names = [name.removeprefix(_PREFIX) for name in known]
    short = key.removeprefix(_PREFIX)
    every = f"A sweep takes {', '.join(names)}."
    node: Any = FilterConfig
    for name in short.split("."):
        field = getattr(node, "model_fields", {}).get(name)
        if field is None:
            return UsageError(f"--over: there is no key '{key}'", hint=nearest(short, names) or every)
        node = next((arg for arg in (field.annotation, *get_args(field.annotation)) if _is_section(arg)), None)
    return UsageError(f"--over: {key} holds no single number", hint=every)


def _numbers_of(section: type[BaseModel], prefix: str) -> list[tuple[str, type]]:
    found: list[tuple[str, type]] = []
    for name, field in section.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        inner = next((kind for kind in kinds if _is_section(kind)), None)
        if inner is not None:
            found += _numbers_of(inner, f"{prefix}{name}.")
        found += [(prefix + name, kind) for kind in (int, float) if kind in kinds]
    return found


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
