"""YAML text to plain values, with the place of every key and value."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

KeyPath: TypeAlias = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_MOST_VALUES = 100_000
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")

_SYNTAX = (  # part of what the parser says; what we say; what to do
    (r"'\\t' that cannot start", "there is a tab where YAML wants spaces", "Replace the tab by spaces."),
    (r"that cannot start any token", "a value cannot begin with this character", "Put the text in quotes."),
    (
        r"mapping values are not allowed",
        "there is a ':' where no key can be",
        "Check the indentation, and put text that contains ': ' in quotes.",
    ),
    (r"could not find expected ':'", "a key has no ':' after it", ""),
    (r"expected ',' or '[]}]'", "a bracket is not closed", ""),
    (r"end of stream", "a quote is not closed", ""),
    (r"undefined alias", "this alias has no anchor before it", ""),
    (
        r"but found another document",
        "there is more than one document in the file",
        "Keep one config per file and remove '---'.",
    ),
    (r"expected <block end>|<document start>", "the indentation does not match the lines above", ""),
    (r"unknown escape", "there is an unknown escape in double quotes", "Use single quotes, or write \\\\."),
)


@dataclass(frozen=True)
class Spot:
    """A place in a config: line and column (1-based) of its file, or the ``--set`` it came from."""

    line: int = 1
    column: int = 1
    override: str | None = None


@dataclass(frozen=True)
class Flaw:
    """Something wrong that is known before any key is looked at."""

    spot: Spot
    text: str
    hint: str = ""
    path: KeyPath = ()


class NotYamlError(Exception):
    """The text is no YAML that a config could be read from."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.text)
        self.flaw = flaw


@dataclass
class Document:
    """A parsed config: plain values, where each key and value stands, the lines of the text."""

    value: Any = None
    keys: dict[KeyPath, Spot] = field(default_factory=dict)
    values: dict[KeyPath, Spot] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)

    def has(self, path: KeyPath) -> bool:
        """Whether the user wrote this key."""
        node = self.value
        for part in path:
            inside = isinstance(node, dict) and part in node
            inside = inside or (isinstance(node, list) and isinstance(part, int) and part < len(node))
            if not inside:
                return False
            node = node[part]
        return True

    def spot(self, path: KeyPath, *, key: bool) -> Spot | None:
        """Where a key (or its value) stands, or else the nearest section around it."""
        for end in range(len(path), -1, -1):
            at = path[:end]
            on_key = self.keys.get(at) if key or end < len(path) else None
            if (place := on_key or self.values.get(at)) is not None:
                return place
        return None

    def place(self, path: KeyPath, override: str) -> None:
        """Record that the value at ``path`` came from the command line."""
        for places in (self.keys, self.values):
            for below in [known for known in places if known[: len(path)] == path]:
                del places[below]
            places[path] = Spot(override=override)

    def snippet(self, spot: Spot) -> str | None:
        """The line of a spot with a caret under its column."""
        if spot.override is not None or not 1 <= spot.line <= len(self.lines):
            return None
        line = "".join(c if c.isprintable() or c == "\t" else "?" for c in self.lines[spot.line - 1])
        start = max(0, spot.column - 80)
        indent = "".join(c if c == "\t" else " " for c in line[start : spot.column - 1])
        return f"{line[start : start + 120]}\n{indent}^"


