"""What goes into the ``data`` section of a starter config, line by line, and what to tell the user."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from negmine.config.formats import ColumnsConfig

_COMMENT_AT = 28
LONG_TEXT = 2000
"""Characters: more than what most embedding models read."""


@dataclass
class Findings:
    """Lines of the section, notes, and whether something is left to fill in.

    ``columns`` are names of columns by role; ``lengths`` those of the first passages, in characters.
    """

    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    incomplete: bool = False
    has_key: bool = False
    has_negatives: bool = False
    metadata: Sequence[str] = ()
    lengths: Sequence[int] = ()
    tests: Sequence[str] = ()

    def key(self, key: str, value: str, comment: str) -> None:
        self.has_key = True
        self.lines.append(_commented(f"{key}: {quoted(value)}", comment))

    def open(self, key: str, values: Mapping[str, str], question: str) -> None:
        """Leave a key to the user, with the values it could have and why."""
        self.ask(question, [_commented(f"# {key}: {quoted(value)}", why) for value, why in values.items()])

    def ask(self, question: str, lines: Sequence[str]) -> None:
        """Leave something to the user: lines that are comments until one of them is chosen."""
        self.incomplete = True
        self.lines += [f"# FILL IN: {question}", *lines]

    def offer(self, text: str, why: str) -> None:
        """A key that may be left out."""
        self.lines.append(_commented(f"# {text}", why))

    def section(self) -> list[str]:
        """All lines: the keys, the columns, and what people change next."""
        lines = list(self.lines)
        if not self.has_key:
            lines.insert(0, "format: auto")  # a section needs a key
        differing = {role: name for role, name in self.columns.items() if name != default_column(role)}
        if differing:
            lines.append("columns:")
            lines += [f"  {role}: {quoted(name)}" for role, name in differing.items()]
        return [*lines, *self._offers()]

    def _offers(self) -> list[str]:
        offers = []
        if self.has_negatives:
            offers.append(_commented("# negatives: keep", "those that are there become candidates too"))
        if self.metadata:
            names = ", ".join(quoted(name) for name in self.metadata[:6])
            offers.append(_commented(f"# metadata: [{names}]", "corpus columns to carry along"))
        long = sum(length > LONG_TEXT for length in self.lengths)
        if long:
            said = f"{long} of the first {len(self.lengths)} passages have over {LONG_TEXT} characters"
            offers += [f"# {said}, more than most models read:", _commented("# long_documents: chunk", "cut them")]
        if self.tests:
            names = ", ".join(quoted(name) for name in self.tests[:6])
            offers.append(_commented(f"# eval_guard: {{files: [{names}]}}", "keep their texts out of training"))
        return offers


def _commented(text: str, comment: str) -> str:
    return f"{text:<{_COMMENT_AT}} # {comment}" if comment else text


def default_column(role: str) -> str | None:
    """What a column is called unless the config says otherwise."""
    default: str | None = ColumnsConfig.model_fields[role].default
    return default


def named(value: str) -> str:
    """How a note names the value of a key."""
    return "this folder" if value == "." else value


def quoted(value: str) -> str:
    """A text as a YAML scalar: quoted unless it is plainly a word or a path."""
    plain = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", value)
    reserved = value.lower() in {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
    return value if plain and not reserved else json.dumps(value, ensure_ascii=False)
