"""What makes two texts the same, and what of a document a model reads."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

BLANK = bytes(16)
"""The digest of a text that is empty or only white space: equal to nothing, not even itself."""


def normalise(text: str) -> str:
    """Unicode NFKC, case folding, and every run of white space as one space, ends trimmed."""
    if text.isascii():
        return " ".join(text.lower().split())
    # Case folding can undo NFKC (for example U+0345), so NFKC frames it.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def text_digest(text: str) -> bytes:
    """128-bit hash of the normalised text, ``BLANK`` for a blank one."""
    normal = normalise(text)
    if not normal:
        return BLANK
    return blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def text_key(digest: bytes) -> str:
    """A digest as the 32 hexadecimal digits that a run's files show."""
    return digest.hex()


def id_hash(identifier: str) -> int:
    """64-bit hash of an id: the seed of everything random that belongs to it."""
    return int.from_bytes(blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


DEFAULT_TEMPLATE = "{title} {text}"
"""A title, a space, a text; of a document that lacks one of them, the other alone."""


class Template:
    """What models and exports see of a document: ``{column}`` stands for a value, ``{{`` for a brace.

    ``pieces`` are pairs of literal text and the column whose value follows it, None after the last.
    The default leaves out the space where title or text is empty; any other is filled in as it is
    written, a value that is not there as nothing.
    """

    def __init__(self, template: str) -> None:
        """Raises ValueError, with what is wrong in words, for braces that do not name a column."""
        self.pieces = tuple(_pieces(template))
        self.names = tuple(dict.fromkeys(name for _, name in self.pieces if name is not None))
        self.is_default = template == DEFAULT_TEMPLATE

    def fill(self, columns: Mapping[str, Sequence[str | None]]) -> list[str]:
        """The passages of documents that are given as one list of values per column."""
        if self.is_default:
            pairs = zip(columns["title"], columns["text"], strict=True)
            return [f"{title} {text}" if title and text else title or text or "" for title, text in pairs]
        rows = zip(*(columns[name] for name in self.names), strict=True)
        return [self._filled(dict(zip(self.names, row, strict=True))) for row in rows]

    def _filled(self, values: Mapping[str, str | None]) -> str:
        return "".join(literal + (values[name] or "" if name else "") for literal, name in self.pieces)


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    literal = ""
    at = 0
    while at < len(template):
        char = template[at]
        if char in "{}" and template[at + 1 : at + 2] == char:
            literal += char
            at += 2
        elif char == "}":
            raise ValueError(f"there is a single '}}' at character {at + 1}: write '}}}}' for a brace of the text")
        elif char == "{":
            stop = template.find("}", at)
            name = template[at + 1 : stop]
            if stop < 0 or not name or "{" in name:
                raise ValueError(f"the brace at character {at + 1} names no column: write '{{{{' for one of the text")
            yield literal, name
            literal, at = "", stop + 1
        else:
            literal += char
            at += 1
    yield literal, None
