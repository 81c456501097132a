"""A judge between filter and export: what it drops, what takes the place, what that means for the training files."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from judged_run import QUERIES, Data, is_relevant

import negmine
from negmine.results import read_negatives, read_verdicts


def oracle(data: Data, wanted: int = 4, depth: int = 20) -> dict[int, list[int]]:
    """The negatives by brute force: the first survivors in filter's order that are not relevant, of ``depth``."""
    found = {}
    for q in range(QUERIES):
        rows = [row for row in data.rows("filter") if row["query"] == q and row["place"] is not None]
        looked = sorted(rows, key=lambda row: row["place"])[:depth]
        good = [row["passage"] for row in looked if not data.relevant(row)]
        found[q] = good[:wanted]
    return found


def test_no_negative_is_relevant_and_the_next_survivors_take_the_place(data: Data) -> None:
    negmine.run(data.config())
    before, after = data.negatives("filter"), data.negatives()
    assert any(data.relevant({"query": q, "passage": p}) for q, ps in before.items() for p in ps)
    assert {q: sorted(ps) for q, ps in after.items()} == {q: sorted(ps) for q, ps in oracle(data).items()}
    counts = data.manifest()["counts"]
    judged = [row for row in data.rows() if row["judgement"] is not None]
    assert counts["judged"] == len(judged) == sum(data.server.judged.values())
    assert counts["confirmed"] == sum(data.relevant(row) for row in judged) == counts["reason_judged_relevant"]
    assert all((row["judgement"] == "relevant") == data.relevant(row) for row in judged)
    assert {row["judged_by"] for row in judged} == {"cheap"}
    assert counts["negatives"] == sum(map(len, after.values())) == read_negatives(data.config()).num_rows
    assert counts["refilled"] == len([p for q in after for p in after[q] if p not in before[q]])


def test_positions_count_from_one_and_every_candidate_is_still_there(data: Data) -> None:
    negmine.run(data.config())
    filtered, judged = data.rows("filter"), data.rows()
    assert [(r["query"], r["passage"]) for r in filtered] == [(r["query"], r["passage"]) for r in judged]
    for q in range(QUERIES):
        positions = [r["position"] for r in judged if r["query"] == q and r["verdict"] == "kept"]
        assert positions == list(range(1, len(positions) + 1))
    assert all((r["verdict"] == "kept") == (r["reason"] == "kept") == (r["position"] is not None) for r in judged)


def test_depth_limits_how_many_are_judged(data: Data) -> None:
    """A query whose first survivors are all relevant comes out short."""
    negmine.run(data.config({"depth": 5}))
    assert {q: sorted(ps) for q, ps in data.negatives().items()} == {
        q: sorted(ps) for q, ps in oracle(data, depth=5).items()
    }
    asked = [sum(1 for _, query, _ in data.server.judged if query == text) for text in data.queries]
    assert max(asked) == 5
    report = json.loads((data.folder / "run/judge/report.json").read_text())
    assert report["queries_with_all"] < QUERIES
    assert len(report["starved"]) == QUERIES - report["queries_with_all"] == data.manifest()["counts"]["short_queries"]


def test_queries_that_come_out_short_are_dropped_where_the_config_says_so(data: Data) -> None:
    negmine.run(data.config({"depth": 5}, on_shortage="drop"))
    expected = oracle(data, depth=5)
    for q, passages in data.negatives().items():
        assert sorted(passages) == (sorted(expected[q]) if len(expected[q]) == 4 else [])
    assert data.manifest()["counts"]["reason_starved"] > 0


