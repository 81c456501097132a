"""Estimates grow with what there is to do, and shrink with a faster machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import negmine
from negmine.planning.costs import ESTIMATES
from negmine.planning.facts import Embedding, Facts
from negmine.planning.machine import Machine
from negmine.planning.workload import Texts, Workload

MACHINE = Machine(2, 1.0, 1e9, 1e11, 1e9, 1e9, 1e-3)
SLOWER = Machine(2, 0.5, 5e8, 5e10, 5e8, 5e8, 2e-3)


def texts(count: int, characters: int = 100) -> Texts:
    return Texts(count, count * characters, np.bincount([characters], weights=[count]))


def facts(
    passages: int = 10_000,
    queries: int = 1_000,
    k: int = 100,
    dimension: int = 64,
    characters: int = 100,
    machine: Machine = MACHINE,
    **sections: Any,
) -> Facts:
    mapping = {
        "work_dir": "run",
        "data": {"pairs": "pairs.jsonl"},
        "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}},
        "mine": {"k": k},
        **sections,
    }
    config = negmine.config_from_dict(mapping, Path("/nowhere"))
    work = Workload(texts(passages, characters), texts(queries), queries, passages + queries, True, passages)
    return Facts(config, work, machine, None, dimension)


def costs(given_facts: Facts) -> np.ndarray:
    """Seconds, memory and disk of all stages (6, 3)."""
    found = [estimate(given_facts) for estimate in ESTIMATES.values()]
    return np.array([[e.seconds, e.memory_bytes, e.disk_bytes] for e in found], np.float64)


SIZES = st.fixed_dictionaries(
    {
        "passages": st.integers(100, 10**7),
        "queries": st.integers(1, 10**6),
        "k": st.integers(5, 90),
        "dimension": st.integers(2, 4096),
        "characters": st.integers(1, 10_000),
    }
)


@given(SIZES, st.sampled_from(["passages", "queries", "k", "dimension", "characters"]), st.integers(1, 50))
def test_more_of_anything_costs_no_less(sizes: dict[str, int], name: str, times: int) -> None:
    more = {**sizes, name: sizes[name] * times}
    assert (costs(facts(**more)) >= costs(facts(**sizes)) * (1 - 1e-9) - 1).all()


@given(SIZES)
def test_a_slower_machine_takes_longer_and_as_much_room(sizes: dict[str, int]) -> None:
    fast, slow = costs(facts(**sizes)), costs(facts(**sizes, machine=SLOWER))
    assert (slow[:, 0] > fast[:, 0]).all()
    assert (slow[:, 1:] == fast[:, 1:]).all()


@pytest.mark.parametrize("name", ["passages", "queries", "dimension"])
def test_search_of_large_sizes_grows_in_proportion(name: str) -> None:
    sizes = {"passages": 10**6, "queries": 10**5, "dimension": 384, "k": 10}
    one, two = (ESTIMATES["mine"](facts(**{**sizes, name: sizes[name] * n})).seconds for n in (1, 2))
    assert one is not None
    assert two is not None
    assert 1.9 < two / one < 2.1


def test_search_takes_what_its_rate_says() -> None:
    found = ESTIMATES["mine"](facts(10**6, 10**5, 10, 384)).seconds
    assert found == pytest.approx(2 * 384 * 10**11 / MACHINE.search_flops, rel=0.1)


@given(st.integers(10**4, 10**8), st.integers(1, 10**6), st.integers(2, 4096))
def test_memory_of_mine_stays_in_the_limit(passages: int, queries: int, dimension: int) -> None:
    """But for the vectors of one part's queries, which have no block."""
    found = ESTIMATES["mine"](facts(passages, queries, 1000, dimension, memory_limit="1GB")).memory_bytes
    assert found is not None
    assert found - 2 * 4096 * dimension * 4 <= 1e9


def test_less_memory_means_more_passes() -> None:
    small, large = (
        ESTIMATES["mine"](facts(10**6, 10**4, 1000, 64, memory_limit=limit)).seconds for limit in ("64MB", "8GB")
    )
    assert small is not None
    assert large is not None
    assert small > large


def test_half_precision_halves_the_matrix() -> None:
    vectors = {"corpus": "c.npy", "queries": "q.npy"}
    whole, half = (
        ESTIMATES["index"](facts(embed={"vectors": vectors, "store_dtype": kind})).disk_bytes
        for kind in ("float32", "float16")
    )
    assert whole == 10_000 * 64 * 4
    assert half == 10_000 * 64 * 2


def test_an_index_with_lists_is_estimated_and_a_graph_is_not() -> None:
    exact = ESTIMATES["index"](facts())
    lists = ESTIMATES["index"](facts(index={"dense": "IVF64,Flat"}))
    graph = ESTIMATES["index"](facts(index={"dense": "HNSW16"}))
    assert (lists.seconds or 0) > (exact.seconds or 0)
    assert graph.seconds is None
    assert (graph.disk_bytes or 0) > (exact.disk_bytes or 0)
    assert ESTIMATES["mine"](facts(index={"dense": "IVF64,Flat"})).seconds is not None
    assert ESTIMATES["mine"](facts(index={"dense": "HNSW16"})).seconds is None


def test_an_index_that_cannot_be_built_is_not_estimated() -> None:
    assert ESTIMATES["index"](facts(dimension=63, index={"dense": "IVF64,PQ8"})).seconds is None


def test_every_export_file_costs() -> None:
    one = [{"format": "triplet", "file": "a.jsonl"}]
    two = [*one, {"format": "n-tuple", "file": "b.jsonl"}]
    first, second = (ESTIMATES["export"](facts(export=export)) for export in (one, two))
    assert (second.disk_bytes or 0) > (first.disk_bytes or 0)
    assert (second.seconds or 0) > (first.seconds or 0)
    assert (second.tasks, first.tasks) == (4, 3)


def test_embed_takes_what_its_model_takes() -> None:
    sections = {"embed": {"model": "/nowhere/model"}}
    known = replace(facts(**sections), embedding=Embedding(11_000, 50.0, 5.0, 10**9))
    found = ESTIMATES["embed"](known)
    assert found.seconds == pytest.approx(50, abs=1)
    assert found.apart == 5.0
    unknown = replace(known, embedding=Embedding(11_000))
    assert ESTIMATES["embed"](unknown).seconds is None
