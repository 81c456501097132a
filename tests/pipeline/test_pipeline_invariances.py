"""What must not matter does not: order of the corpus, other queries, the length of vectors, cuts of the work."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import negmine

RNG = np.random.default_rng(11)
PASSAGES = RNG.standard_normal((80, 12)).astype(np.float32)
QUERIES = RNG.standard_normal((15, 12)).astype(np.float32)
POSITIVES = [(q, (7 * q + j) % 80) for q in range(15) for j in range(1 + q % 3)]


def write_vectors(path: Path, column: str, ids: list[str], vectors: np.ndarray) -> None:
    arrays = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    pq.write_table(pa.table({column: ids, "vector": arrays}), path)


def mined(
    folder: Path,
    *,
    passages: list[int] | None = None,
    queries: list[int] | None = None,
    scale: float = 1.0,
    **sections: dict,
) -> dict[str, list[tuple]]:
    """Kept negatives per query id: (doc_id, score, position), from a whole run."""
    folder.mkdir(parents=True)
    passages = list(range(80)) if passages is None else passages
    queries = list(range(15)) if queries is None else queries
    write_vectors(folder / "c.parquet", "doc_id", [f"d{p}" for p in passages], PASSAGES[passages] * np.float32(scale))
    write_vectors(folder / "q.parquet", "query_id", [f"q{q}" for q in queries], QUERIES[queries])
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": f"d{p}", "text": f"passage {p}"}) + "\n" for p in passages)
    )
    (folder / "pairs.jsonl").write_text(
        "".join(
            json.dumps({"query_id": f"q{q}", "anchor": f"query {q}", "positive_id": f"d{p}"}) + "\n"
            for wanted in queries
            for q, p in POSITIVES
            if q == wanted
        )
    )
    config = negmine.config_from_dict(
        {
            "work_dir": "run",
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "c.parquet", "queries": "q.parquet"}, **sections.pop("embed", {})},
            "mine": {"k": 30, **sections.pop("mine", {})},
            # risk.as_hard_as looks at the run as a whole, so that other queries do matter to it.
            "filter": {"relative_margin": 0.02, "risk": {"max": 0.5}, **sections.pop("filter", {})},
            **sections,
        },
        folder,
    )
    negmine.run(config)
    found: dict[str, list[tuple]] = {f"q{q}": [] for q in queries}
    for row in negmine.read_negatives(config).to_pylist():
        found[row["query_id"]].append((row["doc_id"], row["score"], row["position"]))
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[tuple]]]:
    """The undisturbed result, for the best and for random negatives."""
    folder = tmp_path_factory.mktemp("plain")
    return {
        strategy: mined(folder / strategy, filter={"sampling_strategy": strategy}) for strategy in ("top", "random")
    }


several = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@several
@given(seed=st.integers(0, 10_000), strategy=st.sampled_from(["top", "random"]))
def test_the_order_of_the_corpus_does_not_matter(tmp_path_factory, plain, seed: int, strategy: str) -> None:
    order = list(range(80))
    random.Random(seed).shuffle(order)
    folder = tmp_path_factory.mktemp("order") / "run"
    assert mined(folder, passages=order, filter={"sampling_strategy": strategy}) == plain[strategy]


@several
@given(kept=st.sets(st.integers(0, 14), min_size=1), strategy=st.sampled_from(["top", "random"]))
def test_other_queries_do_not_matter(tmp_path_factory, plain, kept: set[int], strategy: str) -> None:
    folder = tmp_path_factory.mktemp("queries") / "run"
    found = mined(folder, queries=sorted(kept), filter={"sampling_strategy": strategy})
    assert found == {name: plain[strategy][name] for name in found}


@several
@given(power=st.integers(-8, 8))
def test_the_length_of_vectors_does_not_matter_to_cosine(tmp_path_factory, plain, power: int) -> None:
    assert mined(tmp_path_factory.mktemp("scale") / "run", scale=2.0**power) == plain["top"]


@several
@given(part_queries=st.integers(1, 20), part_rows=st.integers(1, 100), limit=st.sampled_from(["64MB", "4GB"]))
def test_how_the_work_is_cut_does_not_matter(tmp_path_factory, plain, part_queries, part_rows, limit) -> None:
    folder = tmp_path_factory.mktemp("cuts") / "run"
    found = mined(
        folder, mine={"part_queries": part_queries}, embed={"part_rows": part_rows}, memory_limit=limit, seed=0
    )
    assert found == plain["top"]


def test_ids_that_do_not_stay_in_memory_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of passages that fill up the list of a query."""
    rules = {"on_shortage": "random", "num_negatives": 30, "relative_margin": 0.5}
    kept = mined(tmp_path / "kept", filter=rules)
    monkeypatch.setattr("negmine.stages.texts._ID_BYTES", 10**12)
    assert mined(tmp_path / "read", filter=rules, mine={"part_queries": 4}) == kept
    assert all(len(rows) == 30 for rows in kept.values())


@several
@given(margins=st.lists(st.floats(0, 0.9), min_size=2, max_size=2))
def test_a_stricter_margin_never_adds_a_negative(tmp_path_factory, margins: list[float]) -> None:
    loose, strict = sorted(margins)
    folder = tmp_path_factory.mktemp("margins")
    before = mined(folder / "a", filter={"relative_margin": loose, "num_negatives": 30})
    after = mined(folder / "b", filter={"relative_margin": strict, "num_negatives": 30})
    for query, rows in after.items():
        assert {row[0] for row in rows} <= {row[0] for row in before[query]}