def parse(text: str) -> Document:
    """The one document in ``text``; its value is None when there is nothing in it.

    Raises NotYamlError for text that is not YAML. Keys given twice and tags are flaws of the
    document, so that they can be reported in order with whatever else is wrong.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    try:
        root = yaml.compose(text)
        document = Document(lines=split_lines(text))
        if root is not None:
            document.value = _Builder(yaml, document).value(root, ())
    except ReaderError as error:
        raise NotYamlError(_unreadable(text, error.position)) from error
    except YAMLError as error:
        raise NotYamlError(_syntax(error)) from error
    except RecursionError as error:
        raise NotYamlError(Flaw(Spot(), "values are nested too deeply")) from error
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        # ruamel.yaml lets a few of these escape on text that is far from YAML
        raise NotYamlError(Flaw(Spot(), "this is not valid YAML")) from error
    return document


def split_lines(text: str) -> list[str]:
    """Lines as YAML counts them."""
    return _LINE_BREAK.split(text)


class _Builder:
    """Turns nodes into plain values and records where they stand."""

    def __init__(self, yaml: YAML, document: Document) -> None:
        self._construct = yaml.constructor
        self._document = document
        self._open: set[int] = set()
        self._seen = 0

    def value(self, node: Node, path: KeyPath) -> Any:
        self._seen += 1
        if self._seen > _MOST_VALUES:
            raise NotYamlError(Flaw(_spot(node), "there are too many values"))
        if id(node) in self._open:
            raise NotYamlError(Flaw(_spot(node), "an alias stands inside its own anchor"))
        # an empty value stands wherever the parser noticed that there is none: show its key
        empty = isinstance(node, ScalarNode) and not node.value and not node.style
        spot = self._document.keys.get(path) if empty else None
        self._document.values.setdefault(path, spot or _spot(node))
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                self._expect(node, path, "seq")
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            self._expect(node, path, "map")
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Node, path: KeyPath) -> dict[str, Any]:
        """Own keys first, then those merged with ``<<`` that are not there yet."""
        result: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if str(key_node.tag) == f"{_TAG}merge":
                merged += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
            elif not isinstance(key_node, ScalarNode):
                self._flaw(key_node, "a key is a word, not a list or a section")
            elif (key := printable(key_node.value)) in result:
                first = self._document.keys[(*path, key)].line
                self._flaw(
                    key_node,
                    f"the key '{key}' is given twice, on line {first} and on line {_spot(key_node).line}",
                    "Keep one of the two.",
                )
            else:
                self._document.keys[(*path, key)] = _spot(key_node)
                result[key] = self.value(value_node, (*path, key))
        for source in merged:
            if isinstance(source, MappingNode):
                self._merge(source, path, result)
            else:
                self._flaw(source, "'<<' takes a section to merge in")
        return result

    def _merge(self, source: MappingNode, path: KeyPath, own: dict[str, Any]) -> None:
        """Add the entries of ``source`` that ``own`` lacks, with the places where they are written."""
        outer, self._document = self._document, Document()
        try:
            entries = self.value(source, path)
        finally:
            inner, self._document = self._document, outer
        depth = len(path)
        new = {key: value for key, value in entries.items() if key not in own}
        own.update(new)
        for places, found in ((outer.keys, inner.keys), (outer.values, inner.values)):
            places.update((at, spot) for at, spot in found.items() if len(at) > depth and at[depth] in new)

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        if kind == "null":
            return None
        if kind in ("str", "timestamp", "value", "merge"):
            return str(node.value)
        if self._expect(node, path, "bool", "int", "float"):
            try:
                return getattr(self._construct, f"construct_yaml_{kind}")(node)
            except (ValueError, LookupError, OverflowError):
                self._flaw(node, f"expected {'true or false' if kind == 'bool' else 'a number'}", path=path)
        return None

    def _expect(self, node: Node, path: KeyPath, *kinds: str) -> bool:
        if str(node.tag).removeprefix(_TAG) in kinds:
            return True
        self._flaw(node, "YAML tags (a '!' before a value) are not supported", "Remove the tag.", path)
        return False

    def _flaw(self, node: Node, text: str, hint: str = "", path: KeyPath = ()) -> None:
        self._document.flaws.append(Flaw(_spot(node), text, hint, path))


def printable(text: Any) -> str:
    """Text that can be printed: lone surrogates become escapes."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def _spot(node: Node) -> Spot:
    return Spot(node.start_mark.line + 1, node.start_mark.column + 1)


def _syntax(error: YAMLError) -> Flaw:
    if not isinstance(error, MarkedYAMLError):
        return Flaw(Spot(), "this is not valid YAML")
    said = str(error.problem or error.context)
    # an open quote or bracket is best shown where it was opened
    opened = ("a quote is not closed", "a bracket is not closed")
    known = next(((text, hint) for pattern, text, hint in _SYNTAX if re.search(pattern, said)), None)
    text, hint = known or (f"this is not valid YAML: {printable(said)}", "")
    mark = error.context_mark if text in opened and error.context_mark else error.problem_mark
    return Flaw(Spot(mark.line + 1, mark.column + 1) if mark else Spot(), text, hint)


def _unreadable(text: str, position: int) -> Flaw:
    before = split_lines(text[:position])
    return Flaw(
        Spot(len(before), len(before[-1]) + 1),
        f"the character U+{ord(text[position]):04X} is not allowed in YAML",
        "Remove it, or write it as an escape in double quotes.",
    )
