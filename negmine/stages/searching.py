"""The search that a run's index stands for: which one, with which parameters, at which recall.

Recall needs the queries, so it is measured where they are searched: the index stays the same when
only queries change.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, NoReturn

import numpy as np

from negmine.errors import ConfigError
from negmine.retrieval.evidence import Closeness
from negmine.retrieval.exact import Neighbours, search_exact
from negmine.retrieval.recall import Measured, draw_queries, fewest_lists, first_that_meets
from negmine.selection.random import mix
from negmine.stages.base import Job, Run
from negmine.stages.device import proposer
from negmine.stages.texts import queries_of
from negmine.stages.vectors import block_rows, embedded, flat_vectors, similarity
from negmine.store.files import read_json, write_json
from negmine.store.tables import to_numpy
from negmine.store.vectors import FlatVectors

RECALL_FILE = "recall.json"
_MOST_PROBED = 0.5
"""Share of the lists beyond which exact search is as fast."""

Search = Callable[[np.ndarray, np.ndarray, Closeness | None], Neighbours]
"""The nearest passages of query vectors (q, d), to a depth (q,) each."""


def method(run: Run) -> Mapping[str, Any]:
    """What index made: ``method`` is exact, lists (with ``lists``) or faiss (with ``factory``)."""
    found: Mapping[str, Any] = run.manifest("index").facts["search"]
    return found


def is_measured(run: Run) -> bool:
    """Whether the search's recall is measured before it is used."""
    return method(run)["method"] != "exact" and run.config.index.recall_target is not None


def search_of(job: Job) -> Search:
    """The search, with the parameters that were found good enough where recall is measured."""
    if not is_measured(job):
        return _search(job, {})
    certificate = read_json(job.own(RECALL_FILE))
    return _exact(job) if certificate["fallback"] else _search(job, certificate["parameters"])


def certify(job: Job) -> None:
    """Find the parameters that reach index.recall_target and publish them with their recall.

    Raises ConfigError when a faiss index cannot reach it.
    """
    target = job.config.index.recall_target
    assert target is not None
    made, counts = method(job), job.manifest("ingest").counts
    k = min(job.config.mine.k, counts["passages"])
    keys = to_numpy(queries_of(job).column("id_hash"))
    rows = draw_queries(mix(job.config.seed, keys))
    vectors = _rows_of_queries(job, rows)
    depth = np.full(len(rows), k)
    exact = _exact(job)(vectors, depth, None)
    about = {"target": target, "population": len(keys), "k": k}
    tried = _lists(job, vectors, exact, about) if made["method"] == "lists" else _faiss(job, vectors, exact, about)
    reached = tried[-1]
    met = reached.lower_bound >= target
    if not met and made["method"] == "faiss":
        _refuse(job, tried, k)
    certificate = {
        **made,
        "parameters": reached.parameters,
        "k": k,
        "queries": len(rows),
        "of_queries": len(keys),
        "recall": reached.mean,
        "lower_bound": reached.lower_bound,
        "confidence": 0.95,
        "target": target,
        "fallback": not met,
    }
    job.facts["recall"] = certificate
    _passages(job).release()  # the parts search another matrix
    with job.publish(RECALL_FILE) as output:
        write_json(output.path, {**certificate, "tried": [asdict(step) for step in tried]})
        output.rows = len(rows)


def _rows_of_queries(run: Run, rows: np.ndarray) -> np.ndarray:
    """Vectors of the queries ``rows``, ascending: float32 (r, d)."""
    found, first = [], 0
    total = run.manifest("ingest").counts["distinct_queries"]
    for part in embedded(run, "queries", 0, total):
        low, high = np.searchsorted(rows, [first, first + len(part)])
        found.append(part[rows[low:high] - first].astype(np.float32))
        first += len(part)
    return np.concatenate(found)


def _passages(run: Run) -> FlatVectors:
    return run.resource("vectors", lambda: flat_vectors(run))


def _blocks(run: Run, source: FlatVectors) -> Callable[[], Iterator[tuple[int, np.ndarray]]]:
    return lambda: source.blocks(block_rows(run.config, source.dimension))


def _exact(run: Run) -> Search:
    source, propose = _passages(run), proposer(run.config)
    return lambda vectors, depth, closeness: search_exact(
        vectors, _blocks(run, source), depth, source.rows, similarity(run), closeness, propose
    )


