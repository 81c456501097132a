"""Where long texts are cut."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from negmine.selection.chunking import cut

WORDS = (
    "Ein Satz. Noch einer! 三つ目の文です。四つ目。 שלום עולם، مرحبا بالعالم؟ नमस्ते दुनिया।"
    " e\u0301te\u0301 👩‍👩‍👧‍👦🏽 🇩🇪🇫🇷 \r\n\n ก็ไม่รู้"
)
PIECES = st.one_of(
    st.text(max_size=30), st.sampled_from(WORDS.split(" ")), st.sampled_from([" ", "\n\n", ". ", "\u0301", "\u200d"])
)
TEXTS = st.lists(PIECES, max_size=60).map("".join)


def chunks(text: str, most: int, overlap: int) -> list[str]:
    return [text[start:stop] for start, stop in cut(text, most, overlap)]


@given(TEXTS, st.integers(20, 80), st.integers(0, 10))
@example(WORDS * 3, 20, 10)
@example("\r\n" * 60, 21, 10)
def test_chunks_cover_the_text_overlap_as_asked_and_fit(text: str, most: int, overlap: int) -> None:
    spans = cut(text, most, overlap)
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    assert all(0 <= stop - start <= most for start, stop in spans)
    for (start, stop), (next_start, next_stop) in pairwise(spans):
        assert start < next_start <= stop < next_stop
        assert stop - next_start <= overlap
        assert stop - start > most // 2
    restored = text[: spans[0][1]] + "".join(text[a:b] for (_, a), (_, b) in pairwise(spans))
    assert restored == text


@given(TEXTS, st.integers(20, 80), st.integers(0, 10))
@example("👩‍👩‍👧‍👦" * 30, 25, 10)
@example("e\u0301\u0302" * 60, 20, 7)
@example("🇩🇪" * 60, 21, 5)
@example("a \u0301" * 60, 21, 5)
def test_no_cut_parts_a_letter_from_its_marks(text: str, most: int, overlap: int) -> None:
    clusters = regex.findall(r"\X\p{M}*", text)
    whole, place = {0}, 0
    for cluster in clusters:
        place += len(cluster)
        whole.add(place)
    if max(map(len, clusters), default=0) > most // 4:
        return  # a pile of marks that is itself a chunk's size has to be cut
    for start, stop in cut(text, most, overlap):
        assert {start, stop} <= whole
        assert stop == len(text) or not (unicodedata.combining(text[stop]) or text[stop] in "\u200d\ufe0f")


def test_a_text_that_fits_is_one_chunk() -> None:
    assert cut("x" * 50, 50, 10) == [(0, 50)]
    assert cut("", 50, 10) == [(0, 0)]


def test_a_chunk_ends_after_the_last_paragraph_of_its_second_half() -> None:
    text = "One two. " * 5 + "\n\n" + "three four. " * 5
    assert chunks(text, 60, 0)[0] == "One two. " * 5 + "\n\n"


def test_without_a_paragraph_it_ends_after_a_sentence() -> None:
    assert chunks("aaaa bbbb cccc. dddd eeee ffff gggg hhhh", 25, 0)[0] == "aaaa bbbb cccc. "


def test_a_break_in_the_first_half_does_not_count() -> None:
    assert chunks("aa. bbbb cccc dddd eeee ffff gggg hhhh", 25, 0)[0] == "aa. bbbb cccc dddd eeee "


def test_without_white_space_it_ends_at_the_limit() -> None:
    assert chunks("東" * 120, 50, 10) == ["東" * 50, "東" * 50, "東" * 40]


def test_japanese_sentences_end_without_a_space() -> None:
    assert chunks("これは文です。" * 4, 20, 0)[0] == "これは文です。" * 2


def test_the_overlap_begins_with_a_word() -> None:
    first, second, *_ = chunks("alpha beta gamma delta epsilon zeta eta theta", 24, 9)
    assert first == "alpha beta gamma delta "
    assert second.startswith("delta epsilon")


@pytest.mark.parametrize("mark", ["\u0301", "\u200d", "\ufe0f", "\U000e0100"])
def test_a_pile_of_marks_larger_than_half_a_chunk_is_cut_all_the_same(mark: str) -> None:
    text = "e" + mark * 500
    assert "".join(chunks(text, 50, 0)) == text
    assert max(map(len, chunks(text, 50, 0))) == 50
