"""Words that two texts share, in any script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmine.report.words import SharedWords, utf16, words

TEXTS = st.text(st.sampled_from("abAB éß12 -'中文字のカー กขไ😀\u0301ﬁ مر"), max_size=40)


@pytest.mark.parametrize(
    ("query", "text", "shared"),
    [
        ("reset my Password", "Passwords: the PASSWORD reset", ["PASSWORD", "reset"]),
        ("straße", "die STRASSE", ["STRASSE"]),
        ("ﬁnd", "find it", ["find"]),
        ("重置密码", "请重置你的密码", ["重置", "密码"]),
        ("ลืมรหัสผ่าน", "รหัสผ่านใหม่", ["รหัสผ่าน"]),
        ("пароль", "Пароль пароли", ["Пароль"]),
        ("東京Tokyo", "Tokyoの東京", ["Tokyo", "東京"]),
        ("字", "文字 字", ["字"]),
        ("", "anything", []),
    ],
)
def test_shared_words_are_found(query: str, text: str, shared: list[str]) -> None:
    """Case, ligatures and compatibility forms do not matter; scripts without spaces share pairs of characters."""
    assert [text[a:b] for a, b in SharedWords([]).spans(query, text)] == shared


def test_common_words_are_not_marked() -> None:
    """A word in more than a tenth of the texts tells nothing; with few texts, none is common."""
    texts = [f"the word{i}" for i in range(30)]
    assert SharedWords(texts).common == {"the"}
    assert SharedWords(texts).spans("the word1", "the word1") == [(4, 9)]
    assert SharedWords(texts[:5]).spans("the word1", "the word1") == [(0, 3), (4, 9)]


@given(TEXTS, TEXTS)
def test_spans_ascend_apart_and_hold_words_of_both(query: str, text: str) -> None:
    """Spans lie in the text, in order, with a gap between; every one begins with a word of the query."""
    spans = SharedWords([]).spans(query, text)
    flat = [place for span in spans for place in span]
    assert flat == sorted(set(flat))
    assert not flat or 0 <= flat[0] < flat[-1] <= len(text)
    wanted = {word for word, _ in words(query)}
    starts = {start for word, (start, _) in words(text) if word in wanted}
    assert {start for start, _ in spans} <= starts
    assert all(any(a <= start < b for a, b in spans) for start in starts)


@given(TEXTS)
def test_places_are_those_of_a_browser(text: str) -> None:
    """Start and length count units of UTF-16."""
    spans = [span for _, span in words(text)]
    numbers = utf16(text, spans)
    units = text.encode("utf-16-le")
    pieces = [units[2 * a : 2 * (a + n)].decode("utf-16-le") for a, n in zip(numbers[::2], numbers[1::2], strict=True)]
    assert pieces == [text[a:b] for a, b in spans]
