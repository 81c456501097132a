"""Near duplicates: word 5-grams and their exact Jaccard similarity."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.selection import near_duplicates as module
from negmine.selection.near_duplicates import near_duplicates, shingles
from negmine.text import normalise

UNSPACED_NAMES = (
    "BOPOMOFO",
    "CIRCLED POSTAL",
    "CJK",
    "COMBINING KATAKANA",
    "HANGZHOU",
    "HENTAIGANA",
    "HIRAGANA",
    "IDEOGRAPHIC",
    "JAVANESE",
    "KANGXI",
    "KATAKANA",
    "KHITAN",
    "KHMER",
    "LAO",
    "LEFT-FACING SVASTI",
    "MASU MARK",
    "MYANMAR",
    "NEW TAI LUE",
    "NUSHU",
    "OLD CHINESE",
    "RIGHT-FACING SVASTI",
    "TAI LE",
    "TAI THAM",
    "TAI VIET",
    "TANGUT",
    "THAI",
    "TIBETAN",
    "VERTICAL IDEOGRAPHIC",
    "VERTICAL KANA",
    "VIETNAMESE ALTERNATE",
    "YI ",
)
"""How the names of characters begin that are words of their own."""


def is_own_word(character: str) -> bool:
    tangut = 0x17000 <= ord(character) <= 0x18DFF  # Python 3.11 does not know all of their names
    name = unicodedata.name(character, "")
    return tangut or (name.startswith(UNSPACED_NAMES) and "TALLY" not in name)


def words_of(text: str) -> list[str]:
    """Words by the definition, one character at a time."""
    out = []
    for character in normalise(text):
        category = unicodedata.category(character)
        if category[0] == "P" or category == "Cf":
            continue
        out.append(f" {character} " if is_own_word(character) else character)
    return [word for word in "".join(out).split(" ") if word]


def shingle_set(text: str) -> set[tuple[str, ...]]:
    words = words_of(text)
    if not words:
        return set()
    return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}


def jaccard_of(one: str, other: str) -> float:
    a, b = shingle_set(one), shingle_set(other)
    return len(a & b) / len(a | b) if a | b else 0.0


def is_near(one: str, other: str, jaccard: float) -> bool:
    return bool(near_duplicates([one], np.array([0]), [other], np.array([0]), jaccard)[0])


def text_with(*parts: range) -> str:
    return " ".join(f"w{number}" for part in parts for number in part)


WORDS = st.sampled_from(
    ["a", "b", "the", "The,", "naïve", "Straße", "東京", "คน", "😀", "—", "x" * 8, "x" * 9, "y" * 70]
)
TEXTS = st.lists(WORDS, max_size=30).map(" ".join)
ALPHABET = st.sampled_from(list("ab .,-\n\t\x00\x1f\u00a0\u200b\u0345漢字かナーกข้ཀ་😀\U00020000\ud800ﬁ½…"))


@given(st.lists(TEXTS, min_size=1, max_size=8), st.lists(TEXTS, min_size=1, max_size=4), st.floats(0.01, 1))
def test_pairs_are_as_python_sets_say(candidates: list[str], positives: list[str], jaccard: float) -> None:
    pairs = [(i, j) for i in range(len(candidates)) for j in range(len(positives))]
    candidate, positive = np.array(pairs).T
    found = near_duplicates(candidates, candidate, positives, positive, jaccard)
    assert found.dtype == bool
    assert found.tolist() == [jaccard_of(candidates[i], positives[j]) >= jaccard for i, j in pairs]


@given(st.one_of(TEXTS, st.text(ALPHABET, max_size=60), st.text(st.characters(exclude_categories=["Cn"]), max_size=20)))
def test_shingles_are_those_of_the_definition(text: str) -> None:
    values = shingles(text)
    assert values.dtype == np.uint64
    assert len(values) == len(shingle_set(text))
    assert (values[1:] > values[:-1]).all()
    # The words alone, one space between them, have the same shingles: only words count.
    assert np.array_equal(values, shingles(" ".join(words_of(text))))


@given(st.text(ALPHABET, max_size=40), st.text(ALPHABET, max_size=40))
def test_equal_hashes_mean_equal_shingles(one: str, other: str) -> None:
    common = np.intersect1d(shingles(one), shingles(other))
    assert len(common) == len(shingle_set(one) & shingle_set(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The quick, brown fox jumps.", "the quick brown fox jumps"),
        ("well-known fact", "wellknown fact"),
        ("don’t", "don't"),
        ("caf\u00e9", "CAFE\u0301"),
        ("one\u00a0two\nthree", "one two three"),
        ("soft\u00adhyphen and zero\u200bwidth", "softhyphen and zerowidth"),
        ("东京，是日本的首都。", "东京 是日本的首都"),
        ("ｶﾀｶﾅの文", "カタカナの文"),
        ("use Python写代码", "use python 写 代码"),
        ("😀", "😀!"),
        ("١٢٣ و", "١٢٣، و"),
    ],
)
def test_texts_that_are_the_same(one: str, other: str) -> None:
    assert len(shingles(one))
    assert np.array_equal(shingles(one), shingles(other))
    assert is_near(one, other, 1.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("word", "words"),
        ("a b", "b a"),
        ("a b", "ab"),
        ("a b c d", "a b c d e"),
        ("C++", "C"),
        ("5 € fee", "5 $ fee"),
        ("😀", "😁"),
        ("12345678", "123456789"),
        ("x" * 64, "x" * 65),
        ("x" * 200, "x" * 201),
        ("a\x00", "a"),
        ("\x00a", "a"),
        ("x" * 70 + "a", "x" * 70 + "b"),
        ("a", "a a"),
    ],
)
def test_texts_that_share_nothing(one: str, other: str) -> None:
    assert not len(np.intersect1d(shingles(one), shingles(other)))
    assert not is_near(one, other, 0.001)


@pytest.mark.parametrize("blank", ["", "  \n", "...", "—!?", "\u200b", "。、"])
def test_texts_without_words_are_similar_to_nothing(blank: str) -> None:
    assert not len(shingles(blank))
    for other in (blank, "word", "a b c d e f"):
        assert not is_near(blank, other, 0.001)
        assert not is_near(other, blank, 0.001)


def test_scripts_without_spaces_are_compared_by_characters() -> None:
    text = "我们每天早上在公园里跑步然后一起吃早饭"
    assert len(shingles(text)) == len(text) - 4
    assert is_near(text, text + "了", 0.9)
    thai = "สวัสดีตอนเช้าทุกคน"
    assert len(shingles(thai)) == len(normalise(thai)) - 4
    hangul = "우리는 매일 아침 공원에서 함께 달린다"
    assert len(shingles(hangul)) == 2


def test_the_threshold_is_inclusive() -> None:
    base = text_with(range(13))  # 9 shingles
    longer = text_with(range(14))  # the same and one more
    assert jaccard_of(base, longer) == 0.9
    assert is_near(base, longer, 0.9)
    assert not is_near(base, longer, float(np.nextafter(0.9, 1)))


@pytest.mark.parametrize("union", range(1, 41))
def test_every_small_fraction_meets_itself_as_threshold(union: int) -> None:
    texts = [text_with(range(size + 4)) for size in range(1, union + 1)]
    candidate = np.arange(union)
    positive = np.full(union, union - 1)
    for common in range(1, union + 1):
        found = near_duplicates(texts, candidate, texts, positive, common / union)
        assert np.flatnonzero(found).tolist() == list(range(common - 1, union))


def test_repeated_shingles_count_once() -> None:
    once, often = "a b c d e", " ".join(["a b c d e"] * 50)
    assert len(shingles("a " * 1000)) == 1
    assert len(shingles(often)) == 5
    assert is_near(once, often, 0.2)
    assert is_near("a " * 1000, "a " * 5, 1.0)


def test_very_long_texts() -> None:
    """Sketches of long texts have nearly all bits set: only the exact count can tell."""
    one = text_with(range(50_000))
    same_share = text_with(range(10_000, 60_000))
    expected = jaccard_of(one, same_share)
    assert 0.6 < expected < 0.7
    assert is_near(one, same_share, expected)
    assert not is_near(one, same_share, float(np.nextafter(expected, 1)))
    assert is_near("x" * 3_000_000, "X" * 3_000_000, 1.0)


def random_world(seed: int) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    positives = [" ".join(f"w{w}" for w in rng.integers(0, 3000, rng.integers(1, 120))) for _ in range(40)]
    candidates = []
    for _ in range(200):
        words = positives[rng.integers(40)].split()
        for _ in range(int(rng.integers(0, 6))):
            words[rng.integers(len(words))] = "changed"
        candidates.append(" ".join(words[rng.integers(0, 3) :]))
    return candidates, rng.integers(0, 200, 3000), positives, rng.integers(0, 40, 3000)


@pytest.mark.parametrize("jaccard", [0.1, 0.5, 0.8, 1.0])
def test_many_pairs_of_longer_texts(jaccard: float) -> None:
    candidates, candidate, positives, positive = random_world(1)
    found = near_duplicates(candidates, candidate, positives, positive, jaccard)
    a, b = [shingle_set(text) for text in candidates], [shingle_set(text) for text in positives]
    expected = [
        bool(a[i] | b[j]) and len(a[i] & b[j]) / len(a[i] | b[j]) >= jaccard
        for i, j in zip(candidate.tolist(), positive.tolist(), strict=True)
    ]
    assert found.tolist() == expected
    assert 0 < found.sum() < len(found)


@pytest.mark.parametrize(("items", "characters", "shingle_limit"), [(1, 1, 1), (7, 500, 100), (64, 1 << 30, 1 << 30)])
def test_the_size_of_chunks_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, items: int, characters: int, shingle_limit: int
) -> None:
    world = random_world(2)
    whole = near_duplicates(*world, 0.5)
    monkeypatch.setattr(module, "_CHUNK_ITEMS", items)
    monkeypatch.setattr(module, "_CHUNK_CHARACTERS", characters)
    monkeypatch.setattr(module, "_CHUNK_SHINGLES", shingle_limit)
    assert np.array_equal(near_duplicates(*world, 0.5), whole)


def test_more_texts_and_pairs_than_one_chunk_holds() -> None:
    texts = [text_with(range(number, number + 6)) for number in range(9000)]
    both = np.arange(9000)
    assert near_duplicates(texts, both, texts, both, 1.0).all()
    assert near_duplicates(texts, both[:-1], texts, both[1:], 1 / 3).all()
    assert not near_duplicates(texts, both[:-1], texts, both[1:], 0.34).any()


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=2, max_size=6))
def test_a_text_has_the_same_shingles_in_any_company(texts: list[str]) -> None:
    offsets, values = module._sets(texts)
    for row, text in enumerate(texts):
        assert np.array_equal(values[offsets[row] : offsets[row + 1]], shingles(text))


def test_the_bound_rules_out_no_pair() -> None:
    candidates, candidate, positives, positive = random_world(3)
    one, one_size = module._sketches(candidates)
    other, other_size = module._sketches(positives)
    bound = module._upper_bound(one[candidate], one_size[candidate], other[positive], other_size[positive])
    exact = module._similarity(candidates, candidate, positives, positive)
    assert (bound >= exact).all()
    assert (bound[exact == 0] < 0.5).mean() > 0.5, "the bound rules out most pairs that have nothing in common"


def test_all_characters_of_words_of_their_own_and_all_punctuation_are_known() -> None:
    kinds = module._kinds()
    for code in range(0x80, 0x110000):
        character = chr(code)
        category = unicodedata.category(character)
        dropped = category[0] == "P" or category == "Cf"
        assert (kinds[code] == module._DROPPED) == dropped, hex(code)
        if not dropped and category != "Cn" and normalise(character) == character:
            assert (kinds[code] == module._OWN_WORD) == is_own_word(character), hex(code)


def test_hashes_are_the_same_in_every_process() -> None:
    text = "Hashes, of the same text: 東京 " + "long" * 30
    code = f"from negmine.selection.near_duplicates import shingles; print(shingles({text!r}).tolist())"
    out = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
        for env in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    ]
    assert out[0] == out[1] == f"{shingles(text).tolist()}\n"
    assert shingles("one two three four five").tolist() == [764337303498873]


def test_no_pairs() -> None:
    nothing = np.empty(0, np.int64)
    assert near_duplicates([], nothing, [], nothing, 0.8).tolist() == []
    assert near_duplicates(["a"], nothing, [], nothing, 0.8).tolist() == []


@pytest.mark.parametrize("jaccard", [0.0, -0.5, 1.01, float("nan")])
def test_a_threshold_outside_its_range_is_refused(jaccard: float) -> None:
    with pytest.raises(ValueError, match="jaccard must be above 0 and at most 1"):
        is_near("a", "a", jaccard)


def test_pairs_must_be_complete() -> None:
    with pytest.raises(ValueError, match="2 candidates for 1 positives"):
        near_duplicates(["a"], np.array([0, 0]), ["a"], np.array([0]), 0.8)
