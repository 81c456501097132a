"""Batches of a model are counted as the encoder makes them, and their times fitted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import negmine
from negmine.encoders.batches import copies, equal_length
from negmine.planning import pace as module
from negmine.planning.pace import Pace, characters_per_token, fitted, measured_pace, token_lengths

COUNTING = Pace(load=9.0, call=1.0, token=0.0, square=0.0, memory=0.0, batch=0.0)


def histogram(lengths: list[int]) -> np.ndarray:
    return np.bincount(lengths).astype(np.float64)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200))
def test_calls_are_those_of_the_encoder(lengths: list[int]) -> None:
    batches = list(equal_length(np.array(lengths)))
    assert COUNTING.seconds(histogram(lengths), 1) == pytest.approx(len(batches))


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200))
def test_tokens_are_all_that_the_model_computes(lengths: list[int]) -> None:
    """Short batches are filled up; that is allowed for on average."""
    per_token = Pace(0, 0, 1.0, 0, 0, 0)
    given_tokens = sum(
        len(rows) * lengths[rows[0]] * copies(len(rows), lengths[rows[0]]) for rows in equal_length(np.array(lengths))
    )
    assert sum(lengths) <= per_token.seconds(histogram(lengths), 1) <= 2 * given_tokens


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200), st.integers(1, 64))
def test_padded_batches_have_a_number_of_texts(lengths: list[int], batch: int) -> None:
    padded = Pace(0, 1.0, 0, 0, 0, batch)
    assert padded.seconds(histogram(lengths), 1) == pytest.approx(len(lengths) / batch)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=100), st.integers(2, 20))
def test_many_equal_parts_take_as_often_as_one(lengths: list[int], parts: int) -> None:
    pace = Pace(0, 0.1, 1e-3, 1e-6, 0, 0)
    assert pace.seconds(histogram(lengths) * parts, parts) == pytest.approx(pace.seconds(histogram(lengths), 1) * parts)


def test_no_texts_take_no_time() -> None:
    assert COUNTING.seconds(np.zeros(5), 1) == 0


@given(st.floats(1e-6, 1), st.floats(1e-7, 1e-2), st.floats(1e-9, 1e-5))
def test_times_of_the_model_are_found_again(call: float, token: float, square: float) -> None:
    points = np.array([(4, 16), (64, 32), (10, 192)], np.float64)
    rows, length = points.T
    times = call + token * rows * length + square * rows * length**2
    found = fitted(points, times)
    again = found[0] + found[1] * rows * length + found[2] * rows * length**2
    assert again == pytest.approx(times, rel=1e-3)


@given(st.lists(st.floats(1e-6, 100), min_size=3, max_size=3))
def test_no_part_of_a_time_is_negative(times: list[float]) -> None:
    assert min(fitted(np.array([(4, 16), (64, 32), (10, 192)], np.float64), np.array(times))) >= 0


@given(st.lists(st.integers(0, 3000), min_size=1), st.floats(1, 8), st.one_of(st.none(), st.integers(3, 512)))
def test_lengths_in_tokens_keep_every_text(characters: list[int], per_token: float, limit: int | None) -> None:
    found = token_lengths(histogram(characters), per_token, limit)
    assert found.sum() == pytest.approx(len(characters))
    expected = Counter(min(round(n / per_token) + 2, limit or 10**9) for n in characters)
    assert {int(n): found[n] for n in np.flatnonzero(found)} == pytest.approx(dict(expected))


class Model:
    """An encoder whose time is known: nothing but a clock that it moves on."""

    similarity = "cosine"

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def encode_passages(self, texts: list[str], progress: Any = None) -> np.ndarray:
        length = len(texts[0].split()) + 2
        self.now += 0.01 + 1e-4 * len(texts) * length + 1e-7 * len(texts) * length**2
        return np.zeros((len(texts), 4), np.float32)

    encode_queries = encode_passages


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Model:
    fake = Model()
    monkeypatch.setattr(module, "load_encoder", lambda config, **how: fake)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=fake.clock))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return fake


def config(**embed: Any) -> Any:
    mapping = {"work_dir": "run", "data": {"pairs": "p.jsonl"}, "embed": {"model": "/m", "device": "cpu", **embed}}
    return negmine.config_from_dict(mapping, Path("/nowhere"))


def test_a_model_is_measured_once(model: Model) -> None:
    notes: list[str] = []
    found = measured_pace(config(), {"weights": "1"}, 256, notes.append, again=False)
    assert (found.call, found.token, found.square) == pytest.approx((0.01, 1e-4, 1e-7))
    before = model.now
    assert measured_pace(config(), {"weights": "1"}, 256, notes.append, again=False) == found
    assert model.now == before
    assert notes == ["measuring the model"]


@pytest.mark.parametrize(
    ("identity", "given_config"),
    [({"weights": "2"}, {}), ({"weights": "1"}, {"max_seq_length": 64}), ({"weights": "1"}, {"device": "auto"})],
)
def test_another_model_or_device_is_measured_for_itself(
    model: Model, identity: dict[str, str], given_config: dict[str, Any]
) -> None:
    notes: list[str] = []
    measured_pace(config(), {"weights": "1"}, 256, notes.append, again=False)
    measured_pace(config(**given_config), identity, 256, notes.append, again=False)
    assert len(notes) == 2


def test_a_tokenizer_tells_the_length_of_tokens(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"dock": 0, "gate": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert characters_per_token(tmp_path, ["dock gate", "dock"]) == pytest.approx(13 / 3)


@pytest.mark.parametrize("content", [None, "", "{}", "[1, 2"])
def test_without_a_tokenizer_nothing_is_told(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    assert characters_per_token(tmp_path, ["dock gate"]) is None
