"""Which candidates are near duplicates of a positive: Jaccard similarity of word 5-grams.

The pairs to compare are known, so nothing is estimated: pairs that a bound cannot rule out are
counted exactly. Shingles and Jaccard as in Broder (1997), "On the resemblance and containment of
documents".

Words are the pieces between spaces of the normalised text (see ``negmine.text.normalise``)
without punctuation (Unicode categories P) and invisible format characters (Cf). In scripts that
put no spaces between words, such as Chinese, Japanese and Thai, every character is a word, so
such passages are compared by character 5-grams, also inside a text of several scripts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import blake2b

import numpy as np

from negmine.arrays import expand, spans
from negmine.text import normalise

SHINGLE_WORDS = 5
SHINGLE_BITS = 52
"""Bits of a shingle's hash; those above hold the number of a text when many are sorted at once."""

_CHUNK_ITEMS = 1 << (64 - SHINGLE_BITS)  # texts or pairs worked on at once: their numbers fit above a shingle
_CHUNK_CHARACTERS = 1 << 20
_CHUNK_SHINGLES = 1 << 21
_SKETCH_BITS = 1024
_BLOCKS = 8  # words up to 64 bytes are hashed together, longer ones one by one

_SPACE, _END = 0x20, 0xFF  # UTF-8 has no byte 255
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, odd
_FINISH = np.uint64(0xBF58476D1CE4E5B9)  # from the finalizer of SplitMix64

_DROPPED, _OWN_WORD = 1, 2
_UNSPACED = (  # first and last code point of scripts without spaces between words
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x2FFF),  # radicals and descriptions of Han characters
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3021, 0x302D),  # Hangzhou numerals, tone marks of Han characters
    (0x3031, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x3190, 0x31FF),  # reading marks, Bopomofo and Katakana, extended
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0xA4CF),  # Han, Yi
    (0xA980, 0xA9FF),  # Javanese, Myanmar extended B
    (0xAA60, 0xAADF),  # Myanmar extended A, Tai Viet
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x116D0, 0x116FF),  # Myanmar extended C
    (0x16FE0, 0x18DFF),  # marks of Han texts, Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # Kana, extended, Nushu
    (0x20000, 0x3FFFF),  # Han, further extensions
)


def _category(code: int) -> str:
    return unicodedata.category(chr(code))


_ASCII_DROPPED = bytes(code for code in range(128) if _category(code)[0] == "P")
_ASCII_FOLDED = bytes(
    _SPACE if code < 128 and chr(code).isspace() else ord(chr(code).lower()) if code < 128 else code
    for code in range(256)
)


def shingles(text: str) -> np.ndarray:
    """The distinct shingles of a text as ascending hashes: uint64 (s,), below 2**52.

    A text of fewer than five words is one shingle, one without words has none. The hashes are the
    same in every process and on every machine.
    """
    return _sets([text])[1]


def near_duplicates(
    candidate_text: Sequence[str],
    candidate: np.ndarray,
    positive_text: Sequence[str],
    positive: np.ndarray,
    jaccard: float,
) -> np.ndarray:
    """Whether pair i, ``candidate_text[candidate[i]]`` and ``positive_text[positive[i]]``, is that similar.

    ``candidate`` and ``positive``: int (n,). Returns bool (n,): Jaccard >= ``jaccard``, which is
    above 0 and at most 1. A text without words is similar to nothing.

    Holds 136 bytes for each text and the shingles of one chunk of texts or pairs. Raises
    ValueError for another ``jaccard`` or arrays of different lengths.
    """
    if not 0 < jaccard <= 1:
        raise ValueError(f"jaccard must be above 0 and at most 1, not {jaccard}")
    if len(candidate) != len(positive):
        raise ValueError(f"{len(candidate)} candidates for {len(positive)} positives")
    result = np.zeros(len(candidate), bool)
    if not len(candidate):
        return result
    one, one_size = _sketches(candidate_text)
    other, other_size = (one, one_size) if positive_text is candidate_text else _sketches(positive_text)
    possible = np.zeros(len(candidate), bool)
    for start in range(0, len(candidate), _CHUNK_ITEMS):
        part = slice(start, start + _CHUNK_ITEMS)
        a, b = candidate[part], positive[part]
        possible[part] = _upper_bound(one[a], one_size[a], other[b], other_size[b]) >= jaccard
    rows = np.flatnonzero(possible)
    for first, last in _cuts(one_size[candidate[rows]] + other_size[positive[rows]], _CHUNK_SHINGLES):
        part_rows = rows[first:last]
        a, b = candidate[part_rows], positive[part_rows]
        result[part_rows] = _similarity(candidate_text, a, positive_text, b) >= jaccard
    return result


