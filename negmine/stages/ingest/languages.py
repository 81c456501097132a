"""Scripts and languages of a sample of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import regex

LEAST_CERTAIN = 0.5
"""Probability of the likeliest language below which a text counts as ``unsure``."""
UNSURE = "unsure"
NO_LETTERS = "none"
OTHER = "other"
_SCRIPTS = (
    *("Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Han", "Hiragana", "Katakana", "Bopomofo", "Hangul"),
    *("Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala"),
    *("Thai", "Lao", "Tibetan", "Myanmar", "Khmer", "Georgian", "Armenian", "Ethiopic", "Mongolian", "Cherokee"),
    *("Syriac", "Thaana"),
)
_RUNS = regex.compile("|".join(rf"(?P<{name}>\p{{Script={name}}}+)" for name in _SCRIPTS) + r"|(?P<other>\p{L})")


def script(text: str) -> str:
    """The script that most letters of a text are in; ``other`` for one that has no name here."""
    counts: Counter[str] = Counter()
    for match in _RUNS.finditer(text):
        counts[str(match.lastgroup)] += match.end() - match.start()
    return min(counts, key=lambda name: (-counts[name], name)) if counts else NO_LETTERS


def scripts(texts: Sequence[str]) -> dict[str, float]:
    """Share of the texts in each script, the most frequent first."""
    return _shares([script(text) for text in texts])


def languages(texts: Sequence[str]) -> dict[str, float]:
    """Share of the texts in each language (ISO 639 codes), the most frequent first.

    py3langid tells them: naive Bayes over byte n-grams (Lui & Baldwin, 2012), 139 languages.
    """
    identifier = load_identifier()
    found = (identifier.classify(text) for text in texts)
    return _shares([language if certain >= LEAST_CERTAIN else UNSURE for language, certain in found])


def load_identifier() -> Any:
    """The identifier; its model takes two thirds of a second to load, and some 75 MB while it is in use."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _shares(names: Sequence[str]) -> dict[str, float]:
    counts = Counter(names)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    return {name: round(counts[name] / len(names), 4) for name in ordered}
