"""What is wrong with a config, in words, at the place where it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from negmine.config.keys import section_at, split_key, suggest
from negmine.config.mining import TAGS
from negmine.config.source import Document, Flaw, KeyPath, Spot
from negmine.config.values import COMBINATION, WORDED, Problem, found
from negmine.errors import ConfigError, Where, nearest

_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_unicode": "text",
    "bool_type": "true or false",
    "model_type": "a section (keys with values)",
    "model_attributes_type": "a section (keys with values)",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "above"),
    "less_than": ("lt", "below"),
}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Finding:
    """One problem of a config; ``spot`` is None where there is no text to point into."""

    path: KeyPath
    text: str
    hint: str = ""
    spot: Spot | None = None
    missing: bool = False
    secret: bool = False

    @property
    def key(self) -> str:
        return ".".join(str(part) for part in self.path)

    @property
    def order(self) -> tuple[bool, bool, int, int]:
        """The file from top to bottom, then the command line, then keys that are not there."""
        spot = self.spot or Spot()
        return self.missing, spot.override is not None, spot.line, spot.column


def findings(error: ValidationError, document: Document) -> Iterator[Finding]:
    """Everything that validation found, in no particular order."""
    for detail in error.errors(include_url=False):
        detail["loc"] = tuple(part for part in detail["loc"] if part not in TAGS)
        path, kind = detail["loc"], detail["type"]
        if kind == COMBINATION:
            for problem in detail["ctx"]["problems"]:
                at = _blamed(path, problem, document)
                spot = document.spot(at, key=True)
                yield Finding(at, problem.text, problem.hint, spot, secret=problem.secret)
        elif kind == "too_short" and detail["input"]:
            continue  # its entries have problems of their own
        else:
            text, hint = _words(detail)
            on_key = kind in ("extra_forbidden", "missing")
            spot = document.spot(path, key=on_key)
            yield Finding(path, text, hint, spot, missing=kind == "missing")


def config_error(wrong: list[Finding], document: Document, file: str | None) -> ConfigError:
    """The first problem as an error, with the others counted and listed below it."""
    first, *others = sorted(wrong, key=lambda finding: finding.order)
    cause = _sentence(first, file)
    if others:
        cause += f" (and {len(others)} more problem{'s' if len(others) > 1 else ''})"
    lines = [document.snippet(first.spot)] if first.spot and not any(finding.secret for finding in wrong) else []
    for other in others:
        where = _where(other, file)
        lines.append(f"{where}: {_sentence(other, file)}" if where else other.text)
    return ConfigError(
        cause,
        where=_where(first, file),
        hint=first.hint or None,
        snippet="\n".join(line for line in lines if line) or None,
    )


def from_flaw(flaw: Flaw) -> Finding:
    """A flaw of the text as a finding."""
    return Finding(flaw.path, flaw.text, flaw.hint, flaw.spot)


def _where(finding: Finding, file: str | None) -> Where | str | None:
    if finding.spot is not None and finding.spot.override is not None:
        return f"--set {finding.spot.override}"
    if file is None or finding.spot is None:
        return finding.key or None
    return Where(file, finding.spot.line, finding.spot.column)


def _sentence(finding: Finding, file: str | None) -> str:
    """The text of a finding, with its key in front unless the place names it already."""
    named = str(_where(finding, file) or "").removeprefix("--set ")
    return finding.text if finding.key in ("", named) else f"{finding.key}: {finding.text}"


def _blamed(section: KeyPath, problem: Problem, document: Document) -> KeyPath:
    """The first key of a broken rule that the user wrote."""
    paths = [(*section, *split_key(key)) for key in problem.keys]
    return next((path for path in paths if document.has(path)), paths[0])


def _words(detail: ErrorDetails) -> tuple[str, str]:
    """Cause and hint for one detail of a validation error."""
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    text, hint = f"{found(value)} is not valid here", ""
    if kind == WORDED:
        text, hint = context["text"], context["hint"]
    elif kind == "extra_forbidden":
        text, hint = "there is no such key", suggest(detail["loc"], dotted=False)
    elif kind == "missing":
        text, hint = "this key is missing", "It has no default."
    elif kind in ("string_too_short", "too_short"):
        text = "must not be empty"
    elif kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        text = f"must be {words} {context[name]:g}, found {found(value).removeprefix('the number ')}"
    elif kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        hint = nearest(value.lower(), choices) if isinstance(value, str) else ""
        text = f"expected {_one_of(choices)}, found {found(value)}"
    elif kind in _EXPECTED:
        text, hint = f"expected {_EXPECTED[kind]}, found {found(value)}", _remedy(kind, value)
        section = section_at(tuple(detail["loc"]))
        if kind.startswith("model_") and section is not None and section.example:
            key = detail["loc"][-1]
            hint = f"Write {section.example}." if isinstance(key, int) else f"Write {key}: {section.example}, or null."
    return text, hint


def _one_of(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"


def _remedy(kind: str, value: Any) -> str:
    if isinstance(value, str) and kind in ("int_type", "float_type") and _NUMBER.fullmatch(value):
        return "Remove the quotes."
    if isinstance(value, str) and kind == "bool_type" and value.lower() in ("yes", "no", "on", "off"):
        return f"Write {'true' if value.lower() in ('yes', 'on') else 'false'}."
    if isinstance(value, bool | int | float) and kind == "string_type":
        return "Put it in quotes to make it text."
    if value is None and kind.startswith("model_"):
        return "Give it keys, or remove it."
    return ""
