"""Approximate search in a run: recall is measured, reached, reported, and the same whatever the machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import negmine
from negmine.cli.outcomes import outcome
from negmine.errors import ConfigError
from negmine.planning import facts
from negmine.planning.plan import plan
from negmine.retrieval import list_costs
from negmine.retrieval.recall import draw_queries
from negmine.selection.random import mix
from negmine.stages import index as index_stage
from negmine.stages import searching
from negmine.text import id_hash

PASSAGES, QUERIES, K = 4000, 900, 20
Config = Callable[..., Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recall")
    rng = np.random.default_rng(2)
    topics = rng.standard_normal((60, 24), dtype=np.float32)
    corpus = topics[rng.integers(0, 60, PASSAGES)] + rng.standard_normal((PASSAGES, 24), dtype=np.float32)
    np.save(folder / "c.npy", corpus)
    np.save(folder / "q.npy", corpus[:QUERIES] + 0.4 * rng.standard_normal((QUERIES, 24), dtype=np.float32))
    passages = [{"_id": f"d{i}", "text": f"passage {i}"} for i in range(PASSAGES)]
    pairs = [{"query_id": f"q{i}", "anchor": f"query {i}", "positive_id": f"d{i}"} for i in range(QUERIES)]
    for name, rows in (("corpus", passages), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def config_of(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A config over the data; with ``auto``, 64 lists are chosen for it."""
    monkeypatch.setattr(index_stage, "choose_lists", lambda *sizes: 64)

    def config(name: str = "run", **index: Any) -> Any:
        top = {key: index.pop(key) for key in ("memory_limit", "threads", "seed", "embed") if key in index}
        vectors = {"vectors": {"corpus": "c.npy", "queries": "q.npy"}, **top.pop("embed", {})}
        return negmine.config_from_dict(
            {
                "work_dir": str(tmp_path / name),
                "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
                "embed": vectors,
                "index": index,
                "mine": {"k": K, "part_queries": 400},
                **top,
            },
            data,
        )

    return config


def mined(config: Any, **how: Any) -> tuple[pa.Table, dict[str, Any]]:
    """What mine found, and its certificate with all that was tried (empty without one)."""
    negmine.run(config, until="mine", **how)
    folder = Path(config.work_dir) / "mine"
    found = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))])
    recall = folder / "recall.json"
    return found, json.loads(recall.read_text()) if recall.exists() else {}


def per_query(found: pa.Table) -> dict[int, set[int]]:
    sets: dict[int, set[int]] = {query: set() for query in range(QUERIES)}
    for query, passage in zip(found["query"].to_pylist(), found["passage"].to_pylist(), strict=True):
        sets[query].add(passage)
    return sets


@pytest.mark.parametrize("dense", ["auto", "IVF32,Flat", "IVF32,PQ12x4fs", "HNSW8", "SQ4"])
def test_what_a_run_mines_has_the_recall_it_says(config_of: Config, dense: str) -> None:
    """Recounted on all queries it reaches the target, and lies about where the sample put it."""
    found, certificate = mined(config_of(dense=dense, recall_target=0.9))
    exact, none = mined(config_of("exact"))
    assert not none
    assert certificate["target"] == 0.9 <= certificate["lower_bound"] < certificate["recall"]
    assert (certificate["queries"], certificate["of_queries"], certificate["k"]) == (512, QUERIES, K)
    mine, theirs = per_query(found), per_query(exact)
    recall = np.mean([len(mine[query] & theirs[query]) / len(theirs[query]) for query in range(QUERIES)])
    assert recall >= 0.9
    assert recall == pytest.approx(certificate["recall"], abs=0.02)
    known = dict(
        zip(
            zip(exact["query"].to_pylist(), exact["passage"].to_pylist(), strict=True),
            exact["score"].to_pylist(),
            strict=True,
        )
    )
    pairs = zip(found["query"].to_pylist(), found["passage"].to_pylist(), found["score"].to_pylist(), strict=True)
    assert all(known.get((query, passage), score) == score for query, passage, score in pairs)


