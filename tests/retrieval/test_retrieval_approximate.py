"""Any faiss factory string: what it finds is scored and ordered as exact search does."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from negmine.errors import ConfigError
from negmine.retrieval.approximate import build, new_index, search_approximate, set_search_params
from negmine.retrieval.exact import search_exact

RNG = np.random.default_rng(5)
PASSAGES = RNG.standard_normal((3000, 32)).astype(np.float32)
PASSAGES /= np.linalg.norm(PASSAGES, axis=1, keepdims=True)
QUERIES = PASSAGES[:40] + 0.1 * RNG.standard_normal((40, 32)).astype(np.float32)
DEPTH = np.full(40, 20)


def blocks():
    for low in range(0, len(PASSAGES), 512):
        yield low, PASSAGES[low : low + 512]


def search(factory: str, params: str | None = None):
    index = new_index(factory, 32, "cosine")
    build(index, blocks, len(PASSAGES), seed=0)
    if params:
        set_search_params(index, params)
    return search_approximate(index, QUERIES, blocks, DEPTH, len(PASSAGES), "cosine")


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF16,Flat", "IVF16,SQ8"])
def test_searching_everything_equals_exact_search(factory: str) -> None:
    params = {"HNSW16": "efSearch=3000"}.get(factory, "nprobe=16" if factory.startswith("IVF") else None)
    found, exact = search(factory, params), search_exact(QUERIES, blocks, DEPTH, len(PASSAGES), "cosine")
    overlap = len(
        set(zip(found.query.tolist(), found.passage.tolist(), strict=True))
        & set(zip(exact.query.tolist(), exact.passage.tolist(), strict=True))
    ) / len(exact.query)
    assert overlap > 0.99


def test_scores_are_those_of_exact_search() -> None:
    found, exact = search("IVF16,PQ8", "nprobe=16"), search_exact(QUERIES, blocks, DEPTH, len(PASSAGES), "cosine")
    known = {(q, p): s for q, p, s in zip(exact.query, exact.passage, exact.score, strict=True)}
    both = [
        (known[(q, p)], s) for q, p, s in zip(found.query, found.passage, found.score, strict=True) if (q, p) in known
    ]
    assert len(both) > 100
    assert all(mine == theirs for mine, theirs in both)


def test_few_lists_searched_give_fewer_candidates_without_padding() -> None:
    found = search("IVF256,Flat", "nprobe=1")
    assert len(found.query) < DEPTH.sum()
    assert (found.passage >= 0).all()


@pytest.mark.parametrize(
    ("factory", "similarity", "message"),
    [
        ("IVF12x,Flat", "cosine", "faiss cannot build the index 'IVF12x,Flat'"),
        ("IVF16,PQ7", "cosine", "faiss cannot build the index"),
        ("Flat", "manhattan", "do not support the manhattan similarity"),
    ],
)
def test_a_wrong_factory_string_is_a_config_error(factory: str, similarity: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        new_index(factory, 32, similarity)


def test_wrong_search_params_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="cannot apply 'nprobe=4'"):
        set_search_params(new_index("Flat", 32, "dot"), "nprobe=4")
    with pytest.raises(ConfigError, match="polysemous codes"):
        set_search_params(new_index("IVF4,PQ8", 32, "dot"), "nprobe=4,ht=20")


@pytest.mark.parametrize("factory", ["PQ8", "IVF16,PQ8", "OPQ8,IVF16,PQ8", "IVF16,PQ8,RFlat", "OPQ8,PQ8,RFlat"])
def test_codes_are_not_put_in_an_order_that_no_search_uses(factory: str) -> None:
    """Which takes seconds for each byte of a code."""
    chain = [new_index(factory, 32, "cosine")]  # what is inside an index goes with it
    while not isinstance(chain[-1], faiss.IndexPQ | faiss.IndexIVFPQ):
        outer = chain[-1]
        chain.append(faiss.downcast_index(outer.index if hasattr(outer, "index") else outer.base_index))
    assert not chain[-1].do_polysemous_training


def test_more_lists_than_passages_is_a_config_error() -> None:
    index = new_index("IVF4096,Flat", 32, "cosine")
    with pytest.raises(ConfigError, match="cannot train this index on 3000 passages"):
        build(index, blocks, len(PASSAGES), seed=0)
