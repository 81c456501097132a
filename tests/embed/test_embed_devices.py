"""The embed stage on several devices: the files of one, and no process outlives the stage."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

import negmine
from negmine.encoders import sentence_transformer
from negmine.errors import InputError
from negmine.planning import pace
from negmine.stages.embed.encoding import gpus_at_once, load_encoder


@pytest.mark.slow
def test_the_files_are_those_of_one_device(bert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bert.run("one", part_rows=30)
    started = []
    real = sentence_transformer.Workers
    monkeypatch.setattr(
        sentence_transformer, "Workers", lambda model, devices: started.append(devices) or real(model, devices)
    )
    manifest = bert.run("two", part_rows=30, device=["cpu", "cpu"])
    assert started == [("cpu", "cpu")]  # once for all parts of both kinds
    assert bert.bytes("two") == bert.bytes("one")
    assert multiprocessing.active_children() == []
    again = next(status for status in negmine.status(bert.config("two", part_rows=30)) if status.stage == "embed")
    assert (again.state, again.manifest) == ("current", manifest)


def test_a_stage_that_fails_closes_its_encoder(bert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    kind = sentence_transformer.SentenceTransformerEncoder

    def close(self: Any) -> None:
        closed.append(self)

    def fail(self: Any, texts: list[str], progress: Any) -> Any:
        raise InputError("no")

    monkeypatch.setattr(kind, "close", close)
    monkeypatch.setattr(kind, "encode_queries", fail)
    with pytest.raises(InputError, match="no"):
        bert.run()
    assert len(closed) == 1


def test_static_embeddings_on_several_devices_are_refused(data: Any, fails: Any) -> None:
    with fails("embed.device: a model of static embeddings .* Name a single device, such as cpu", 3):
        data.run(device=["cpu", "cpu"])


@pytest.mark.parametrize("together", [1, 3])
def test_a_plan_measures_as_many_batches_as_are_computed_at_once(
    bert: Any, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """So many of the size asked for, and the share of one of them in their time."""
    given: list[int] = []
    monkeypatch.setattr(sentence_transformer, "at_once", lambda threads: together)

    def side_by_side(compute: Any, calls: Any) -> Any:
        given.append(len(calls))
        return [(call, compute(call)) for call in calls]

    monkeypatch.setattr(sentence_transformer, "side_by_side", side_by_side)
    monkeypatch.setattr(pace, "fastest", lambda work, times: work() is None or 6.0)
    encoder = load_encoder(bert.config())
    assert pace._batch_seconds(encoder, 8, 32) == 6.0 / together
    assert given == [together]


def test_an_encoder_alone_is_on_the_first_device(bert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_transformer, "Workers", lambda *a: pytest.fail("processes were started"))
    config = bert.config(device=["cpu", "cpu"])
    assert load_encoder(config, alone=True).encode_passages(["a text"]).shape == (1, 32)
    assert gpus_at_once(config) == 1
    assert gpus_at_once(bert.config(device=["cuda:0", "cuda:1"])) == 2


@pytest.mark.parametrize(("kind", "expected"), [("local", 2), ("ray", 1)])
def test_auto_is_all_gpus_here_and_one_in_a_cluster(
    kind: str, expected: int, bert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    config = bert.config(device="auto")
    config = config.model_copy(update={"engine": config.engine.model_copy(update={"kind": kind})})
    assert gpus_at_once(config) == expected
