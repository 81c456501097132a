"""Batches of texts of one length: nothing is padded, and no vector depends on its company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmine.encoders.batches import by_characters, copies, equal_length
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder, Settings

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=60).map(np.array)


@given(lengths=LENGTHS, rows=st.none() | st.integers(1, 9), tokens=st.integers(1, 200))
def test_batches_hold_every_text_once_with_its_like_longest_first(lengths: Any, rows: Any, tokens: int) -> None:
    batches = list(equal_length(lengths, rows, tokens))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    of_batches = [set(lengths[batch].tolist()) for batch in batches]
    assert all(len(found) == 1 for found in of_batches)
    tall = [found.pop() for found in of_batches]
    assert tall == sorted(tall, reverse=True)
    assert all(len(b) == 1 or (len(b) * n <= tokens and len(b) <= (rows or len(b))) for b, n in zip(batches, tall))  # noqa: B905  equal by construction


@given(lengths=LENGTHS, tokens=st.integers(1, 200))
def test_a_batch_is_as_large_as_it_may_be(lengths: Any, tokens: int) -> None:
    for length in set(lengths.tolist()):
        sizes = [len(batch) for batch in equal_length(lengths, None, tokens) if lengths[batch[0]] == length]
        assert all(size == max(tokens // max(length, 1), 1) for size in sizes[:-1])


@given(rows=st.integers(1, 200), length=st.integers(0, 300), least=st.integers(1, 100))
def test_copies_fill_up_a_batch_and_not_more(rows: int, length: int, least: int) -> None:
    times, tokens = copies(rows, length, least), max(rows * length, 1)
    assert (times == 1 and tokens >= least) or (times - 1) * tokens < least <= times * tokens


@given(characters=LENGTHS, rows=st.integers(1, 9))
def test_pieces_by_characters_are_full_and_sorted(characters: Any, rows: int) -> None:
    pieces = list(by_characters(characters, rows))
    order = np.concatenate(pieces)
    assert sorted(order.tolist()) == list(range(len(characters)))
    assert (np.diff(characters[order]) <= 0).all()
    assert [len(piece) for piece in pieces[:-1]] == [rows] * (len(pieces) - 1)


def texts(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcde fghij klmno"), rng.integers(1, 90))) + f" {i}" for i in range(count)]


@pytest.mark.parametrize("model", ["bert_model", "static_model", "router_model"])
def test_a_vector_has_the_same_bits_in_any_company(model: str, request: pytest.FixtureRequest) -> None:
    """Alone, in small groups, and all together."""
    encoder = SentenceTransformerEncoder(request.getfixturevalue(model), Settings(device="cpu"))
    given = texts(120)
    whole = encoder.encode_passages(given)
    rng = np.random.default_rng(1)
    for size in (1, 1, 1, 2, 3, 5, 17, 60, 119):
        chosen = rng.choice(len(given), size, replace=False)
        assert (encoder.encode_passages([given[row] for row in chosen]) == whole[chosen]).all()


def test_nothing_is_padded(bert_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SentenceTransformerEncoder(bert_model, Settings(device="cpu"))
    real, masks = encoder._model.forward, []
    monkeypatch.setattr(
        encoder._model, "forward", lambda found, **k: masks.append(found["attention_mask"].clone()) or real(found, **k)
    )
    encoder.encode_queries(texts(50))
    assert len(masks) > 5
    assert all(bool((mask == 1).all()) for mask in masks)


def test_progress_adds_up_to_the_texts(bert_model: Path) -> None:
    steps: list[int] = []
    SentenceTransformerEncoder(bert_model, Settings(device="cpu")).encode_passages(texts(30), steps.append)
    assert sum(steps) == 30
    assert len(steps) > 1