def test_promoted_passages_are_positives_in_every_export(data: Data) -> None:
    """Also in provenance, in the qrels, and in the card."""
    export = [
        {"format": "labeled-list", "file": "lists.jsonl", "scores": True},
        {"format": "flagembedding", "file": "fe.jsonl"},
        {"format": "triplet", "file": "t.jsonl"},
        {"format": "beir", "file": "beir"},
    ]
    config = data.config({"action": "promote"}, export=export)
    negmine.run(config)
    run = data.folder / "run"
    promoted = {(row["query"], row["passage"]) for row in data.rows() if row["reason"] == "judged_relevant"}
    assert promoted
    assert data.manifest()["counts"]["promoted"] == len(promoted)
    number = {text: n for n, text in enumerate(data.queries)}
    passage = {text: n for n, text in enumerate(data.passages)}
    expected = promoted | {(q, 3 * q) for q in range(QUERIES)}
    rows = [json.loads(line) for line in (run / "export/fe.jsonl").read_text().splitlines()]
    assert {(number[row["query"]], passage[text]) for row in rows for text in row["pos"]} == expected
    assert not {(number[row["query"]], passage[text]) for row in rows for text in row["neg"]} & expected
    rows = [json.loads(line) for line in (run / "export/t.jsonl").read_text().splitlines()]
    assert {(number[row["anchor"]], passage[row["positive"]]) for row in rows} == expected
    lists = [json.loads(line) for line in (run / "export/lists.jsonl").read_text().splitlines()]
    assert all(len(row["documents"]) == len(row["scores"]) for row in lists)
    qrels = (run / "export/beir/qrels/train.tsv").read_text().splitlines()[1:]
    graded = {tuple(int(cell[1:]) for cell in line.split("\t")[:2]): line.split("\t")[2] for line in qrels}
    assert set(graded) == expected
    assert set(graded.values()) == {"1"}
    provenance = pq.read_table(run / "export/provenance.parquet").to_pylist()
    marked = {
        (int(row["query_id"][1:]), int(name[1:]))
        for row in provenance
        for name, by_judge in zip(row["positive_ids"], row["promoted"], strict=True)
        if by_judge
    }
    assert marked == promoted
    card = (run / "export/README.md").read_text()
    assert f"{len(expected):,} positives" in card
    assert f"{len(promoted):,} of them are positives here" in card
    assert '| `judge.action` | "promote" |' in card


def test_quarantined_queries_are_in_no_training_file(data: Data) -> None:
    negmine.run(data.config({"action": "quarantine"}))
    before = data.negatives("filter")
    out = {q for q, ps in before.items() if any(data.relevant({"query": q, "passage": p}) for p in ps)}
    assert 0 < len(out) < QUERIES
    held = pq.read_table(data.folder / "run/judge/held_out.parquet").to_pylist()
    assert {row["query"] for row in held} == out == {int(row["query_id"][1:]) for row in held}
    lists = [json.loads(line) for line in (data.folder / "run/export/lists.jsonl").read_text().splitlines()]
    assert {row["anchor"] for row in lists} == {data.queries[q] for q in range(QUERIES) if q not in out}
    asked = {query: sum(q == query for _, q, _ in data.server.judged) for query in data.queries}
    assert set(asked.values()) == {4}, "nothing takes a place where the query is out"
    assert f"{QUERIES - len(out)} queries" in (data.folder / "run/export/README.md").read_text()


def test_a_query_with_too_many_relevant_candidates_is_left_out(data: Data) -> None:
    data.server.truth = lambda query, text: query.startswith("5 ") or is_relevant(query, text)
    negmine.run(data.config({"max_relevant": 6, "action": "promote"}))
    held = pq.read_table(data.folder / "run/judge/held_out.parquet").to_pylist()
    assert [(row["query_id"], row["relevant"]) for row in held] == [("q5", 8)]
    assert not data.negatives()[5]
    lists = [json.loads(line) for line in (data.folder / "run/export/lists.jsonl").read_text().splitlines()]
    assert data.queries[5] not in {row["anchor"] for row in lists}


def test_the_strong_judge_is_asked_about_what_the_first_flags_and_decides(data: Data) -> None:
    data.server.of_model = {
        "cheap": lambda query, text: is_relevant(query, text) or int(text.split()[0]) % 3 == 0,
        "strong": is_relevant,
    }
    negmine.run(data.config({"strong": {}}))
    rows = [row for row in data.rows() if row["judgement"] is not None]
    flagged = {(row["query"], row["passage"]) for row in rows if row["flagged"]}
    asked = {(int(q.split()[0]), int(p.split()[0])) for model, q, p in data.server.judged if model == "strong"}
    assert flagged == asked
    assert all((row["judgement"] == "relevant") == data.relevant(row) for row in rows)
    assert {row["judged_by"] for row in rows if row["flagged"]} == {"strong"}
    counts = data.manifest()["counts"]
    assert counts["strong_asked"] == counts["flagged"] == len(flagged)
    assert counts["strong_agreed"] == counts["confirmed"] < counts["flagged"]
    report = json.loads((data.folder / "run/judge/report.json").read_text())["judge"]
    assert report["agreement"] == counts["confirmed"] / counts["flagged"]


