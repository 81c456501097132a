"""Where long texts are cut."""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE = re.compile(r"[.!?…؟۔।][\"')\]»”’]*\s+|[。！？｡][\"')\]」』”’]*\s*")
_SPACE = re.compile(r"\s+")
_CLUSTER = regex.compile(r"\X[\p{M}\u200d]*")  # marks after a line's end are none of their own either
# No rule of Unicode joins two such characters, so that clusters can be counted from between them.
_PLAIN = regex.compile(r"[\p{GCB=Other}\p{GCB=LV}\p{GCB=LVT}]{2}")


def cut(text: str, most: int, overlap: int) -> list[tuple[int, int]]:
    """Spans [start, stop) of the chunks of a text, in order; together they cover it.

    None is longer than ``most`` characters. A chunk ends after the last paragraph break in the
    second half of the room it has, else after the last sentence there, else after the last white
    space, else where the room ends. The next one begins at the first white space of the last
    ``overlap`` characters (at most half of ``most``), else with all of them. A letter is not parted
    from its marks (an extended grapheme cluster, UAX #29) unless they alone fill half of the room.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    while len(text) - start > most:
        stop = _end(text, start, most)
        spans.append((start, stop))
        start = _restart(text, start, stop, overlap)
    spans.append((start, len(text)))
    return spans


def _end(text: str, start: int, most: int) -> int:
    limit, half = start + most, start + most // 2
    for kind in (_PARAGRAPH, _SENTENCE, _SPACE):
        for stop in reversed([match.end() for match in kind.finditer(text, half, limit)]):
            whole = _cluster_start(text, start, stop)
            if whole > half:
                return whole
    whole = _cluster_start(text, start, limit)
    return whole if whole > half else limit


def _restart(text: str, start: int, stop: int, overlap: int) -> int:
    """Where the chunk after [start, stop) begins: at ``stop`` or up to ``overlap`` characters before."""
    earliest = stop - overlap
    space = _SPACE.search(text, earliest, stop)
    wanted = space.end() if space is not None else earliest
    whole = _cluster_start(text, start, wanted)
    return wanted if whole == wanted else min(next(_clusters(text, whole)), stop)


def _cluster_start(text: str, low: int, place: int) -> int:
    """The last place in [low, ``place``] that is inside no grapheme cluster; ``low`` is one."""
    if place >= len(text) or place <= low:
        return place
    known = place
    while known > low and not _PLAIN.fullmatch(text, known - 1, known + 1):
        known -= 1
    for match in _clusters(text, known):
        if match > place:
            break
        known = match
    return known


def _clusters(text: str, place: int) -> Iterator[int]:
    """Where the clusters from ``place`` on end."""
    return (match.end() for match in _CLUSTER.finditer(text, place))