def _similarity(
    candidate_text: Sequence[str], candidate: np.ndarray, positive_text: Sequence[str], positive: np.ndarray
) -> np.ndarray:
    """Jaccard similarity of at most ``_CHUNK_ITEMS`` pairs, 0 where a text has no words: float64 (n,)."""
    sides = []
    sizes = np.zeros(len(candidate), np.int64)
    numbers = np.arange(len(candidate), dtype=np.uint64) << np.uint64(SHINGLE_BITS)
    for texts, which in ((candidate_text, candidate), (positive_text, positive)):
        used, place = np.unique(which, return_inverse=True)
        offsets, values = _sets([texts[number] for number in used.tolist()])
        counts = np.diff(offsets)[place]
        sides.append(values[expand(offsets, place)] | np.repeat(numbers, counts))
        sizes += counts
    merged = np.sort(np.concatenate(sides))
    shared = merged[1:][merged[1:] == merged[:-1]] >> np.uint64(SHINGLE_BITS)
    common = np.bincount(shared.astype(np.int64), minlength=len(candidate))
    return common / np.maximum(sizes - common, 1)


def _upper_bound(one: np.ndarray, one_size: np.ndarray, other: np.ndarray, other_size: np.ndarray) -> np.ndarray:
    """A Jaccard similarity that no pair exceeds, from sketches uint16 (n, w) and set sizes or more (n,).

    A bit that only one sketch has stands for at least one shingle that only one text has.
    """
    ones = _ones_of_16_bits()
    only_one = ones[one & ~other].sum(axis=1, dtype=np.int64)
    only_other = ones[other & ~one].sum(axis=1, dtype=np.int64)
    common = np.minimum(one_size - only_one, other_size - only_other)
    return common / np.maximum(common + only_one + only_other, 1)


@cache
def _ones_of_16_bits() -> np.ndarray:
    """How many bits each number below 2**16 has: uint8 (65536,)."""
    both_bytes = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    return np.unpackbits(both_bytes, axis=1).sum(axis=1, dtype=np.uint8)


