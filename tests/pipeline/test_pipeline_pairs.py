"""The audit of the labelled pairs in whole runs, against brute force over the run's own scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import negmine
from negmine.cli import explaining
from negmine.cli.outcomes import outcome
from negmine.errors import ConfigError
from negmine.explain import explain
from negmine.results import read_verdicts

RNG = np.random.default_rng(5)
PASSAGES, QUERIES, K = 60, 14, 20
TEXTS = [f"passage {n}" for n in range(PASSAGES)]
TEXTS[7] = "Query 1"  # says what query 1 says
TEXTS[9] = TEXTS[8]  # a copy
TITLES = ["" for _ in TEXTS]
TITLES[12] = "A title"
TEXTS[12] = "query 12"
ASKED = [f"query {n}" for n in range(QUERIES)]
ASKED[13] = "QUERY 2"  # the same query as number 2
LABELS = sorted({(q, int(p)) for q in range(QUERIES - 1) for p in RNG.choice(PASSAGES, 1 + q % 4, replace=False)})
LABELS = sorted({*LABELS, (1, 7), (3, 8), (4, 8), (12, 12), (2, 20)} - {(3, 9), (4, 9)})
# A judgement of the same pair, of the query's twin, of a copy of the passage; three that contradict nothing.
REFUSED = [LABELS[0], (13, 20), (3, 9), (5, 59), (13, 21), (0, 58)]
CONFLICTS = {LABELS[0], (2, 20), (3, 8)}
VECTORS = RNG.standard_normal((PASSAGES, 6)).astype(np.float32)
ASKED_VECTORS = RNG.standard_normal((QUERIES, 6)).astype(np.float32)
VECTORS[9] = VECTORS[8]
for _q, _p in LABELS[::2]:  # some positives are found early
    ASKED_VECTORS[_q] += VECTORS[_p]
ASKED_VECTORS[13] = ASKED_VECTORS[2]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def config(folder: Path, work: str = "run", **sections: Any) -> negmine.Config:
    """A BEIR-like collection with grades, a query that is there twice, and vectors of its own."""
    folder.mkdir(exist_ok=True)
    rows = [
        {"_id": f"d{n}", "title": title, "text": text}
        for n, (title, text) in enumerate(zip(TITLES, TEXTS, strict=True))
    ]
    jsonl(folder / "corpus.jsonl", rows)
    asked = [{"_id": "unlabelled", "text": "what else"}]
    asked += [{"_id": f"q{n}", "text": text} for n, text in enumerate(ASKED)]
    jsonl(folder / "queries.jsonl", asked)
    judged = [*((q, p, 1) for q, p in LABELS), *((q, p, 0) for q, p in REFUSED)]
    lines = "".join(f"q{q}\td{p}\t{grade}\n" for q, p, grade in judged)
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines)
    np.save(folder / "c.npy", VECTORS)
    np.save(folder / "q.npy", np.concatenate([np.ones((1, 6), np.float32), ASKED_VECTORS]))
    return negmine.config_from_dict(
        {
            "work_dir": work,
            "data": {"queries": "queries.jsonl", "corpus": "corpus.jsonl", "qrels": "qrels.tsv"},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}},
            "mine": {"k": K, "part_queries": 5, **sections.pop("mine", {})},
            "filter": {"num_negatives": 4, "risk": None, "relative_margin": 0.05, **sections.pop("filter", {})},
            "export": [{"format": "labeled-pair", "file": "train.jsonl"}],
            **sections,
        },
        folder,
    )


def audited(loaded: negmine.Config) -> dict[tuple[int, int], dict[str, Any]]:
    """Rows of pairs.parquet by the numbers in the ids."""
    negmine.run(loaded)
    rows = pq.read_table(Path(loaded.work_dir) / "filter" / "pairs.parquet").to_pylist()
    return {(int(row["query_id"][1:]), int(row["doc_id"][1:])): row for row in rows}


def report(loaded: negmine.Config) -> dict[str, Any]:
    return json.loads((Path(loaded.work_dir) / "filter" / "report.json").read_text())["pairs"]


def exported(loaded: negmine.Config) -> dict[str, tuple[set[str], set[str]]]:
    """Texts of positives and negatives by the query's text."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for line in (Path(loaded.work_dir) / "export" / "train.jsonl").read_text().splitlines():
        row = json.loads(line)
        found.setdefault(row["anchor"], (set(), set()))[1 - row["label"]].add(row["text"])
    return found