def test_the_certificate_is_that_of_a_recount(config_of: Config, data: Path) -> None:
    """The sampled queries, their true neighbours and their lists, by hand."""
    _, certificate = mined(config_of(dense="auto", recall_target=0.9))
    keys = np.array([id_hash(f"q{i}") for i in range(QUERIES)], np.uint64)
    sample = draw_queries(mix(0, keys))
    folder = Path(config_of().work_dir) / "index"
    passages, queries = (np.load(data / f"{name}.npy").astype(np.float64) for name in "cq")
    passages /= np.linalg.norm(passages, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    centroids, assigned = np.load(folder / "centroids.npy"), np.load(folder / "assigned.npy")
    shares = []
    for query in queries[sample]:
        best = np.argsort(-(passages @ query))[:K]
        probed = np.argsort(-(centroids @ query))[: certificate["parameters"]["nprobe"]]
        shares.append(np.isin(assigned[best], probed).mean())
    assert certificate["recall"] == pytest.approx(np.mean(shares), abs=1e-9)
    assert certificate["tried"][-1]["mean"] == certificate["recall"]


def test_a_higher_target_searches_more_lists_of_the_same_index(config_of: Config) -> None:
    _, low = mined(config_of(dense="auto", recall_target=0.7))
    _, high = mined(config_of(dense="auto", recall_target=0.95))
    assert low["parameters"]["nprobe"] < high["parameters"]["nprobe"]
    stages = negmine.run(config_of(dense="auto", recall_target=0.9), until="mine").stages
    assert [stage.state for stage in stages] == ["current", "current", "current", "done"]


def test_out_of_reach_auto_searches_exactly_and_says_so(config_of: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_MOST_PROBED", 0.05)
    found, certificate = mined(config_of(dense="auto", recall_target=0.98))
    exact, _ = mined(config_of("exact"))
    assert certificate["fallback"]
    assert certificate["parameters"] == {"nprobe": 3}
    assert found.equals(exact)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"dense": "PQ2", "recall_target": 0.98}, r"PQ2 finds 0\.\d+ of the 20 nearest passages .*fetch_percent = 800"),
        ({"dense": "IVF32,Flat", "search_params": "nprobe=1"}, r"nprobe=1, .* the target is 0\.98.*Remove"),
    ],
)
def test_a_given_index_below_the_target_is_refused(config_of: Config, index: dict[str, Any], message: str) -> None:
    """With what it reached, where, and what can be done; what the hint proposes works."""
    with pytest.raises(ConfigError, match=message) as refused:
        mined(config_of(**index))
    assert refused.value.where == "index.recall_target"
    assert refused.value.hint is not None
    proposed = float(refused.value.hint.split("at most ")[1].split(",")[0])
    _, certificate = mined(config_of(**{**index, "recall_target": proposed}))
    assert not certificate["fallback"]


def test_without_a_target_nothing_is_measured(config_of: Config) -> None:
    found, certificate = mined(config_of(dense="IVF32,Flat", search_params="nprobe=1", recall_target=None))
    assert certificate == {}
    assert found.num_rows > 0


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for stage in ("index", "mine")
        for path in sorted((folder / stage).iterdir())
        if path.name != "manifest.json"
    }