def _search(run: Run, parameters: Mapping[str, int]) -> Search:
    made = method(run)["method"]
    if made == "exact":
        return _exact(run)
    if made == "faiss":
        return _faiss_search(run, parameters)
    from negmine.retrieval.lists import search_lists

    listed = run.resource("listed", lambda: flat_vectors(run, [run.file("index", "lists.npy")]))
    lists = _lists_of(run)
    return lambda vectors, depth, closeness: search_lists(
        vectors, lists, _blocks(run, listed), depth, similarity(run), parameters["nprobe"], closeness
    )


def _lists_of(run: Run) -> Any:
    from negmine.retrieval.lists import Lists

    def load() -> Lists:
        centroids, assigned = (np.load(run.file("index", f"{name}.npy")) for name in ("centroids", "assigned"))
        return Lists.of(centroids, assigned)

    return run.resource("lists", load)


def _lists(job: Job, vectors: np.ndarray, exact: Neighbours, about: Mapping[str, Any]) -> list[Measured]:
    from negmine.retrieval.lists import lists_in_order

    lists = _lists_of(job)
    of = np.empty(len(lists.passage), np.int64)
    of[lists.passage] = np.repeat(np.arange(len(lists.centroids)), np.diff(lists.offsets))
    place = lists_in_order(vectors, lists.centroids, similarity(job))
    most = max(int(len(lists.centroids) * _MOST_PROBED), 1)
    return fewest_lists(exact, of[exact.passage], place, most, **about)


def _faiss_index(run: Run) -> Any:
    import faiss

    return run.resource("index", lambda: faiss.read_index(os.fspath(run.file("index", "dense.faiss"))))


def _faiss_search(run: Run, parameters: Mapping[str, int]) -> Search:
    from negmine.retrieval.approximate import FETCH, search_approximate, set_search_params

    index, source = _faiss_index(run), _passages(run)
    given = run.config.index.search_params
    chosen = {name: value for name, value in parameters.items() if name != FETCH}
    for params in ([given] if given else []) + [f"{name}={value}" for name, value in chosen.items()]:
        set_search_params(index, params)
    fetch = parameters.get(FETCH)
    return lambda vectors, depth, closeness: search_approximate(
        index,
        vectors,
        _blocks(run, source),
        depth,
        source.rows,
        similarity(run),
        closeness,
        **({} if fetch is None else {"fetch": fetch}),
    )


def _faiss(job: Job, vectors: np.ndarray, exact: Neighbours, about: Mapping[str, Any]) -> list[Measured]:
    """First the search is widened with many passages fetched, then as few are fetched as suffice."""
    from negmine.retrieval.approximate import FETCH, FETCHES, widening

    depth = np.full(len(vectors), about["k"])

    def search(parameters: dict[str, int]) -> Neighbours:
        return _faiss_search(job, parameters)(vectors, depth, None)

    wide = widening(_faiss_index(job), fixed=job.config.index.search_params is not None)
    most = first_that_meets([{**step, FETCH: FETCHES[-1]} for step in wide], search, exact, **about)
    if most[-1].lower_bound < about["target"]:
        return most
    chosen = most[-1].parameters
    fewer = [{**chosen, FETCH: fetch} for fetch in FETCHES[:-1]]
    less = first_that_meets(fewer, search, exact, **about)
    return [*most, *less] if less[-1].lower_bound >= about["target"] else [*less, *most]


def _refuse(job: Job, tried: list[Measured], k: int) -> NoReturn:
    config, best = job.config.index, max(tried, key=lambda step: step.lower_bound)
    at = ", ".join(f"{name} = {value}" for name, value in best.parameters.items())
    if config.search_params is not None:
        at, ways = f"{config.search_params}, {at}", "Remove index.search_params, use index.dense: auto or exact,"
    else:
        ways = "Use index.dense: auto or exact,"
    raise ConfigError(
        f"{config.dense} finds {best.mean:.4f} of the {k} nearest passages ({best.lower_bound:.4f} or more with 95%"
        f" confidence) at {at}, and the target is {config.recall_target}",
        where="index.recall_target",
        hint=f"{ways} or set index.recall_target to at most {np.floor(best.lower_bound * 1000) / 1000:g}, or to null.",
    )