def scores() -> np.ndarray:
    """Cosines of queries and distinct passages (the copy is left out by its score): (q, n)."""
    one, other = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (ASKED_VECTORS, VECTORS))
    found = one.astype(np.float64) @ other.T.astype(np.float64)
    found[:, 9] = -np.inf
    return found


@pytest.mark.parametrize("max_rank", [None, 1, 6, K])
def test_findings_are_those_of_brute_force(tmp_path: Path, max_rank: int | None) -> None:
    """Ranks, rivals and labels counted one by one."""
    found = audited(config(tmp_path, pairs={"max_rank": max_rank}))
    assert set(found) == set(LABELS)
    score = scores()
    for (q, p), row in found.items():
        own = {labelled for query, labelled in LABELS if query == q}
        never = own | {n for n, text in enumerate(TEXTS) if text.casefold() == ASKED[q].casefold()}
        order = sorted((n for n in range(PASSAGES) if n != 9), key=lambda n: -score[q, n])
        rank = order.index(p) + 1
        others = [n for n in order if n not in own]
        before = sum(score[q, n] > score[q, p] for n in others)
        rivals = [n for n in order if n not in never]
        beaten = sum(score[q, n] > score[q, p] for n in rivals[:K])
        shared = len({query for query, labelled in LABELS if labelled == p})
        searched = K + len(never)
        expected = {
            "not_retrieved": rank > searched,
            "low_rank": max_rank is not None and (rank > searched or before + 1 > max_rank),
            "beaten": beaten > 0,
            "shared": shared > 1,
            "conflict": (q, p) in CONFLICTS,
            "same_text": (q, p) in {(1, 7), (12, 12)},
        }
        assert row["findings"] == [name for name, holds in expected.items() if holds], (q, p)
        assert row["rank"] == (rank if rank <= searched else None)
        assert (row["beaten_by"], row["shared_by"]) == (beaten, shared)
        assert row["score"] == pytest.approx(score[q, p], abs=1e-6)
        assert not row["dropped"]
    assert {name for row in found.values() for name in row["findings"]} >= {"not_retrieved", "beaten", "conflict"}