@pytest.mark.parametrize("dense", ["auto", "IVF32,Flat", "IVF32,PQ12x4fs", "HNSW8"])
def test_threads_and_memory_change_no_byte(config_of: Config, dense: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = faiss.omp_get_max_threads()
    try:
        made = []
        for threads, memory, rows in ((1, "2GB", 4000), (2, "2GB", 4000), (3, "64MB", 257)):
            # The least memory limit holds all these vectors: blocks are made smaller by hand.
            for module in (index_stage, searching):
                monkeypatch.setattr(module, "block_rows", lambda *sizes, rows=rows: rows)
            config = config_of(f"{threads}", dense=dense, recall_target=0.9, threads=threads, memory_limit=memory)
            mined(config)
            made.append(contents(Path(config.work_dir)))
    finally:
        faiss.omp_set_num_threads(before)
    assert "recall.json" in "".join(made[0])
    assert made[0] == made[1] == made[2]


def test_half_precision_vectors_are_listed_as_they_are(config_of: Config) -> None:
    embed = {"store_dtype": "float16"}
    found, _ = mined(config_of(dense="auto", recall_target=0.9, embed=embed))
    listed = np.load(Path(config_of().work_dir) / "index" / "lists.npy")
    assert listed.dtype == np.float16
    flat = np.load(Path(config_of().work_dir) / "index" / "vectors-00000.npy")
    assigned = np.load(Path(config_of().work_dir) / "index" / "assigned.npy")
    assert np.array_equal(listed, flat[np.argsort(assigned, kind="stable")])
    assert found.num_rows > 0


def test_another_seed_builds_other_lists_only_where_there_are_lists(
    config_of: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def states(**index: Any) -> dict[str, str]:
        return {stage.stage: stage.state for stage in negmine.status(config_of(dense="auto", **index))}

    mined(config_of(dense="auto"))
    assert states(seed=1)["index"] == "stale"
    assert (states(recall_target=0.9)["index"], states(recall_target=0.9)["mine"]) == ("current", "stale")
    monkeypatch.setattr(index_stage, "choose_lists", lambda *sizes: 0)
    assert states()["index"] == "stale"
    mined(config_of(dense="auto"))
    assert set(states(seed=1, recall_target=0.9).values()) == {"current", "missing"}


def test_manhattan_is_searched_exactly(config_of: Config) -> None:
    embed = {"normalize": False, "similarity": "manhattan"}
    _, certificate = mined(config_of(dense="auto", embed=embed))
    assert certificate == {}


@pytest.mark.parametrize("similarity", ["dot", "euclidean"])
def test_other_similarities_reach_the_target_too(config_of: Config, similarity: str) -> None:
    embed = {"normalize": False, "similarity": similarity}
    found, certificate = mined(config_of(dense="auto", recall_target=0.9, embed=embed))
    exact, _ = mined(config_of("exact", embed=embed))
    mine, theirs = per_query(found), per_query(exact)
    assert certificate["lower_bound"] >= 0.9
    assert np.mean([len(mine[query] & theirs[query]) / len(theirs[query]) for query in range(QUERIES)]) >= 0.9


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"dense": "IVF5000,Flat"}, "has 5,000 lists, and there are 4,000 distinct passages"),
        ({"dense": "PQ7"}, "cannot build the index 'PQ7' for 24 dimensions"),
        ({"dense": "auto", "search_params": "nprobe=3"}, "applies only to a faiss index"),
        ({"dense": "HNSW8", "search_params": "nprobe=3"}, "cannot apply 'nprobe=3' to this index"),
        ({"dense": "IVF16,PQ8", "search_params": "ht=20"}, "polysemous codes"),
        ({"dense": "auto", "recall_target": None}, "searches as far as the target asks"),
    ],
)
def test_what_cannot_work_is_refused_before_the_index_is_built(
    config_of: Config, index: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        mined(config_of(**index))
    folder = Path(config_of().work_dir)
    assert not list(folder.rglob("vectors-*.npy"))


def test_the_result_says_what_was_reached(config_of: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists and recall beside the counts; the bound is never rounded up."""
    monkeypatch.setattr(facts, "choose_lists", lambda *sizes: 64)
    config = config_of(dense="auto", recall_target=0.9)
    planned = {stage.stage: stage.tasks for stage in plan(config)}
    stages = {stage.stage: stage for stage in negmine.run(config, until="mine").stages}
    assert outcome(stages["index"].manifest) == "4,000 vectors in 64 lists"
    recall = stages["mine"].manifest.facts["recall"]
    shown = re.fullmatch(
        r"18,\d{3} candidates, recall@20 (0\.\d{3}) \(>= (0\.\d{3})\)", outcome(stages["mine"].manifest)
    )
    assert shown is not None
    assert float(shown[1]) == pytest.approx(recall["recall"], abs=0.0005)
    assert recall["lower_bound"] - 0.001 < float(shown[2]) <= recall["lower_bound"]
    assert {name: stage.tasks for name, stage in stages.items()} == {name: planned[name] for name in stages}


def test_sizes_decide_for_lists_in_a_real_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No list where exact search is cheaper: these 4,000 passages."""
    assert list_costs.choose_lists(PASSAGES, QUERIES, K, 24) == 0
    config = negmine.config_from_dict(
        {
            "work_dir": str(tmp_path / "run"),
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}},
            "index": {"dense": "auto"},
        },
        data,
    )
    _, certificate = mined(config)
    assert certificate == {}


def test_an_index_beyond_the_memory_limit_is_refused_with_its_size() -> None:
    """What an index takes: its codes or vectors, the links of a graph, and passage numbers."""
    from negmine.retrieval.approximate import index_bytes, new_index

    sizes = {name: index_bytes(new_index(name, 384, "dot"), 10**6) for name in ("HNSW32", "IVF16,Flat", "IVF16,PQ48x4")}
    assert sizes["HNSW32"] >= 10**6 * (384 * 4 + 64 * 4)
    assert 10**6 * 384 * 4 <= sizes["IVF16,Flat"] < 1.1 * 10**6 * 384 * 4
    assert 10**6 * 24 <= sizes["IVF16,PQ48x4"] < 10**6 * 40


def test_an_index_that_is_too_large_is_refused_before_it_is_built(
    config_of: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("negmine.retrieval.approximate.index_bytes", lambda index, passages: 3 * 10**9)
    with pytest.raises(ConfigError, match=r"takes 3\.00 GB of memory, and memory_limit is 2\.00 GB"):
        mined(config_of(dense="HNSW8"))
    assert not list(Path(config_of().work_dir).rglob("vectors-*.npy"))
