"""What makes two texts the same, and what of a document a model reads."""

from __future__ import annotations

import unicodedata
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


def passage_text(title: str, text: str) -> str:
    """What models and exports see of a document: its title, a space, its text."""
    return f"{title} {text}" if title and text else title or text
