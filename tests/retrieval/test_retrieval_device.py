"""Whatever proposes candidates, on whatever device, the results of exact search have the same bytes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_retrieval_exact import assert_equals_brute_force, blocks_of, brute_force, data

from negmine.config import config_from_dict
from negmine.errors import ConfigError
from negmine.retrieval import device
from negmine.retrieval.device import propose_with_torch
from negmine.retrieval.exact import Neighbours, search_exact
from negmine.retrieval.proposing import propose_on_cpu
from negmine.retrieval.similarity import SIMILARITIES
from negmine.stages.device import proposer


def assert_same_bytes(first: Neighbours, second: Neighbours) -> None:
    for name in ("query", "passage", "score"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes(), name


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("kind", ["plain", "all equal", "ties", "twins", "tiny gaps", "huge"])
@pytest.mark.parametrize("rows", [64, 10_000])
def test_torch_finds_what_the_cpu_finds(kind: str, similarity: str, rows: int) -> None:
    """The same ids and scores as the other implementation and as brute force."""
    queries, passages = data(kind, similarity)
    depth = np.random.default_rng(1).integers(1, 90, len(queries))
    found = [
        search_exact(queries, blocks_of(passages, rows), depth, len(passages), similarity, None, propose)
        for propose in (propose_on_cpu, propose_with_torch("cpu"))
    ]
    assert_same_bytes(*found)
    expected = np.concatenate([order for order, _ in brute_force(queries, passages, depth, similarity)])
    np.testing.assert_array_equal(found[1].passage, expected)


def test_a_device_without_enough_memory_is_given_less_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are halved until they fit, also where one group of queries was done before."""
    queries, passages = data("plain", "cosine")
    depth = np.where(np.arange(len(queries)) % 3, 10, 300)
    sizes, values = [], device._Group._values

    def scarce(group: device._Group, part: torch.Tensor) -> torch.Tensor:
        sizes.append(len(part))
        if len(part) * group.width > 30_000:
            raise torch.cuda.OutOfMemoryError("no memory")
        return values(group, part)

    monkeypatch.setattr(device._Group, "_values", scarce)
    monkeypatch.setattr(device, "_PASSAGES", (8, 600))
    blocks = blocks_of(passages, 350)
    found = search_exact(queries, blocks, depth, len(passages), "cosine", None, propose_with_torch("cpu"))
    assert_same_bytes(found, search_exact(queries, blocks, depth, len(passages), "cosine"))
    assert max(sizes) == 350
    assert min(sizes) < 100


def test_a_device_that_never_has_enough_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(group: device._Group, part: torch.Tensor) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("no memory")

    monkeypatch.setattr(device._Group, "_values", none)
    queries, passages = data("plain", "cosine")
    with pytest.raises(torch.cuda.OutOfMemoryError, match="no memory"):
        propose_with_torch("cpu")(queries, blocks_of(passages, 100), np.full(len(queries), 5), "cosine")


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("order", ["near last", "near first", "shuffled"])
def test_passages_may_come_in_any_order(similarity: str, order: str) -> None:
    """Also in one in which each block outdoes all that came before it."""
    rng = np.random.default_rng(2)
    passages = rng.standard_normal((900, 8)).astype(np.float32)
    queries = np.repeat(passages[:1], 5, axis=0)
    far = np.square(passages - queries[0]).sum(axis=1)
    order_of = {"near last": np.argsort(-far), "near first": np.argsort(far), "shuffled": np.arange(900)}
    for rows in (32, 300):
        assert_equals_brute_force(queries, passages[order_of[order]], np.array([1, 7, 40, 200, 900]), similarity, rows)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 300), st.integers(1, 9), st.integers(1, 40), st.integers(1, 90), st.sampled_from(SIMILARITIES),
    st.sampled_from([propose_on_cpu, propose_with_torch("cpu")]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_what_is_left_out_is_no_better_than_the_floor(passages, queries, wanted, rows, similarity, propose, seed):
    """Every query has as many proposals as it wants, and no passage beside them has a value above its floor."""
    rng = np.random.default_rng(seed)
    p = rng.integers(-2, 3, (passages, 3)).astype(np.float32)
    q = rng.integers(-2, 3, (queries, 3)).astype(np.float32)
    near = propose(q, blocks_of(p, rows), np.full(queries, min(wanted, passages)), similarity)
    if similarity != "cosine":  # whose vectors have length 1
        assert near.greatest == pytest.approx(np.sqrt(np.square(p).sum(axis=1)).max(), rel=1e-6)
    for row in range(queries):
        mine = near.passage[near.query == row]
        assert len(set(mine.tolist())) == len(mine) >= min(wanted, passages)
        left = np.setdiff1d(np.arange(passages), mine)
        values = {
            "euclidean": -np.square(p - q[row]).sum(axis=1),
            "manhattan": -np.abs(p - q[row]).sum(axis=1),
        }.get(similarity, p @ q[row])
        assert (values[left] <= near.floor[row]).all()
        assert (values[mine] >= near.floor[row]).all() or np.isneginf(near.floor[row])


def a_config(device_name: str):
    sections = {"data": {"pairs": "p.jsonl"}, "embed": {"model": "m"}, "index": {"device": device_name}}
    return config_from_dict(sections)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="there is no device 'cuda:1' here"):
        proposer(a_config("cuda:1"))


def test_the_device_decides_who_proposes(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` asks torch only where a driver of a GPU is installed."""
    monkeypatch.setattr("negmine.stages.device._DRIVERS", ())
    assert proposer(a_config("cpu")) is propose_on_cpu
    assert proposer(a_config("auto")) is propose_on_cpu
    monkeypatch.setattr("negmine.stages.device._DRIVERS", ("/",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert proposer(a_config("auto")) is not propose_on_cpu
    assert proposer(a_config("cuda:0")) is not propose_on_cpu
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert proposer(a_config("auto")) is propose_on_cpu


def test_search_on_the_cpu_does_not_load_torch() -> None:
    """Importing torch takes longer than many a search."""
    code = """
import sys
from negmine.config import config_from_dict
from negmine.stages import searching, device
config = config_from_dict({"data": {"pairs": "p"}, "embed": {"model": "m"}, "index": {"device": "cpu"}})
device.proposer(config)
assert "faiss" in sys.modules and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
