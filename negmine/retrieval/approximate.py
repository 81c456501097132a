"""Approximate nearest passages through a faiss index of any factory string."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np

from negmine.errors import ConfigError
from negmine.retrieval.evidence import Closeness
from negmine.retrieval.exact import Neighbours, rank_and_cut, scored
from negmine.retrieval.proposing import group_by_depth
from negmine.retrieval.similarity import Blocks

_TRAIN_ROWS = 262_144


def new_index(factory: str, dimension: int, similarity: str) -> Any:
    """An empty index. Raises ConfigError when faiss does not know the factory string."""
    if similarity == "manhattan":
        raise ConfigError("approximate indexes do not support the manhattan similarity", where="index.dense")
    metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
    try:
        index = faiss.index_factory(dimension, factory, metric)
    except RuntimeError as error:
        cause = str(error).split("could not parse")[-1].split("\n")[0][-120:].strip()
        raise ConfigError(
            f"faiss cannot build the index '{factory}' for {dimension} dimensions ({cause})",
            where="index.dense",
            hint="Use exact, or a factory string such as IVF1024,Flat.",
        ) from error
    inner = _inner(index)
    if hasattr(inner, "do_polysemous_training"):
        # An order of the codes that only a search with ``ht`` makes use of takes seconds for each byte of a code.
        inner.do_polysemous_training = False
    return index


def _inner(index: Any) -> Any:
    """What stores the vectors, behind transformations of them and beside what refines the result."""
    while isinstance(index, faiss.IndexPreTransform | faiss.IndexRefine):
        index = faiss.downcast_index(index.index if isinstance(index, faiss.IndexPreTransform) else index.base_index)
    return index


def set_search_params(index: Any, params: str) -> None:
    """Apply a faiss parameter string such as ``nprobe=32``. Raises ConfigError when it does not fit."""
    if re.search(r"\bht\s*=", params):
        raise ConfigError(
            f"'{params}' filters by polysemous codes (ht), which are not trained",
            where="index.search_params",
            hint="Leave out ht.",
        )
    try:
        space: Any = faiss.ParameterSpace()
        space.set_index_parameters(index, params)
    except RuntimeError as error:
        raise ConfigError(f"faiss cannot apply '{params}' to this index", where="index.search_params") from error


FETCH = "fetch_percent"
"""Passages that are asked of an index and scored anew, in percent of the depth."""
FETCHES = (125, 200, 400, 800)


def widening(index: Any, *, fixed: bool) -> list[dict[str, int]]:
    """Search parameters to try, cheapest first; nothing to set when they are ``fixed``, or the
    index has none."""
    space: Any = faiss.ParameterSpace()
    space.initialize(index)
    ranges = {
        space.parameter_ranges.at(i).name: space.parameter_ranges.at(i) for i in range(space.parameter_ranges.size())
    }
    if fixed:
        return [{}]
    if "nprobe" in ranges:
        lists = _inverted(index).nlist
        return [{"nprobe": value} for value in sorted({*(2**power for power in range(17) if 2**power < lists), lists})]
    if "efSearch" in ranges:
        return [{"efSearch": 2**power} for power in range(5, 14)]
    return [{}]


def _inverted(index: Any) -> Any:
    return faiss.extract_index_ivf(index)


def index_bytes(index: Any, passages: int) -> int:
    """Memory that an index of so many passages takes, without what is in the lists' centres."""
    try:
        code = index.sa_code_size()
    except RuntimeError:  # it has no code of its own
        code = 4 * index.d
    inner = _inner(index)
    links = 4 * _links(inner.hnsw) + 16 if isinstance(inner, faiss.IndexHNSW) else 0
    return int(passages * (code + links + 8))


def _links(graph: Any) -> int:
    """Neighbours that a passage may have on the lowest level, where all are."""
    return int(graph.nb_neighbors(0))


def sampled(blocks: Blocks, passages: int, wanted: int, seed: int) -> np.ndarray:
    """Vectors of ``wanted`` passages (all when there are fewer), drawn by ``seed``: float32 (w, d)."""
    wanted = min(passages, wanted)
    rows = np.sort(np.random.default_rng(seed).choice(passages, wanted, replace=False))
    found: np.ndarray | None = None
    for start, vectors in blocks():
        if found is None:
            found = np.empty((wanted, vectors.shape[1]), np.float32)
        low, high = np.searchsorted(rows, [start, start + len(vectors)])
        found[low:high] = vectors[rows[low:high] - start]
    assert found is not None
    return found


def build(index: Any, blocks: Blocks, passages: int, seed: int) -> None:
    """Train ``index`` on a seeded sample and add all passages, block by block.

    Raises ConfigError when there are too few passages to train on.
    """
    if isinstance(index, faiss.IndexPreTransform) and passages < index.d:
        # Training a rotation on fewer vectors than dimensions ends the process inside faiss.
        raise ConfigError(
            f"this index rotates vectors of {index.d} dimensions, which takes as many passages to train on,"
            f" and there are {passages}",
            where="index.dense",
            hint="Leave out OPQ or PCA, or use exact.",
        )
    if not index.is_trained:
        sample = sampled(blocks, passages, _TRAIN_ROWS, seed)
        try:
            with _one_thread():
                index.train(sample)
        except RuntimeError as error:
            raise ConfigError(
                f"faiss cannot train this index on {passages} passages"
                f" ({str(error).split('failed: ')[-1].splitlines()[0][:160]})",
                where="index.dense",
                hint="Use fewer lists, or exact.",
            ) from error
    # A graph grows by what is in it already: on several threads it would be another one each time.
    with contextlib.nullcontext() if _by_blocks(index) else _one_thread():
        for _, vectors in blocks():
            index.add(vectors)


def _by_blocks(index: Any) -> bool:
    """Whether adding vectors on several threads gives the same index as on one."""
    return isinstance(_inner(index), faiss.IndexFlat | faiss.IndexIVF | faiss.IndexScalarQuantizer | faiss.IndexPQ)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums over vectors depend on how threads share them."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def search_approximate(
    index: Any,
    query_vectors: np.ndarray,
    blocks: Blocks,
    depth: np.ndarray,
    passages: int,
    similarity: str,
    closeness: Closeness | None = None,
    fetch: int = FETCHES[0],
) -> Neighbours:
    """As ``search_exact``, among what the index proposes: it is asked for ``fetch`` percent of
    the depth and what it returns is scored anew from the stored vectors."""
    depth = np.minimum(depth, passages)
    asked = np.minimum(depth + np.maximum(depth * (fetch - 100) // 100, 16), passages)
    query, passage = [], []
    for rows, width in group_by_depth(asked):
        _, found = index.search(np.ascontiguousarray(query_vectors[rows]), width)
        query.append(np.repeat(rows, width))
        passage.append(found.ravel())
    joined_query, joined = np.concatenate(query), np.concatenate(passage)
    there = joined >= 0
    joined_query, joined = joined_query[there], joined[there]
    return rank_and_cut(scored(query_vectors, blocks, joined_query, joined, similarity, closeness), depth)
