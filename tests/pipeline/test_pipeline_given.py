"""Candidates from run files and from negatives that came with the labels, beside those of the search."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import negmine
from negmine.config import Config
from negmine.errors import ConfigError, InputError
from negmine.explain import explain
from negmine.results import read_verdicts

sys.path.insert(0, str(Path(__file__).parents[1] / "integrity"))
from stopping import Stopping

K = 6
PASSAGES, QUERIES = 40, 11
RNG = np.random.default_rng(5)
VECTORS = RNG.integers(-2, 3, (PASSAGES, 5)).astype(np.float32)
"""Small integers: many passages have the same score."""
ASKED = RNG.integers(-2, 3, (QUERIES, 5)).astype(np.float32)
VECTORS[~VECTORS.any(axis=1)] = 1
ASKED[~ASKED.any(axis=1)] = 1
SCORES = ASKED.astype(np.float64) @ VECTORS.T.astype(np.float64)
PASSAGE_OF = [p - 1 if p in (9, 21) else p for p in range(PASSAGES)]
"""Documents 9 and 21 say what those before them say."""
QUERY_OF = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 3]
"""The last id asks what q3 asks."""
POSITIVES = [{(7 * q) % PASSAGES, (11 * q + 8) % PASSAGES} - {9, 21} for q in range(QUERIES)]
LABELLED = [{PASSAGE_OF[p] for p in positives} for positives in POSITIVES]
Lines = list[tuple[int, int, float]]


def lines(seed: int, depth: int) -> Lines:
    """Query id, document, score: in any order, with ties, own positives, and passages under two ids."""
    draw = random.Random(seed)
    found = []
    for q in range(len(QUERY_OF) if seed % 2 else len(QUERY_OF) - 3):
        chosen = draw.sample(range(PASSAGES), depth)
        chosen += [p for p in (min(POSITIVES[QUERY_OF[q]]), 8, 9) if p not in chosen]
        found += [(q, p, float(draw.randrange(6))) for p in chosen]
    draw.shuffle(found)
    return found


SPARSE, RERANKED = lines(1, 14), lines(2, 9)
NEGATIVES = {q: [(q * 5 + 2) % 40, min(POSITIVES[q]), 30, 9, 8, 17] for q in (0, 2, 3, 10)}
GIVEN = {
    q: {
        p: min(r for r, other in enumerate(listed, 1) if PASSAGE_OF[other] == p)
        for p in map(PASSAGE_OF.__getitem__, listed)
    }
    for q, listed in NEGATIVES.items()
}
GIVEN = {q: {p: rank for p, rank in listed.items() if p not in LABELLED[q]} for q, listed in GIVEN.items()}
"""Passages of the negatives that came with the labels, without positives, at their first place in the list."""


def trec(found: Lines) -> str:
    return "".join(f"q{q} Q0 d{p} 0 {score} tag\n" for q, p, score in found)


def write(folder: Path) -> None:
    np.save(folder / "c.npy", VECTORS)
    pairs = [
        {"query_id": f"q{i}", "anchor": f"query {q}", "positive_id": f"d{p}"}
        for i, q in enumerate(QUERY_OF)
        for p in sorted(POSITIVES[q])
    ]
    for q, listed in NEGATIVES.items():
        first = next(row for row in pairs if row["query_id"] == f"q{q}")
        first["negative_id"] = [f"d{p}" for p in listed]
    np.save(folder / "q.npy", ASKED[[QUERY_OF[int(row["query_id"][1:])] for row in pairs]])
    documents = [{"_id": f"d{p}", "text": f"passage {PASSAGE_OF[p]}"} for p in range(PASSAGES)]
    for name, rows in (("corpus", documents), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "sparse.trec").write_text(trec(SPARSE))
    (folder / "reranked.trec").write_text(trec(RERANKED))


SPARSE_RUN = {"run": "sparse.trec", "name": "sparse"}
RERANKED_RUN = {"run": "reranked.trec", "name": "reranked", "depth": 3}
Make = Callable[..., Config]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    write(tmp_path)

    def config(name: str = "work", *, keep: bool = False, **sections: Any) -> Config:
        top = {key: sections.pop(key) for key in ("memory_limit", "threads") if key in sections}
        data = {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl", **sections.pop("data", {})}
        mine = {"k": K, **sections.pop("mine", {})}
        if not mine.get("retrievers", True):
            del mine["k"]  # which then applies to nothing
        return negmine.config_from_dict(
            {
                "work_dir": name,
                "data": {**data, "negatives": "keep" if keep else "ignore"},
                "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}, "similarity": "dot", "normalize": False},
                "mine": mine,
                "filter": {"num_negatives": 2, **sections.pop("filter", {})},
                **top,
                **sections,
            },
            tmp_path,
        )

    return config


def mined(config: Config) -> list[dict[str, Any]]:
    negmine.run(config, until="mine")
    return [
        row
        for path in sorted((Path(config.work_dir) / "mine").glob("part-*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def dense_list(q: int) -> dict[int, int]:
    """Passages and ranks of the search: down to the K-th that is no positive."""
    order = sorted({*PASSAGE_OF}, key=lambda p: (-SCORES[q, p], p))
    others = [n for n, p in enumerate(order) if p not in LABELLED[q]]
    return {p: n + 1 for n, p in enumerate(order[: others[K - 1] + 1])}


def run_list(found: Lines, depth: int, q: int) -> dict[int, int]:
    """Passages and ranks of a run: each list by score, ties as in the file, a passage at its best rank."""
    best: dict[int, int] = {}
    for asker in (i for i, query in enumerate(QUERY_OF) if query == q):
        own = sorted((line for line in found if line[0] == asker), key=lambda line: -line[2])
        for rank, (_, p, _) in enumerate(own, 1):
            best[PASSAGE_OF[p]] = min(rank, best.get(PASSAGE_OF[p], rank))
    taken, left = {}, depth
    for p, rank in sorted(best.items(), key=lambda item: (item[1], item[0])):
        if not left:
            break
        taken[p] = rank
        left -= p not in LABELLED[q]
    return taken


def expected(names: list[str]) -> list[tuple[int, int, list[str], list[int], float]]:
    """Query, passage, who found it at which ranks, score: the whole of mine in plain Python."""
    found = []
    for q in range(QUERIES):
        lists = {
            "dense": dense_list(q),
            "sparse": run_list(SPARSE, K, q),
            "reranked": run_list(RERANKED, 3, q),
            "given": GIVEN.get(q, {}),
        }
        union = {p for name in names for p in lists[name]}
        for p in sorted(union, key=lambda p: (-SCORES[q, p], p)):
            by = [name for name in names if p in lists[name]]
            found.append((q, p, by, [lists[name][p] for name in by], float(SCORES[q, p])))
    return found


def as_expected(rows: list[dict[str, Any]]) -> list[tuple[int, int, list[str], list[int], float]]:
    for row in rows:
        assert (row["retriever"], row["rank"]) == (row["retrievers"][0], row["ranks"][0])
    return [
        (int(row["query_id"][1:]), int(row["doc_id"][1:]), row["retrievers"], row["ranks"], row["score"])
        for row in rows
    ]


WAYS = {
    "dense and runs": (["dense", SPARSE_RUN, RERANKED_RUN], False),
    "runs in another order": ([RERANKED_RUN, "dense", SPARSE_RUN], False),
    "runs alone": ([SPARSE_RUN, RERANKED_RUN], False),
    "one run": ([SPARSE_RUN], False),
    "dense and given": (["dense"], True),
    "all": (["dense", SPARSE_RUN, RERANKED_RUN], True),
    "given alone": ([], True),
}


@pytest.mark.parametrize("way", WAYS)
def test_candidates_are_those_of_brute_force(make: Make, way: str) -> None:
    """A passage is one candidate whoever found it: its score, who found it, in which order, at which rank."""
    retrievers, keep = WAYS[way]
    names = [entry if isinstance(entry, str) else entry["name"] for entry in retrievers] + ["given"] * keep
    assert as_expected(mined(make(keep=keep, mine={"retrievers": retrievers}))) == expected(names)


def test_the_lists_are_hard(make: Make) -> None:
    """The oracle sees ties, own positives in runs, passages under two ids, and candidates of two retrievers."""
    rows = expected(["dense", "sparse", "reranked", "given"])
    assert sum(len(by) > 1 for _, _, by, _, _ in rows) > 20
    assert sum("dense" not in by for _, _, by, _, _ in rows) > 20
    assert sum(p in LABELLED[q] and "sparse" in by for q, p, by, _, _ in rows) > 3
    assert any(ranks != sorted(ranks) for _, _, _, ranks, _ in rows)


@pytest.mark.parametrize(
    "how",
    [
        {"mine": {"part_queries": 1}},
        {"mine": {"part_queries": 4}},
        {"memory_limit": "64MB"},
        {"threads": 1},
    ],
    ids=str,
)
def test_the_cut_of_the_work_changes_nothing(make: Make, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where queries are batched and the lines of runs are ordered in many files."""
    mine = {"retrievers": ["dense", SPARSE_RUN, RERANKED_RUN]}
    whole = mined(make("whole", keep=True, mine=mine))
    runs = (Path(make("whole", mine=mine).work_dir) / "mine" / "runs.parquet").read_bytes()
    if "memory_limit" in how:
        monkeypatch.setattr("negmine.stages.mine.part.CANDIDATE_BYTES", 10**8)
        monkeypatch.setattr("negmine.stages.mine.runs._SORTING", 10**5)
    config = make("cut", keep=True, **{**how, "mine": {**mine, **how.get("mine", {})}})
    assert mined(config) == whole
    assert (Path(config.work_dir) / "mine" / "runs.parquet").read_bytes() == runs
    assert not list(Path(config.work_dir).rglob(".tmp-*"))


