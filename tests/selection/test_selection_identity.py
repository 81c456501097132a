"""What makes texts equal, and what follows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmine.selection.identity import DigestIndex, Digests, digest_array, number_by_first_appearance
from negmine.text import BLANK, DEFAULT_TEMPLATE, Template, normalise, text_digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello World", "hello   world"),
        ("hello\u00a0world", "HELLO WORLD"),
        ("ﬁnal", "final"),  # ligature
        ("Ｆｕｌｌ width", "full width"),
        ("Straße", "STRASSE"),
        ("café", "cafe\u0301"),
        ("  a\tb\n", "a b"),
    ],
)
def test_texts_that_are_the_same(one: str, other: str) -> None:
    assert text_digest(one) == text_digest(other)


@pytest.mark.parametrize(("one", "other"), [("a b", "ab"), ("resume", "résumé"), ("x", "x.")])
def test_texts_that_are_not(one: str, other: str) -> None:
    assert text_digest(one) != text_digest(other)


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_blank_texts_equal_nothing() -> None:
    digests = digest_array([BLANK, text_digest("a"), BLANK])
    assert DigestIndex(digests).find(digests).tolist() == [-1, 1, -1]


@given(st.lists(st.sampled_from("abcde"), max_size=30), st.lists(st.sampled_from("abcdefg"), max_size=10))
def test_index_finds_first_and_all_rows(rows: list[str], asked: list[str]) -> None:
    index = DigestIndex(digest_array([text_digest(t) for t in rows]))
    wanted = digest_array([text_digest(t) for t in asked])
    assert index.find(wanted).tolist() == [rows.index(t) if t in rows else -1 for t in asked]
    which, found = index.find_all(wanted)
    assert list(zip(which.tolist(), found.tolist(), strict=True)) == [
        (i, j) for i, t in enumerate(asked) for j, r in enumerate(rows) if r == t
    ]


@given(st.lists(st.sampled_from("abcde"), max_size=30))
def test_numbering_follows_first_appearance(rows: list[str]) -> None:
    codes, firsts = number_by_first_appearance(digest_array([text_digest(t) for t in rows]))
    order = list(dict.fromkeys(rows))
    assert codes.tolist() == [order.index(t) for t in rows]
    assert firsts.tolist() == [rows.index(t) for t in order]


@pytest.mark.parametrize(
    ("title", "text", "passage"), [("T", "x", "T x"), ("", "x", "x"), ("T", "", "T"), ("", "", "")]
)
def test_a_passage_is_title_and_text(title: str, text: str, passage: str) -> None:
    assert Template(DEFAULT_TEMPLATE).fill({"title": [title], "text": [text]}) == [passage]


def test_passages_without_titles_are_held_once() -> None:
    texts = digest_array([text_digest(text) for text in ("a", "b", "", "a")])
    plain = Digests.joined([Digests(texts[:2], texts[:2].copy()), Digests(texts[2:], texts[2:])])
    assert plain.texts is plain.passages
    assert len(plain.indexes) == 1
    assert plain.find(texts).tolist() == [0, 1, -1, 0]
    assert plain.only(np.ones(4, bool)) is plain
    assert plain.only(np.array([False, True, True, True])).find(texts).tolist() == [2, 0, -1, 2]


def test_a_passage_is_found_by_what_it_says_with_its_title_first() -> None:
    texts, whole = (
        digest_array([text_digest(text) for text in row]) for row in (("x", "t x", "y"), ("t x", "t x", "y"))
    )
    found = Digests.joined([Digests(whole[:1], texts[:1]), Digests(whole[1:], texts[1:])])
    assert found.find(texts).tolist() == [0, 0, 2]
    assert found.say(np.array([0, 0, 1, 2]), texts[[0, 1, 0, 2]]).tolist() == [True, True, False, True]