def test_random_negatives_are_judged_and_nothing_takes_their_place(data: Data) -> None:
    negmine.run(data.config(random_share=0.5))
    rows = data.rows()
    drawn = [row for row in rows if row["retriever"] == "random"]
    assert all(row["judgement"] is not None for row in drawn)
    assert {row["reason"] for row in drawn} == {"kept", "judged_relevant"}
    mined = [row for row in rows if row["verdict"] == "kept" and row["retriever"] != "random"]
    assert len(mined) == 2 * QUERIES


@pytest.mark.parametrize(
    "strategy", ["spread", *(pytest.param(s, marks=pytest.mark.slow) for s in ("random", "simans"))]
)
def test_survivors_take_places_in_the_order_of_the_strategy(data: Data, strategy: str) -> None:
    negmine.run(data.config(sampling_strategy=strategy))
    assert {q: sorted(ps) for q, ps in data.negatives().items()} == {q: sorted(ps) for q, ps in oracle(data).items()}


def test_no_passage_serves_more_often_than_it_may(data: Data) -> None:
    negmine.run(data.config(max_reuse=3))
    for stage in ("filter", "judge"):
        used = np.bincount([p for ps in data.negatives(stage).values() for p in ps])
        assert used.max() <= 3


def test_near_duplicates_of_a_positive_take_no_place(data: Data) -> None:
    """Filter compares the texts of what it takes only; the judge is not asked about the others either."""
    corpus = [json.loads(line) for line in (data.folder / "corpus.jsonl").read_text().splitlines()]
    negmine.run(data.config(), until="filter")
    order = [r for r in data.rows("filter") if r["query"] == 0 and r["reason"] == "not_sampled"]
    twins = {r["passage"] for r in order}
    words = " ".join(f"word{n}" for n in range(40))
    for row in corpus:
        number = int(row["_id"][1:])
        if number == 0 or number in twins:
            row["text"] = f"{number} {words}"
    (data.folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    data.server.truth = lambda query, text: query.startswith("0 ")
    negmine.run(data.config({"max_relevant": 50}, near_duplicates={"jaccard": 0.8}))
    rows = {r["passage"]: r for r in data.rows() if r["query"] == 0}
    assert all(rows[p]["reason"] == "near_duplicate" for p in list(twins)[:5] if rows[p]["place"] <= 20)
    assert not data.negatives()[0]


def test_without_the_judge_the_verdicts_are_those_of_filter(data: Data) -> None:
    """Also in a folder that an earlier run with a judge has left."""
    judged = data.config()
    negmine.run(judged)
    plain = data.without_judge()
    result = negmine.run(plain)
    assert [stage.stage for stage in result.stages] == ["ingest", "embed", "index", "mine", "filter", "export"]
    assert result.stages[-1].state == "done"
    assert read_verdicts(plain).num_rows == read_verdicts(judged).num_rows
    assert "judgement" in read_verdicts(judged).column_names
    assert "judgement" not in read_verdicts(plain).column_names
    assert "judgement" in read_verdicts(data.folder / "run").column_names
    negmine.run(data.without_judge(absolute_margin=0.01))
    assert "judgement" not in read_verdicts(data.folder / "run").column_names, "it was about other verdicts"


@pytest.mark.slow
def test_a_split_keeps_queries_together_that_share_a_promoted_passage(data: Data) -> None:
    config = data.config({"action": "promote"}, split={"dev": 0.2}, mine={"k": 12})
    data.server.truth = lambda query, text: int(query.split()[0]) % 12 == int(text.split()[0]) % 12
    negmine.run(config)
    sides = {
        int(row["query_id"][1:]): row["split"]
        for row in pq.read_table(data.folder / "run/export/split.parquet").to_pylist()
    }
    owner: dict[int, set[str]] = {}
    pairs = {(q, 3 * q) for q in range(QUERIES)}
    pairs |= {(row["query"], row["passage"]) for row in data.rows() if row["reason"] == "judged_relevant"}
    for q, p in pairs:
        owner.setdefault(p, set()).add(sides[q])
    assert all(len(found) == 1 for found in owner.values())
    assert set(sides.values()) == {"train", "dev"}


def test_the_card_names_the_model_and_not_the_server(data: Data) -> None:
    negmine.run(data.config())
    card = (data.folder / "run/export/README.md").read_text()
    assert "cheap" in card
    assert data.server.url not in card
