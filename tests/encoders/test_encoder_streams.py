"""Batches at the same time on the cores of a processor: the bytes of one after the other, and nothing left set."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from negmine.encoders import sentence_transformer, streams
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder, Settings
from negmine.encoders.streams import MOST, at_once, independent, reading_in_turn, side_by_side


@pytest.fixture
def threads() -> Iterator[Any]:
    """Sets the threads of torch, as long as the test lasts."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_threads_are_shared_with_few_left_over() -> None:
    for count in range(1, 130):
        batches = at_once(count)
        each = count // batches
        assert 1 <= batches <= MOST
        assert count - batches * each <= each
        assert batches == count or batches >= MOST / 2


@pytest.mark.parametrize("count", [2, 4, 16])
def test_batches_run_at_the_same_time_on_their_share(threads: Any, count: int) -> None:
    threads(count)
    together = threading.Barrier(at_once(count), timeout=20)

    def compute(call: int) -> tuple[int, int]:
        together.wait()
        return call * call, torch.get_num_threads()

    found = dict(side_by_side(compute, range(2 * at_once(count))))
    assert found == {call: (call * call, count // at_once(count)) for call in range(2 * at_once(count))}
    assert torch.get_num_threads() == count
    new: list[int] = []
    thread = threading.Thread(target=lambda: new.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert new == [count]  # also for threads that begin later


@pytest.mark.parametrize(("count", "calls"), [(1, 5), (4, 3), (4, 0)])
def test_few_batches_have_all_threads_one_after_the_other(threads: Any, count: int, calls: int) -> None:
    threads(count)
    here = threading.get_ident()
    found = list(side_by_side(lambda call: (threading.get_ident(), torch.get_num_threads()), range(calls)))
    assert found == [(call, (here, count)) for call in range(calls)]


def test_after_an_error_no_more_begin(threads: Any) -> None:
    threads(2)
    begun: list[int] = []

    def compute(call: int) -> int:
        begun.append(call)
        if call == 1:
            raise ValueError("call 1")
        time.sleep(0.05)
        return call

    with pytest.raises(ValueError, match="call 1"):
        list(side_by_side(compute, range(200)))
    assert len(begun) < 20
    assert torch.get_num_threads() == 2


def test_a_caller_that_stops_ends_the_rest(threads: Any) -> None:
    threads(2)
    begun: list[int] = []
    found = side_by_side(lambda call: begun.append(call) or time.sleep(0.02), range(200))
    next(found)
    found.close()
    assert len(begun) < 20
    assert torch.get_num_threads() == 2


def test_texts_are_read_by_one_thread_at_a_time() -> None:
    class Reader:
        inside = greatest = 0

        def read(self, text: str, *, task: str) -> str:
            self.inside += 1
            self.greatest = max(self.greatest, self.inside)
            time.sleep(0.01)
            self.inside -= 1
            return f"{task}: {text}"

    model = Reader()
    found: list[str] = []
    with reading_in_turn(model, "read"):
        each = [threading.Thread(target=lambda: found.append(model.read("a", task="query"))) for _ in range(8)]
        for thread in each:
            thread.start()
        for thread in each:
            thread.join()
    assert (model.greatest, found) == (1, ["query: a"] * 8)
    assert "read" not in vars(model)


@pytest.mark.parametrize(
    ("kind", "alone"),
    [("default", False), ("llama3", False), ("dynamic", True), ("longrope", True), ({"full": "dynamic"}, True)],
)
def test_positions_that_follow_the_length_make_calls_depend_on_each_other(kind: Any, alone: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    assert independent(model, own_code=False)
    assert not independent(model, own_code=True)
    model[1].rope_type = kind
    assert independent(model, own_code=False) is not alone


def _texts(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("abcde fghij klmno"), rng.integers(1, 90))) + f" {i}" for i in range(count)]


@pytest.mark.parametrize("model", ["bert_model", "router_model"])
@pytest.mark.parametrize("method", ["encode_queries", "encode_passages"])
def test_the_vectors_are_those_of_one_thread(
    threads: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, model: str, method: str
) -> None:
    """On more threads than batches fit evenly, again and again, with prompts."""
    monkeypatch.setattr(SentenceTransformerEncoder, "tokens", 128)
    folder = request.getfixturevalue(model)
    before = torch.get_num_threads()
    found = []
    for count in (1, 2, 3, 5):
        steps: list[int] = []
        encoder = SentenceTransformerEncoder(folder, Settings(threads=count))
        found.append(getattr(encoder, method)(_texts(300), steps.append).tobytes())
        assert sum(steps) == 300
    torch.set_num_threads(before)
    assert set(found) == {found[0]}


@pytest.mark.parametrize("how", [{}, {"trust_remote_code": True}, {"backend": "onnx"}])
def test_what_is_not_known_to_be_safe_is_done_one_after_the_other(
    threads: Any, monkeypatch: pytest.MonkeyPatch, bert_model: Path, how: dict[str, Any]
) -> None:
    """Code of a model's own may keep things from one call to the next."""
    calls: list[int] = []
    monkeypatch.setattr(
        sentence_transformer,
        "side_by_side",
        lambda compute, given: calls.append(len(given)) or streams.side_by_side(compute, given),
    )
    encoder = SentenceTransformerEncoder(bert_model, Settings(threads=2))
    monkeypatch.setattr(encoder, "_settings", Settings(threads=2, **how))
    threads(2)
    encoder.encode_passages(_texts(40))
    assert bool(calls) is not bool(how)
    assert encoder.at_once == (1 if how else 2)