@pytest.mark.parametrize("after", [1, 2, 4])
def test_an_interrupted_run_ends_with_the_same_bytes(make: Make, after: int) -> None:
    """After the runs were read, or between two parts."""
    sections = {"mine": {"retrievers": ["dense", SPARSE_RUN], "part_queries": 3}}
    whole, cut = make("whole", **sections), make("cut", **sections)
    negmine.run(whole, until="mine")
    with pytest.raises(KeyboardInterrupt):
        negmine.run(cut, until="mine", executor=Stopping("mine", after))
    result = negmine.run(cut, until="mine").stages[-1]
    assert result.tasks_run == result.tasks - after
    for path in (Path(whole.work_dir) / "mine").glob("*.parquet"):
        assert (Path(cut.work_dir) / "mine" / path.name).read_bytes() == path.read_bytes()


def test_without_dense_nothing_is_searched(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positives then have a score and no rank, and none counts as not retrieved."""
    monkeypatch.setattr("negmine.stages.searching.search_exact", None)
    config = make(mine={"retrievers": [SPARSE_RUN]})
    negmine.run(config, until="filter")
    work = Path(config.work_dir)
    positives = pq.read_table(work / "mine" / "positives.parquet").to_pylist()
    assert {row["rank"] for row in positives} == {None}
    for row in positives:
        assert row["score"] == SCORES[int(row["query_id"][1:]), int(row["doc_id"][1:])]
    report = json.loads((work / "filter" / "report.json").read_text())
    assert report["pairs"]["findings"]["not_retrieved"] == 0
    assert report["pairs"]["share_not_retrieved"] is None


def test_verdicts_go_by_score_whoever_found_a_candidate(make: Make) -> None:
    """Survivors are taken best first; own positives of a run are dropped; max_rank is of the first retriever."""
    rules = {"risk": None, "near_duplicates": None, "num_negatives": 3}
    mine = {"retrievers": ["dense", SPARSE_RUN]}
    config = make(mine=mine, filter={**rules, "max_rank": 4, "range_min": 1})
    negmine.run(config, until="filter")
    rows = read_verdicts(config).to_pylist()
    reasons: dict[tuple[int, int], str] = {}
    for q in range(QUERIES):
        place = 0
        for query, p, _, ranks, _ in expected(["dense", "sparse"]):
            if query != q:
                continue
            if p in LABELLED[q]:
                reason = "positive"
            elif ranks[0] > 4:
                reason = "range"
            else:
                reason = "range" if place == 0 else "kept" if place <= 3 else "not_sampled"
                place += 1
            reasons[q, p] = reason
    assert {(int(row["query_id"][1:]), int(row["doc_id"][1:])): row["reason"] for row in rows} == reasons
    assert {"kept", "range", "positive"} <= set(reasons.values())


def test_the_report_counts_by_retriever(make: Make) -> None:
    config = make(keep=True, mine={"retrievers": ["dense", SPARSE_RUN]}, filter={"random_share": 0.5})
    negmine.run(config, until="filter")
    rows = read_verdicts(config).to_pylist()
    kept = [row for row in rows if row["verdict"] == "kept"]
    found = json.loads((Path(config.work_dir) / "filter" / "report.json").read_text())["retrievers"]
    assert set(found) == {"dense", "sparse", "given", "random"}
    for name, counts in found.items():
        assert counts["candidates"] == sum(name in row["retrievers"] for row in rows)
        assert counts["kept"] == sum(name in row["retrievers"] for row in kept)
        assert counts["share"] == counts["kept"] / len(kept)


def test_explain_shows_all_retrievers_with_their_ranks(make: Make) -> None:
    config = make(keep=True, mine={"retrievers": ["dense", SPARSE_RUN]})
    negmine.run(config, until="filter")
    wanted = expected(["dense", "sparse", "given"])
    for query in explain(config, [f"q{q}" for q in range(QUERIES)]):
        of_query = [row for row in wanted if f"q{row[0]}" == query.query_id]
        shown = [(int(each.doc_id[1:]), [*each.retrievers], [*each.ranks]) for each in query.candidates]
        assert shown == [(p, by, ranks) for _, p, by, ranks, _ in of_query]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q77 Q0 d1 1 2.0 tag", r"a\.trec:3: the query id 'q77' is not among the queries that have a positive"),
        ("q1 Q0 d77 1 2.0 tag", r"a\.trec:3: the document id 'd77' is not in the corpus"),
        ("q1 Q0 d2 9 7.0 tag", r"a\.trec:3: query 'q1' has the document 'd2' on an earlier line"),
        ("q1 Q0 d1 1 x tag", r"a\.trec:3:12: the score 'x' is not a number"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_or_left_out(make: Make, tmp_path: Path, line: str, message: str) -> None:
    """The same lines are written down where bad rows are skipped, and the rest is as if they were not there."""
    good = "q1 Q0 d2 1 2.0 tag\nq2 Q0 d3 1 2.0 tag\n"
    (tmp_path / "a.trec").write_text(good + line + "\n")
    (tmp_path / "good.trec").write_text(good)
    runs = {name: {"retrievers": ["dense", {"run": f"{name}.trec", "name": "a"}]} for name in ("a", "good")}
    with pytest.raises(InputError, match=message):
        negmine.run(make(mine=runs["a"]), until="mine")
    config = make(mine=runs["a"], data={"on_bad_row": "skip"})
    assert mined(config) == mined(make("good", mine=runs["good"]))
    (rejected,) = (Path(config.work_dir) / "mine" / "rejected.jsonl").read_text().splitlines()
    assert json.loads(rejected)["line"] == 3


def test_a_run_about_something_else_is_refused(make: Make, tmp_path: Path) -> None:
    """Also where bad rows are skipped."""
    (tmp_path / "a.trec").write_text("x Q0 d1 1 2.0 tag\n")
    config = make(mine={"retrievers": [{"run": "a.trec", "name": "a"}]}, data={"on_bad_row": "skip"})
    with pytest.raises(InputError, match=r"a\.trec: no line names a query and a document of this run"):
        negmine.run(config, until="mine")
    with pytest.raises(InputError, match=r"missing\.trec: .*does not exist"):
        negmine.run(make(mine={"retrievers": [{"run": "missing.trec", "name": "a"}]}), until="mine")


def test_a_moved_run_is_the_same_and_a_changed_one_is_not(make: Make, tmp_path: Path) -> None:
    mine = {"retrievers": ["dense", SPARSE_RUN]}
    negmine.run(make(mine=mine), until="mine")
    (tmp_path / "other").mkdir()
    moved = (tmp_path / "sparse.trec").rename(tmp_path / "other" / "moved.trec")
    again = make(mine={"retrievers": ["dense", {"run": str(moved), "name": "sparse"}]})
    assert {stage.stage: stage.state for stage in negmine.status(again)}["mine"] == "current"
    moved.write_text(moved.read_text() + "q1 Q0 d39 0 99.0 tag\n")
    stale = {stage.stage: stage for stage in negmine.status(again)}
    assert stale["index"].state == "current"
    assert (stale["mine"].state, stale["mine"].why) == ("stale", "the file of mine.retrievers.1.run changed")


WRONG = [
    ({"mine": {"retrievers": ["dens"]}}, r"mine.retrievers.0: expected one of dense, bm25, found the text 'dens'."),
    ({"mine": {"retrievers": [3]}}, r"mine.retrievers.0: expected a section .*Write \{run: bm25.trec, name: bm25\}"),
    ({"mine": {"retrievers": []}}, r"mine.retrievers: nothing names candidates"),
    ({"mine": {"retrievers": [{"run": "a", "nam": "b"}]}}, r"mine.retrievers.0.nam: there is no such key.*'name'"),
    ({"mine": {"retrievers": [{"run": "a", "name": "a b"}]}}, r"expected a name of letters"),
    ({"mine": {"retrievers": [{"run": "a", "name": "given"}]}}, r"'given' marks candidates of negmine's own"),
    ({"mine": {"retrievers": ["dense", "dense"]}}, r"mine.retrievers.1: 'dense' is also the name of mine.retrievers.0"),
    ({"mine": {"retrievers": [SPARSE_RUN] * 2}}, r"mine.retrievers.1.name: 'sparse' is also the name of"),
    ({"mine": {"retrievers": [RERANKED_RUN]}}, r"mine.k: applies to no retriever"),
    (
        {"mine": {"retrievers": [SPARSE_RUN]}, "index": {"dense": "auto"}},
        r"index.dense: applies only where the vectors",
    ),
    ({"mine": {"retrievers": [SPARSE_RUN]}, "pairs": {"max_rank": 3}}, r"pairs.max_rank: applies only where"),
    ({"mine": {"retrievers": ["dense", SPARSE_RUN]}, "filter": {"num_negatives": 13}}, r"13 .* from 12 candidates"),
]


@pytest.mark.parametrize(("sections", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_config_is_refused(make: Make, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**sections)