def test_the_report_sums_up_the_audit(tmp_path: Path) -> None:
    loaded = config(tmp_path, pairs={"max_rank": 6})
    found = list(audited(loaded).values())
    summary = report(loaded)
    assert summary["pairs"] == len(LABELS)
    for name, count in summary["findings"].items():
        assert count == sum(name in row["findings"] for row in found)
    suspicious = sum(bool({"low_rank", "conflict"} & set(row["findings"])) for row in found)
    assert summary["suspicious"] == suspicious > 0
    ranks = sorted(row["rank"] or 10**9 for row in found)
    assert summary["median_rank"] == ranks[(len(ranks) - 1) // 2]
    assert summary["share_not_retrieved"] == sum(row["rank"] is None for row in found) / len(found)
    bad = [row for row in found if row["rank"] is None or row["beaten_by"]]
    bad.sort(key=lambda row: (row["rank"] is not None, -row["beaten_by"], row["score"]))
    assert [(row["query_id"], row["doc_id"]) for row in summary["worst"]] == [
        (row["query_id"], row["doc_id"]) for row in bad[:20]
    ]
    counts = json.loads((Path(loaded.work_dir) / "filter" / "manifest.json").read_text())["counts"]
    assert counts["suspicious_pairs"] == suspicious


def test_ingest_names_the_judgements_that_contradict_labels(tmp_path: Path) -> None:
    loaded = config(tmp_path)
    counts = negmine.run(loaded, until="ingest").stages[0].manifest.counts
    rows = pq.read_table(Path(loaded.work_dir) / "ingest" / "conflicts.parquet").to_pylist()
    named = sorted((int(row["query_id"][1:]), int(row["doc_id"][1:])) for row in rows)
    assert named == sorted(REFUSED[:3])
    assert {row["grade"] for row in rows} == {0}
    assert counts["conflicting_labels"] == len(CONFLICTS)


def test_keep_counts_and_lists_nothing(tmp_path: Path) -> None:
    flagged, kept = (
        config(tmp_path, pairs={"max_rank": 6}),
        config(tmp_path, "k", pairs={"max_rank": 6, "action": "keep"}),
    )
    negmine.run(flagged)
    negmine.run(kept)
    assert not (Path(kept.work_dir) / "filter" / "pairs.parquet").exists()
    assert {**report(kept), "action": "flag"} == report(flagged)
    assert exported(kept) == exported(flagged)
    assert read_verdicts(kept).equals(read_verdicts(flagged))


@pytest.mark.parametrize("max_rank", [None, 1, 6])
def test_dropped_pairs_are_in_no_training_file(tmp_path: Path, max_rank: int | None) -> None:
    """They are no negatives either, and a query that has no other positive is not there at all."""
    loaded = config(tmp_path, pairs={"max_rank": max_rank, "action": "drop"}, filter={"relative_margin": None})
    found = audited(loaded)
    gone = {pair for pair, row in found.items() if row["dropped"]}
    assert gone == {pair for pair, row in found.items() if {"low_rank", "conflict"} & set(row["findings"])}
    written = exported(loaded)
    negatives = {int(r["query_id"][1:]): set() for r in found.values()}
    for row in read_verdicts(loaded).to_pylist():
        if row["verdict"] == "kept":
            negatives[int(row["query_id"][1:])].add(TEXTS[int(row["doc_id"][1:])])
    for q in range(QUERIES - 1):
        left = {p for query, p in LABELS if query == q and (q, p) not in gone}
        if not left:
            assert ASKED[q] not in written
            continue
        positives = {f"{TITLES[p]} {TEXTS[p]}".strip() for p in left}
        assert written[ASKED[q]][0] == positives
        assert len(written[ASKED[q]][1]) == len(negatives[q]) == 4
        assert not {TEXTS[p] for query, p in LABELS if query == q} & written[ASKED[q]][1]
    everything_gone = {q for q, _ in LABELS} - {q for q, p in LABELS if (q, p) not in gone}
    counts = json.loads((Path(loaded.work_dir) / "filter" / "manifest.json").read_text())["counts"]
    assert (counts["pairs_dropped"], counts["queries_dropped"]) == (len(gone), len(everything_gone))
    assert everything_gone
    card = (Path(loaded.work_dir) / "export" / "README.md").read_text()
    rows = sum(len(texts) for _, texts in written.values())
    assert f"{rows:,} hard negatives for {len(written):,} queries with {len(LABELS) - len(gone):,} positives" in card
    provenance = pq.read_table(Path(loaded.work_dir) / "export" / "provenance.parquet").to_pylist()
    named = {(int(row["query_id"][1:]), int(row["positive_ids"][0][1:])) for row in provenance if row["positive_ids"]}
    assert named == set(LABELS) - gone


@pytest.mark.parametrize("how", ["min", "max", "mean"])
def test_the_reference_score_is_over_the_positives_that_stay(tmp_path: Path, how: str) -> None:
    """A wrong positive with a low score does not starve its query; one without others keeps its own."""
    settings = {"reference": how}
    loaded = config(tmp_path, pairs={"max_rank": 6, "action": "drop"}, filter=settings)
    found = audited(loaded)
    reduce = {"min": min, "max": max, "mean": lambda values: sum(values) / len(values)}[how]
    expected = {}
    for q in range(QUERIES - 1):
        rows = [row for (query, _), row in found.items() if query == q]
        expected[f"q{q}"] = reduce(
            [row["score"] for row in rows if not row["dropped"]] or [row["score"] for row in rows]
        )
    for row in read_verdicts(loaded).to_pylist():
        assert row["reference"] == pytest.approx(expected[row["query_id"]], abs=1e-12)
    if how == "min":
        flagged = config(tmp_path, "f", pairs={"max_rank": 6}, filter=settings)
        negmine.run(flagged)
        assert len(negmine.read_negatives(loaded)) > len(negmine.read_negatives(flagged))


def test_leaks_are_measured_on_positives_that_stay(tmp_path: Path) -> None:
    measured = []
    for action in ("flag", "drop"):
        loaded = config(tmp_path, action, pairs={"max_rank": 6, "action": action})
        found = audited(loaded)
        left = [q for (q, _), row in found.items() if not row["dropped"]]
        expected = sum(left.count(q) >= 2 for q in range(QUERIES))
        leak = json.loads((Path(loaded.work_dir) / "filter" / "report.json").read_text())["leak"]
        assert leak["queries"] == expected
        measured.append(expected)
    assert measured[0] > measured[1] > 0


def test_how_the_work_is_cut_does_not_matter(tmp_path: Path) -> None:
    pairs = {"max_rank": 4, "action": "drop"}
    runs = [config(tmp_path, f"run{n}", pairs=pairs, mine={"part_queries": n}) for n in (1, 5, 99)]
    first, *others = [audited(loaded) for loaded in runs]
    whole = [(Path(loaded.work_dir) / "filter" / "pairs.parquet").read_bytes() for loaded in runs]
    assert whole[0] == whole[1] == whole[2]
    for found, loaded in zip(others, runs[1:], strict=True):
        assert found == first
        assert report(loaded) == report(runs[0])


def test_pairs_without_grades_have_no_conflicts(tmp_path: Path) -> None:
    jsonl(tmp_path / "pairs.jsonl", [{"anchor": "q", "positive": "q"}, {"anchor": "r", "positive": "s"}])
    np.save(tmp_path / "c.npy", np.eye(2, dtype=np.float32))
    np.save(tmp_path / "q.npy", np.eye(2, dtype=np.float32))
    vectors = {"vectors": {"corpus": "c.npy", "queries": "q.npy"}}
    loaded = negmine.config_from_dict(
        {"work_dir": "run", "data": {"pairs": "pairs.jsonl"}, "embed": vectors, "filter": {"num_negatives": 1}},
        tmp_path,
    )
    negmine.run(loaded)
    assert [row["findings"] for row in pq.read_table(tmp_path / "run/filter/pairs.parquet").to_pylist()] == [
        ["same_text"],
        [],
    ]
    assert report(loaded)["worst"] == []


def test_a_limit_deeper_than_the_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ranks are known down to 20 \(mine.k\), and pairs.max_rank is 21"):
        config(tmp_path, pairs={"max_rank": K + 1})


@pytest.mark.parametrize("action", ["keep", "flag", "drop"])
def test_explain_shows_rank_and_findings_of_positives(tmp_path: Path, action: str) -> None:
    """Findings are not listed with ``keep``; the reference is that of the verdicts."""
    found = audited(config(tmp_path, "listed", pairs={"max_rank": 6}))
    loaded = config(tmp_path, pairs={"max_rank": 6, "action": action})
    negmine.run(loaded)
    shown = explain(loaded, [f"q{q}" for q in range(QUERIES - 1)])
    references = {row["query_id"]: row["reference"] for row in read_verdicts(loaded).to_pylist()}
    for query in shown:
        assert query.reference == references[query.query_id]
        for positive in query.positives:
            row = found[int(query.query_id[1:]), int(positive.doc_id[1:])]
            assert (positive.rank, positive.score) == (row["rank"], row["score"])
            assert list(positive.findings) == ([] if action == "keep" else row["findings"])


def test_a_run_says_how_many_pairs_are_suspicious(tmp_path: Path) -> None:
    result = negmine.run(config(tmp_path, pairs={"max_rank": 6, "action": "keep"}))
    stage = next(stage for stage in result.stages if stage.stage == "filter")
    count = stage.manifest.counts["suspicious_pairs"]
    assert f", {count} suspicious pairs" in outcome(stage.manifest)


def test_explain_prints_findings_where_there_is_room(tmp_path: Path) -> None:
    loaded = config(tmp_path, pairs={"max_rank": 6})
    (same_text,) = [pair for pair, row in audited(loaded).items() if pair == (12, 12) and row["findings"]]
    (query,) = explain(loaded, [f"q{same_text[0]}"])
    wide = "\n".join(explaining._explained(query, 200, full=False, reason=None))
    narrow = "\n".join(explaining._explained(query, 40, full=False, reason=None))
    whole = "\n".join(explaining._explained(query, 40, full=True, reason=None))
    assert "same_text" in wide
    assert "same_text" not in narrow
    assert "same_text" in whole
