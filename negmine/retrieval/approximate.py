"""Approximate nearest passages through a faiss index of any factory string."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from negmine.errors import ConfigError
from negmine.retrieval.exact import Neighbours, group_by_depth, rank_and_cut
from negmine.retrieval.similarity import Blocks, score_pairs

_TRAIN_ROWS = 262_144


def new_index(factory: str, dimension: int, similarity: str) -> Any:
    """An empty index. Raises ConfigError when faiss does not know the factory string."""
    if similarity == "manhattan":
        raise ConfigError("approximate indexes do not support the manhattan similarity", where="index.dense")
    metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
    try:
        return faiss.index_factory(dimension, factory, metric)
    except RuntimeError as error:
        cause = str(error).split("could not parse")[-1].split("\n")[0][-120:].strip()
        raise ConfigError(
            f"faiss cannot build the index '{factory}' for {dimension} dimensions ({cause})",
            where="index.dense",
            hint="Use exact, or a factory string such as IVF1024,Flat.",
        ) from error


def set_search_params(index: Any, params: str) -> None:
    """Apply a faiss parameter string such as ``nprobe=32``. Raises ConfigError when it does not fit."""
    try:
        space: Any = faiss.ParameterSpace()
        space.set_index_parameters(index, params)
    except RuntimeError as error:
        raise ConfigError(f"faiss cannot apply '{params}' to this index", where="index.search_params") from error


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
        wanted = min(passages, _TRAIN_ROWS)
        rows = np.sort(np.random.default_rng(seed).choice(passages, wanted, replace=False))
        sample = [v[rows[np.searchsorted(rows, s) : np.searchsorted(rows, s + len(v))] - s] for s, v in blocks()]
        try:
            index.train(np.concatenate(sample))
        except RuntimeError as error:
            raise ConfigError(
                f"faiss cannot train this index on {passages} passages"
                f" ({str(error).split('failed: ')[-1].splitlines()[0][:160]})",
                where="index.dense",
                hint="Use fewer lists, or exact.",
            ) from error
    for _, vectors in blocks():
        index.add(vectors)


def search_approximate(
    index: Any, query_vectors: np.ndarray, blocks: Blocks, depth: np.ndarray, passages: int, similarity: str
) -> Neighbours:
    """As ``search_exact``, among what the index proposes: it is asked for a quarter more than
    the depth and what it returns is scored anew from the stored vectors."""
    depth = np.minimum(depth, passages)
    fetch = np.minimum(depth + np.maximum(depth // 4, 16), passages)
    query, passage = [], []
    for rows, width in group_by_depth(fetch):
        _, found = index.search(np.ascontiguousarray(query_vectors[rows]), width)
        query.append(np.repeat(rows, width))
        passage.append(found.ravel())
    joined_query, joined = np.concatenate(query), np.concatenate(passage)
    there = joined >= 0
    joined_query, joined = joined_query[there], joined[there]
    scores = score_pairs(query_vectors, blocks, joined_query, joined, similarity)
    return rank_and_cut(joined_query, joined, scores, depth)
