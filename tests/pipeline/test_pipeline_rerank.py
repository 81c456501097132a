"""Candidates and positives scored once more by a cross-encoder, and a filter that goes by these scores."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))
sys.path.insert(0, str(Path(__file__).parents[1] / "integrity"))
sys.path.insert(0, str(Path(__file__).parents[1] / "scoring"))
sys.path.insert(0, str(Path(__file__).parents[1] / "endpoints"))

import tiny_models
from rerank_server import RerankServer, score_of
from stopping import Stopping

import negmine
from negmine.errors import ConfigError, NegmineError
from negmine.explain import explain
from negmine.results import read_verdicts
from negmine.scoring import cross_encoder
from negmine.sweep import axes, sweep

QUERIES, PASSAGES, K = 24, 120, 15
WORDS = ["dock", "parcel", "refund", "truck", "slot", "password", "guest", "scan", "label", "route"]
Pair = tuple[int, int]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_cross_encoder(tmp_path_factory.mktemp("models") / "reranker")


class Data:
    """Files of a run in a folder; every third query has two positives."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        draw = np.random.default_rng(3)
        self.passages = [f"{i} " + " ".join(draw.choice(WORDS, draw.integers(1, 12))) for i in range(PASSAGES)]
        self.queries = [f"{i} " + " ".join(draw.choice(WORDS, 3)) for i in range(QUERIES)]
        self.positives = {(q, 3 * q + j) for q in range(QUERIES) for j in range(1 + (q % 3 == 0))}
        vectors = draw.standard_normal((PASSAGES, 8)).astype(np.float32)
        np.save(folder / "c.npy", vectors)
        near = vectors[3 * np.arange(QUERIES)] + draw.standard_normal((QUERIES, 8)).astype(np.float32)
        rows = {"query_id": [f"q{q}" for q in range(QUERIES)], "vector": list(near)}
        pq.write_table(pa.table(rows), folder / "q.parquet")
        self.write()

    def write(self) -> None:
        corpus = [{"_id": f"d{i}", "text": text} for i, text in enumerate(self.passages)]
        pairs = [
            {"query_id": f"q{q}", "anchor": self.queries[q], "positive_id": f"d{p}"} for q, p in sorted(self.positives)
        ]
        for name, lines in (("corpus.jsonl", corpus), ("pairs.jsonl", pairs)):
            (self.folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

    def config(self, rerank: Any = None, work_dir: str = "run", k: int = K, **rules: Any) -> negmine.Config:
        given = {"model": str(self.model), "device": "cpu", "part_pairs": 100}
        mapping = {
            "work_dir": work_dir,
            "threads": 1,
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.parquet"}},
            "mine": {"k": k, "part_queries": 10},
            "filter": {"num_negatives": 3, "risk": None, "near_duplicates": None, **rules},
            "export": [{"format": "labeled-list", "file": "lists.jsonl", "scores": True}],
        }
        if rerank is not False:
            mapping["rerank"] = {**given, **(rerank or {})} if "endpoint" not in (rerank or {}) else rerank
        return negmine.config_from_dict(mapping, self.folder)

    def mined(self, work_dir: str = "run") -> dict[Pair, float]:
        return _scores(self.folder / work_dir / "mine", "part-*.parquet")

    def scores(self, work_dir: str = "run") -> dict[Pair, float]:
        return _scores(self.folder / work_dir / "rerank", "part-*.parquet")

    def bytes(self, work_dir: str = "run") -> dict[str, bytes]:
        root = self.folder / work_dir
        return {
            str(path.relative_to(root)): path.read_bytes()
            for stage in ("rerank", "filter", "export")
            for path in sorted((root / stage).glob("*"))
            if path.suffix in (".parquet", ".jsonl")
        }


def _scores(folder: Path, pattern: str) -> dict[Pair, float]:
    tables = [pq.read_table(path) for path in sorted(folder.glob(pattern))]
    rows = [row for table in tables for row in table.select(["query", "passage", "score"]).to_pylist()]
    assert len({(row["query"], row["passage"]) for row in rows}) == len(rows)
    return {(row["query"], row["passage"]): row["score"] for row in rows}


@pytest.fixture
def data(tmp_path: Path, model: Path) -> Data:
    return Data(tmp_path, model)


def test_every_candidate_and_positive_is_scored_once_as_predict_scores_it(data: Data) -> None:
    from sentence_transformers import CrossEncoder

    result = negmine.run(data.config())
    stage = next(stage for stage in result.stages if stage.stage == "rerank")
    found = data.scores()
    assert list(found) == sorted(found)
    assert set(found) == set(data.mined()) | data.positives
    assert stage.tasks == len(list((data.folder / "run" / "rerank").glob("part-*"))) > 3
    assert stage.manifest.counts == {"scores": len(found), "reused": 0}
    there = CrossEncoder(str(data.model), device="cpu")
    chosen = sorted(found)[::7]
    alone = [there.predict([(data.queries[q], data.passages[p])])[0] for q, p in chosen]
    np.testing.assert_allclose([found[pair] for pair in chosen], alone, atol=5e-5)


def test_only_the_best_are_scored_with_a_depth_and_the_others_are_no_negatives(data: Data) -> None:
    negmine.run(data.config({"depth": 4}))
    found, mined = data.scores(), data.mined()
    best = set(data.positives)
    for query in range(QUERIES):
        own = [pair for pair in mined if pair[0] == query and pair not in data.positives]  # in the order of mine
        best |= set(own[:4])
    assert set(found) == best
    rows = read_verdicts(data.config({"depth": 4})).to_pylist()
    assert {(row["query"], row["passage"]) for row in rows} == set(mined)
    for row in rows:
        pair = row["query"], row["passage"]
        assert row["dense_score"] == mined[pair]
        assert row["score"] == row["rerank_score"] == found.get(pair)
        assert pair in found or (row["verdict"], row["reason"], row["risk"]) == ("dropped", "range", None)


@pytest.mark.parametrize("reference", ["min", "max", "mean"])
@pytest.mark.parametrize("rules", [{"relative_margin": 0.02}, {"absolute_margin": 0.01}, {"max_score": 0.5}])
def test_the_filter_decides_by_the_scores_of_the_reranker(
    tmp_path_factory: pytest.TempPathFactory, model: Path, reference: str, rules: dict[str, float]
) -> None:
    """Against brute force: reference, margins, ceiling, order, and the scores that are exported."""
    data = Data(tmp_path_factory.mktemp("decides"), model)
    config = data.config(reference=reference, **rules)
    negmine.run(config)
    scores, mined = data.scores(), data.mined()
    how = {"min": min, "max": max, "mean": lambda values: sum(values) / len(values)}[reference]
    rows = read_verdicts(config).to_pylist()
    kept: dict[int, list[int]] = {query: [] for query in range(QUERIES)}
    for query in range(QUERIES):
        of_positives = [scores[pair] for pair in sorted(data.positives) if pair[0] == query]
        limit = how(of_positives)
        candidates = sorted(
            (pair for pair in mined if pair[0] == query and pair not in data.positives),
            key=lambda pair: (-scores[pair], pair),
        )
        for pair in candidates:
            score = scores[pair]
            good = (
                score + rules.get("absolute_margin", -9) <= limit
                and score <= limit - abs(limit) * rules.get("relative_margin", -9)
                and score <= rules.get("max_score", 9)
            )
            if good and len(kept[query]) < 3:
                kept[query].append(pair[1])
        ours = [row for row in rows if row["query"] == query]
        assert [row["score"] for row in ours] == sorted((row["score"] for row in ours), reverse=True)
        assert all(row["reference"] == pytest.approx(limit) for row in ours)
        assert [row["passage"] for row in ours if row["verdict"] == "kept"] == kept[query]
    assert sum(map(len, kept.values())) > 10
    lines = [json.loads(line) for line in (data.folder / "run/export/lists.jsonl").read_text().splitlines()]
    number = {text: q for q, text in enumerate(data.queries)}
    exported = {
        (number[line["anchor"]], data.passages.index(text)): score
        for line in lines
        for text, score in zip(line["documents"], line["scores"], strict=True)
    }
    expected = {(q, p) for q, found in kept.items() if found for p in found}
    assert {pair for pair in exported if pair not in data.positives} == expected
    assert all(score == pytest.approx(scores[pair]) for pair, score in exported.items())


@pytest.mark.parametrize(("agreement", "least"), [("any", 1), ("all", 2)])
def test_a_margin_has_to_hold_under_each_scorer_or_to_be_broken_under_all(
    data: Data, agreement: str, least: int
) -> None:
    config = data.config(score=["dense", "rerank"], relative_margin=0.05, agreement=agreement, num_negatives=15)
    negmine.run(config)
    scorers = data.mined() | _positive_scores(data), data.scores()
    for row in read_verdicts(config).to_pylist():
        pair = row["query"], row["passage"]
        assert row["score"] == row["dense_score"] == scorers[0][pair]
        if pair in data.positives:
            continue
        objecting = 0
        for scores in scorers:
            limit = min(scores[positive] for positive in data.positives if positive[0] == pair[0])
            objecting += not scores[pair] <= limit - abs(limit) * 0.05
        assert (row["reason"] == "relative_margin") == (objecting >= least), row


def _positive_scores(data: Data) -> dict[Pair, float]:
    return _scores(data.folder / "run" / "mine", "positives.parquet")


def test_pairs_that_were_scored_before_are_not_scored_again(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a deeper search and a changed passage only what is new is; the files are those of a run from nothing."""
    asked: list[int] = []
    real = cross_encoder.CrossEncoderScorer.score

    def counted(self: Any, queries: Any, passages: Any, of_query: Any, *rest: Any) -> np.ndarray:
        asked.append(len(of_query))
        return real(self, queries, passages, of_query, *rest)

    monkeypatch.setattr(cross_encoder.CrossEncoderScorer, "score", counted)
    negmine.run(data.config())
    before = data.scores()
    asked.clear()
    data.passages[7] += " and more"
    data.write()
    negmine.run(data.config({"part_pairs": 60}, k=K + 5))
    after = data.scores()
    assert sum(asked) == sum(pair not in before or pair[1] == 7 for pair in after) < len(after) / 2
    negmine.run(data.config({"part_pairs": 60}, "fresh", k=K + 5))
    assert data.bytes() == data.bytes("fresh")
    asked.clear()
    negmine.run(data.config({"part_pairs": 60}, k=K + 5, relative_margin=0.1))
    assert not asked


def test_another_model_scores_everything_anew(data: Data, tmp_path: Path) -> None:
    negmine.run(data.config())
    before = data.scores()
    data.model = tiny_models.save_cross_encoder(tmp_path / "other", seed=5)
    result = negmine.run(data.config())
    assert result.stages[4].manifest.counts["reused"] == 0
    assert data.scores() != before


def test_an_interrupted_stage_goes_on_and_ends_with_the_same_bytes(data: Data) -> None:
    negmine.run(data.config(work_dir="whole"))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            negmine.run(data.config(), executor=Stopping("rerank", 1))
    (state,) = [stage for stage in negmine.status(data.config()) if stage.stage == "rerank"]
    assert (state.state, state.tasks_done) == ("partial", 2)
    result = negmine.run(data.config())
    assert result.stages[4].tasks_run == result.stages[4].tasks - 2
    assert data.bytes() == data.bytes("whole")


def test_a_run_without_a_reranker_has_no_such_stage(data: Data) -> None:
    config = data.config(rerank=False)
    negmine.run(config)
    assert not (data.folder / "run" / "rerank").exists()
    assert "rerank" not in [stage.stage for stage in negmine.status(config)]
    assert "rerank_score" not in read_verdicts(config).column_names
    with pytest.raises(ConfigError, match="no reranker is configured"):
        negmine.run(config, until="rerank", only=True)
    again = negmine.run(data.config())
    assert [stage.stage for stage in again.stages if stage.state == "done"] == ["rerank", "filter", "export"]
    back = negmine.run(config)
    assert [stage.stage for stage in back.stages if stage.state == "done"] == ["filter", "export"]


def test_explain_and_sweep_go_by_the_deciding_score(data: Data) -> None:
    config = data.config({"depth": 6}, relative_margin=0.02)
    negmine.run(config)
    scores, dense = data.scores(), data.mined()
    (query,) = explain(config, ["q6"])
    assert query.reference == min(scores[6, 18], scores[6, 19])
    assert {positive.doc_id: positive.score for positive in query.positives} == {
        "d18": scores[6, 18],
        "d19": scores[6, 19],
    }
    for each in query.candidates:
        pair = 6, int(each.doc_id[1:])
        assert (each.score, each.scores["rerank"], each.scores["dense"]) == (
            scores.get(pair),
            scores.get(pair),
            dense[pair],
        )
    found = sweep(config, axes(["filter.relative_margin=0.02,0.5"]))
    report = json.loads((data.folder / "run" / "filter" / "report.json").read_text())
    assert found.current.negatives == report["negatives"]
    assert found.points[-1].negatives < found.points[0].negatives


def test_a_run_may_learn_its_limits_from_the_reranker(data: Data) -> None:
    """The default rule, a calibrated leak of hidden positives, and the card of the training files."""
    config = data.config(risk={"max": 0.5, "as_hard_as": 0.05}, reference="mean")
    negmine.run(config)
    report = json.loads((data.folder / "run" / "filter" / "report.json").read_text())
    assert report["leak"]["hidden"] > 0
    assert "cross-encoder (reranker)" in (data.folder / "run/export/README.md").read_text()


def test_a_server_may_score(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = RerankServer()
    try:
        rerank = {"endpoint": {"url": server.url, "timeout": 5, "batch_texts": 7}, "part_pairs": 90}
        negmine.run(data.config(rerank))
        found = data.scores()
        assert found == {(q, p): score_of(data.queries[q], data.passages[p]) for q, p in found}
        probe = "negmine\0negmine"
        assert set(server.embedded) - {probe} == {f"{data.queries[q]}\0{data.passages[p]}" for q, p in found}
        asked = len(server.requests)
        negmine.run(data.config(rerank, num_negatives=2))
        assert len(server.requests) == asked
    finally:
        server.stop()


def test_a_share_of_scores_below_zero_is_refused_when_a_server_gives_them(data: Data) -> None:
    server = RerankServer()
    server.edit = lambda answer, request: [{**item, "score": item["score"] - 0.9} for item in answer]
    try:
        rerank = {"endpoint": {"url": server.url, "timeout": 5}}
        with pytest.raises(ConfigError, match=r"filter.relative_margin: .*scores below zero.*absolute_margin"):
            negmine.run(data.config(rerank, relative_margin=0.1))
        negmine.run(data.config(rerank, absolute_margin=0.1))
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("rerank", "rules", "match"),
    [
        ({"activation": "identity"}, {"relative_margin": 0.1}, "relative_margin: is a share.*logit.*absolute_margin"),
        ({"activation": "identity"}, {"risk": {"as_hard_as": 0.1}}, "as_hard_as.*share.*logit.*sigmoid"),
        ({}, {"score": "dense"}, "filter.score: .*no rule uses these scores"),
        (False, {"score": "rerank"}, "filter.score: 'rerank' needs a reranker"),
        ({}, {"score": "rerak"}, "filter.score: .*Did you mean 'rerank'"),
        ({}, {"score": ["dense", "dense"]}, "listed twice"),
        ({}, {"score": ["dense", "rerank"]}, "neither filter.leak_rate nor filter.relative_margin"),
        ({}, {"score": ["dense", "rerank"], "absolute_margin": 0.1}, "absolute_margin: means something else"),
        ({}, {"on_shortage": "random"}, "random passages have no score"),
        ({"model": None}, {}, "rerank.model: there is no reranker"),
        ({"endpoint": {"url": "http://a", "style": "cohere"}}, {}, "rerank.endpoint.model|told which model"),
        ({"endpoint": {"url": "http://a"}, "device": "cpu"}, {}, "rerank.device: applies only to rerank.model"),
        ({"revision": "v1"}, {}, "rerank.revision: applies only to a hub model"),
    ],
)
def test_what_cannot_apply_is_refused(data: Data, rerank: Any, rules: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        data.config(rerank, **rules)


def test_logits_decide_by_absolute_margins(data: Data) -> None:
    config = data.config({"activation": "identity"}, absolute_margin=0.5)
    negmine.run(config)
    assert min(data.scores().values()) < 0
    kept = [row for row in read_verdicts(config).to_pylist() if row["verdict"] == "kept"]
    assert kept
    assert all(row["score"] + 0.5 <= row["reference"] for row in kept)


def test_a_missing_model_is_told_before_anything_is_done(data: Data) -> None:
    data.model = data.folder / "nowhere"
    with pytest.raises(NegmineError, match=r"model folder of rerank.model '.*nowhere' does not exist"):
        negmine.run(data.config())
    assert not (data.folder / "run" / "ingest").exists()
