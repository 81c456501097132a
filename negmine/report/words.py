"""Which words of a text are also in its query, in any script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import regex

from negmine.text import normalise

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー"
_PIECES = regex.compile(
    rf"(?P<unspaced>[{_UNSPACED}\p{{M}}]*[{_UNSPACED}][{_UNSPACED}\p{{M}}]*)|[\p{{L}}\p{{M}}\p{{N}}--[{_UNSPACED}]]+",
    regex.V1,
)
COMMON = 0.1
"""A word in more than this share of the texts tells nothing."""
_FEW = 20

Span = tuple[int, int]


def words(text: str) -> Iterator[tuple[str, Span]]:
    """Normalised words with the place of each: [start, stop).

    Scripts that are written without spaces have none to tell words by: there, as search engines do, every
    two neighbouring characters count as a word (a lone one as itself).
    """
    for piece in _PIECES.finditer(text):
        if piece["unspaced"] is None or len(piece[0]) == 1:
            yield normalise(piece[0]), piece.span()
        else:
            for start in range(piece.start(), piece.end() - 1):
                yield normalise(text[start : start + 2]), (start, start + 2)


class SharedWords:
    """Finds the words that texts share with a query; words of more than ``COMMON`` of the ``texts`` are left out."""

    def __init__(self, texts: Iterable[str]) -> None:
        seen: Counter[str] = Counter()
        total = 0
        for text in texts:
            total += 1
            seen.update({word for word, _ in words(text)})
        self.common = frozenset(word for word, count in seen.items() if total >= _FEW and count > COMMON * total)
        self._words = lru_cache(1024)(lambda text: tuple(words(text)))

    def spans(self, query: str, text: str) -> list[Span]:
        """Where in ``text`` words of the query are: ascending, those that touch or overlap as one."""
        wanted = {word for word, _ in self._words(query)} - self.common
        found: list[Span] = []
        for word, (start, stop) in self._words(text):
            if word not in wanted:
                continue
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], stop)
            else:
                found.append((start, stop))
        return found


def utf16(text: str, spans: Sequence[Span]) -> list[int]:
    """Spans of a text as browsers count, in units of UTF-16: start and length of each, one after the other."""
    if len(text.encode("utf-16-le")) == 2 * len(text):
        return [number for start, stop in spans for number in (start, stop - start)]
    units = [len(text[:place].encode("utf-16-le")) // 2 for span in spans for place in span]
    return [n for start, stop in zip(units[::2], units[1::2], strict=True) for n in (start, stop - start)]
