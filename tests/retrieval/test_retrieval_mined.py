"""What mine writes of candidates and positives equals brute force: cosines, scores, ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import negmine
from negmine import schemas

K = 12
RNG = np.random.default_rng(23)
PASSAGES = RNG.integers(-2, 3, (90, 6)).astype(np.float32)
"""Small integers: many passages have the same score."""
QUERIES = RNG.integers(-2, 3, (12, 6)).astype(np.float32)
PASSAGES[~PASSAGES.any(axis=1)] = 1
QUERIES[~QUERIES.any(axis=1)] = 1
TITLES = ["" if p % 9 else f"title {p}" for p in range(90)]
TEXTS = [f"passage {p - p % 2 if p % 9 in (0, 1) else p}" for p in range(90)]
"""Some passages have the text of another one, under a title."""
SCORES = QUERIES.astype(np.float64) @ PASSAGES.T.astype(np.float64)


def labels() -> list[tuple[int, int]]:
    """Per query one positive near the top, one far below the depth, and none to four more, unsorted."""
    found = []
    for q in range(12):
        order = np.lexsort((np.arange(90), -SCORES[q]))
        chosen = [int(order[q % 5]), int(order[-1 - q]), *(int(p) for p in RNG.choice(90, q % 5, replace=False))]
        found += [(q, p) for p in sorted(set(chosen), key=lambda p: (p * 37) % 90)]
    return found


LABELS = labels()


def run(folder: Path, dense: str = "exact", **mine: Any) -> dict[str, list[dict[str, Any]]]:
    """Rows of all parts, and of the positives, of a run through mine."""
    folder.mkdir()
    np.save(folder / "c.npy", PASSAGES)
    np.save(folder / "q.npy", QUERIES[[q for q, _ in [*LABELS, LABELS[0]]]])  # one for each row of the pairs
    documents = [{"_id": f"d{p}", "title": TITLES[p], "text": TEXTS[p]} for p in range(90)]
    pairs = [{"query_id": f"q{q}", "anchor": f"query {q}", "positive_id": f"d{p}"} for q, p in [*LABELS, LABELS[0]]]
    for name, rows in (("corpus", documents), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    memory = mine.pop("memory_limit", "4GB")
    config = negmine.config_from_dict(
        {
            "work_dir": "work",
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}, "similarity": "dot", "normalize": False},
            "index": {"dense": dense},
            "mine": {"k": K, **mine},
            "memory_limit": memory,
        },
        folder,
    )
    negmine.run(config, until="mine")
    mined = folder / "work" / "mine"
    parts = [pq.read_table(path).to_pylist() for path in sorted(mined.glob("part-*.parquet"))]
    positives = pq.read_table(mined / "positives.parquet")
    assert positives.schema.equals(schemas.POSITIVE_SCORES)
    return {"candidates": [row for rows in parts for row in rows], "positives": positives.to_pylist()}


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return run(tmp_path_factory.mktemp("mined") / "run")


def expected(q: int) -> tuple[list[int], set[int], list[int]]:
    """A query's passages best first, those that take no place of the depth, and its positives."""
    positives = [p for query, p in LABELS if query == q]
    same = {p for p in range(90) if TEXTS[p] in {TEXTS[positive] for positive in positives}}
    order = sorted(range(90), key=lambda p: (-SCORES[q, p], p))
    return order, same | set(positives), positives


def unit(p: int) -> np.ndarray:
    vector = PASSAGES[p].astype(np.float64)
    return vector / np.sqrt((vector * vector).sum())


def test_the_data_has_what_makes_ranks_hard(mined: dict[str, list[dict[str, Any]]]) -> None:
    """Ties with positives, positives beyond the depth, equal texts among what is searched."""
    ranks = [row["rank"] for row in mined["positives"]]
    assert 5 < ranks.count(None) < len(ranks) - 10
    assert len(mined["positives"]) == len(set(LABELS))
    ties = [int((SCORES[q] == SCORES[q, p]).sum()) for q, p in LABELS]
    assert sum(count > 1 for count in ties) > 10
    assert any(expected(q)[1] - set(expected(q)[2]) for q in range(12))


def test_positives_have_the_score_and_the_rank_of_brute_force(mined: dict[str, list[dict[str, Any]]]) -> None:
    """The rank counts all passages that score above, and is null beyond the depth."""
    rows = {(row["query_id"], row["doc_id"]): row for row in mined["positives"]}
    assert [row["query"] for row in mined["positives"]] == sorted(row["query"] for row in mined["positives"])
    for q in range(12):
        order, excluded, positives = expected(q)
        for p in positives:
            row, rank = rows.pop((f"q{q}", f"d{p}")), order.index(p) + 1
            assert row["score"] == SCORES[q, p]
            assert row["rank"] == (rank if rank <= K + len(excluded) else None), (q, p, rank)
    assert not rows


def test_candidates_have_the_cosines_of_brute_force(mined: dict[str, list[dict[str, Any]]]) -> None:
    """Mean and greatest over all positives of the query, beside score and rank."""
    for q in range(12):
        order, excluded, positives = expected(q)
        rows = [row for row in mined["candidates"] if row["query_id"] == f"q{q}"]
        last = [n for n, p in enumerate(order) if p not in excluded][K - 1]
        assert [row["doc_id"] for row in rows] == [f"d{p}" for p in order[: last + 1]]
        assert [row["rank"] for row in rows] == list(range(1, last + 2))
        for row in rows:
            each = [float(unit(p) @ unit(int(row["doc_id"][1:]))) for p in positives]
            assert row["positive_similarity"] == pytest.approx(max(each), abs=1e-6)
            assert row["mean_positive_similarity"] == pytest.approx(sum(each) / len(each), abs=1e-6)


@pytest.mark.parametrize("how", [{"part_queries": 1}, {"part_queries": 5}, {"memory_limit": "64MB"}])
def test_the_cut_of_the_work_changes_nothing(
    tmp_path: Path, mined: dict[str, list[dict[str, Any]]], how: dict[str, Any]
) -> None:
    assert run(tmp_path / "run", **how) == mined


@pytest.mark.parametrize(("name", "value"), [("CANDIDATE_BYTES", 10**8), ("_AT_ONCE", 5)])
def test_batches_of_a_part_change_nothing(
    tmp_path: Path, mined: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    """A part is searched in batches when its candidates would take too much memory, and a few queries at a time where
    the passages stay in memory."""
    monkeypatch.setattr(f"negmine.stages.mine.part.{name}", value)
    assert run(tmp_path / "run") == mined


def test_an_index_of_everything_gives_the_same(tmp_path: Path, mined: dict[str, list[dict[str, Any]]]) -> None:
    """Ranks come from what was searched; here that is the same. (Ties at the depth may fall otherwise.)"""
    found = run(tmp_path / "run", dense="Flat")
    known = {(row["query"], row["passage"]): row for row in mined["positives"]}
    assert len(found["positives"]) == len(known)
    ranks = [(row["rank"], known[row["query"], row["passage"]]["rank"]) for row in found["positives"]]
    both = [(ours, theirs) for ours, theirs in ranks if ours is not None and theirs is not None]
    assert len(both) > 10
    assert all(ours <= theirs for ours, theirs in both)
    assert [row["score"] for row in found["positives"]] == [row["score"] for row in mined["positives"]]
