"""Config of the retrievers that compare words instead of vectors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from negmine.config.values import Problem, Section, found, worded
from negmine.errors import nearest

STOPWORDS = ("da", "de", "en", "en_plus", "es", "fr", "it", "ko", "nl", "no", "pt", "ru", "sv", "tr", "zh")
"""Lists that bm25s has."""

Stemmer = Literal[
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german", "greek",
    "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "porter", "portuguese",
    "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish",
]  # fmt: skip
"""Algorithms that every PyStemmer since 2.2 has."""


def _stopwords(value: Any) -> str | tuple[str, ...] | None:
    if value is None or (isinstance(value, str) and value in STOPWORDS):
        return value
    if isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
        return tuple(value)
    if isinstance(value, list | tuple):
        wrong = next(word for word in value if not isinstance(word, str))
        raise worded(f"expected a list of words, found {found(wrong)} in it", "Put it in quotes to make it text.")
    near = nearest(value, list(STOPWORDS)) if isinstance(value, str) else ""
    raise worded(
        f"expected null, a list of words or one of {', '.join(STOPWORDS)}, found {found(value)}",
        near or "Such as en, or [the, of].",
    )


def _tokenizer(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"word|char-[2-5]", value):
        return value
    raise worded(f"expected word, or char-2 to char-5, found {found(value)}")


class Bm25Config(Section):
    """How `bm25` compares words."""

    method: Literal["lucene", "robertson", "atire", "bm25l", "bm25+"] = Field(
        default="lucene", description="Variant of the formula, as in bm25s."
    )
    k1: float = Field(default=1.2, ge=0, description="How slowly a repeated word stops to count more.")
    b: float = Field(default=0.75, ge=0, le=1, description="How much long passages count less: 0 not at all.")
    delta: float | None = Field(
        default=None, ge=0, description="Of `bm25l` and `bm25+`: what a word counts at least. 0.5 when null."
    )
    tokenizer: Annotated[
        str,
        BeforeValidator(_tokenizer),
        WithJsonSchema({"type": "string", "pattern": "^(word|char-[2-5])$", "examples": ["word", "char-3"]}),
    ] = Field(
        default="word",
        description="What is compared: words of two letters or more, in lower case; or `char-2` to `char-5`: so many"
        " neighbouring letters of a word, for languages that do not put blanks between words.",
    )
    stemmer: Stemmer | None = Field(
        default=None, description="Snowball stemmer that takes endings off the words, such as `english`."
    )
    stopwords: Annotated[
        str | tuple[str, ...] | None,
        BeforeValidator(_stopwords),
        WithJsonSchema(
            {"anyOf": [{"enum": list(STOPWORDS)}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}
        ),
    ] = Field(default=None, description="Words that do not count: those of a language, such as `en`, or a list.")

    def problems(self) -> Iterator[Problem]:
        if self.delta is not None and self.method not in ("bm25l", "bm25+"):
            yield Problem(("delta",), f"applies only to bm25l and bm25+, and method is {self.method}", "Remove it.")
        for name in ("stemmer", "stopwords"):
            if self.tokenizer != "word" and getattr(self, name) is not None:
                yield Problem((name,), f"applies only to words, and tokenizer is {self.tokenizer}", "Remove it.")
