"""Texts that are longer than the model reads are counted, also those whose vectors are taken over."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq
import pytest

from negmine.encoders.lengths import cut_off
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder, Settings

LIMIT = 43


def whole_tokens(encoder: SentenceTransformerEncoder, text: str) -> int:
    """Tokens of a text by a look at every one of them."""
    return len(encoder._model.tokenizer(text, truncation=False)["input_ids"])


def counts(manifest: Any) -> tuple[int, int]:
    return manifest.counts["truncated_passages"], manifest.counts["truncated_queries"]


def flags(data: Any) -> list[bool]:
    return [flag for path in data.parts() for flag in pq.read_table(path)["cut_off"].to_pylist()]


def test_texts_beyond_the_limit_are_counted_with_their_prompts(bert: Any) -> None:
    encoder = SentenceTransformerEncoder(bert.model, Settings(device="cpu"))
    lengths = [whole_tokens(encoder, f"passage: {text}") for text in bert.corpus.values()]
    manifest = bert.run(max_seq_length=LIMIT)
    assert flags(bert) == [length > LIMIT for length in lengths]
    assert 0 < counts(manifest)[0] < len(lengths)
    assert LIMIT in lengths  # exactly as many are read to the end
    assert counts(bert.run("other")) == (0, 0)


def test_what_is_taken_over_is_counted_too(bert: Any) -> None:
    first = counts(bert.run(max_seq_length=LIMIT))
    bert.corpus["new"] = "dock " * 30
    manifest = bert.run(max_seq_length=LIMIT, part_rows=16)
    assert manifest.counts["reused"] == 62
    assert counts(manifest) == (first[0] + 1, first[1])
    assert counts(bert.run("fresh", max_seq_length=LIMIT)) == counts(manifest)


def test_a_model_without_a_limit_truncates_nothing(data: Any) -> None:
    data.corpus["long"] = "dock " * 5000
    assert counts(data.run()) == (0, 0)


@pytest.mark.parametrize("text", ["ﷺ" * 7, "e\u0301" * 9, "a" * 400, "の" * 30, "x"])
def test_no_text_is_passed_over_for_looking_short(bert_model: Any, text: str) -> None:
    """What a tokenizer makes of compatibility characters is longer than they are."""
    encoder = SentenceTransformerEncoder(bert_model, Settings(device="cpu", max_seq_length=LIMIT))
    found = cut_off(encoder._model, "document", [text, "x"])
    assert found.tolist() == [whole_tokens(encoder, text) > LIMIT, False]