def _sketches(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """For each text which of 1,024 bits its shingles hit, uint16 (n, 64), and its count of shingles with repeats."""
    sketch = np.zeros((len(texts), _SKETCH_BITS // 16), np.uint16)
    size = np.zeros(len(texts), np.int64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    for first, last in _cuts(lengths, _CHUNK_CHARACTERS):
        text, values = _hashes(texts[first:last])
        bits = np.zeros((last - first) * _SKETCH_BITS, bool)
        bits[text * _SKETCH_BITS + (values % np.uint64(_SKETCH_BITS)).astype(np.int64)] = True
        sketch[first:last] = np.packbits(bits).view(np.uint16).reshape(last - first, -1)
        size[first:last] = np.bincount(text, minlength=last - first)
    return sketch, size


def _sets(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The shingle sets of at most ``_CHUNK_ITEMS`` texts: offsets (n + 1,) and values, ascending in each text."""
    text, values = _hashes(texts)
    keys = np.sort(text.astype(np.uint64) << np.uint64(SHINGLE_BITS) | values)
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
    offsets = spans((keys >> np.uint64(SHINGLE_BITS)).astype(np.int64), len(texts))
    return offsets, keys & np.uint64((1 << SHINGLE_BITS) - 1)


def _cuts(weights: np.ndarray, limit: int) -> Iterator[tuple[int, int]]:
    """Spans of at most ``_CHUNK_ITEMS`` items that weigh at most ``limit`` together, or of one item."""
    total = np.concatenate([[0], np.cumsum(weights)])
    first = 0
    while first < len(weights):
        last = int(np.searchsorted(total, total[first] + limit, side="right")) - 1
        last = min(max(last, first + 1), first + _CHUNK_ITEMS)
        yield first, last
        first = last


def _hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The shingles of texts, with repeats: text numbers int64 (s,) and hashes uint64 (s,), not ordered."""
    word_text, word = _words(texts)
    offsets = spans(word_text, len(texts))
    counts = np.diff(offsets)
    short_text, short_value = [], []
    value = word.copy()
    for words in range(1, SHINGLE_WORDS):
        short = np.flatnonzero(counts == words)
        short_text.append(short)
        short_value.append(value[offsets[short]])
        # A polynomial of the words' hashes (Horner), with one position fewer each time.
        value = value[:-1] * _MULTIPLIER
        value += word[words:]
    whole = np.flatnonzero(word_text[: len(value)] == word_text[len(word) - len(value) :])
    text = np.concatenate([word_text[whole], *short_text])
    return text, np.concatenate([value[whole], *short_value]) >> np.uint64(64 - SHINGLE_BITS)


def _words(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """All words of texts in order: text numbers int64 (w,), ascending, and hashes uint64 (w,)."""
    data = _clean(texts)
    padded = np.zeros((len(data) + 8) // 8 * 8 + 8 * _BLOCKS + 8, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    characters = padded[: len(data)]
    inside = np.zeros(len(data) + 2, bool)
    inside[1:-1] = (characters != _SPACE) & (characters != _END)
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    start, end = edges[0::2], edges[1::2]
    words_before = np.searchsorted(start, np.flatnonzero(characters == _END))
    word_text = np.repeat(np.arange(len(texts)), np.diff(words_before, prepend=0))
    length = end - start
    hashes = length.astype(np.uint64)
    eights = padded.view("<u8").astype(np.uint64, copy=False)
    for block in range(_BLOCKS):
        rows = np.flatnonzero(length > 8 * block)
        if not len(rows):
            break
        at = start[rows] + 8 * block
        shift = (at & 7).astype(np.uint64) << np.uint64(3)
        at >>= 3
        # Eight bytes from any place, of two aligned pieces; a shift by 64 gives 0.
        piece = (eights[at] >> shift) | (eights[at + 1] << (np.uint64(64) - shift))
        beyond = np.maximum(8 * (block + 1) - length[rows], 0).astype(np.uint64) << np.uint64(3)
        hashes[rows] = _stir(hashes[rows], piece << beyond)
    for row in np.flatnonzero(length > 8 * _BLOCKS).tolist():
        digest = blake2b(data[start[row] : end[row]], digest_size=8).digest()
        hashes[row] = int.from_bytes(digest, "little")
    return word_text, hashes


def _stir(state: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """A hash uint64 (n,) of what came before and the next piece."""
    value = state * _MULTIPLIER
    value ^= piece
    value ^= value >> np.uint64(32)
    value *= _FINISH
    value ^= value >> np.uint64(29)
    value *= _MULTIPLIER
    value ^= value >> np.uint64(32)
    return value


def _clean(texts: Sequence[str]) -> bytes:
    """Normalised texts without punctuation as UTF-8, words between spaces, byte 255 after each text."""
    other = iter(_separated([normalise(text) for text in texts if not text.isascii()]))
    parts = [text.encode() if text.isascii() else next(other) for text in texts]
    parts.append(b"")
    return b"\xff".join(parts).translate(_ASCII_FOLDED, _ASCII_DROPPED)


def _separated(texts: Sequence[str]) -> list[bytes]:
    """Normalised texts as UTF-8, punctuation outside ASCII dropped, spaces around characters that are words."""
    if not texts:
        return []
    # No normalised text has a line break.
    codes = np.frombuffer("\n".join(texts).encode("utf-32-le", "surrogatepass"), "<u4")
    kind = _kinds().take(codes)
    if kind.any():
        kept = kind != _DROPPED
        codes, own = codes[kept], kind[kept] == _OWN_WORD
        place = np.arange(len(codes)) + 2 * np.cumsum(own) - own
        spaced = np.full(len(codes) + 2 * int(own.sum()), _SPACE, "<u4")
        spaced[place] = codes
        codes = spaced
    text = codes.tobytes().decode("utf-32-le", "surrogatepass")
    return text.encode("utf-8", "surrogatepass").split(b"\n")


@cache
def _kinds() -> np.ndarray:
    """What becomes of each code point: uint8 (0x110000,), 0 for part of a word."""
    kinds = np.zeros(0x110000, np.uint8)
    for first, last in _UNSPACED:
        kinds[first : last + 1] = _OWN_WORD
    # Other planes hold Han characters, private use, and nothing that is dropped.
    for code in (*range(0x80, 0x20000), *range(0xE0000, 0xE1000)):
        category = _category(code)
        if category == "Cf" or category[0] == "P":
            kinds[code] = _DROPPED
    return kinds
