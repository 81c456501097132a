"""Whole runs of the rules that look at the run as a whole: risk, leak rate, reuse, near duplicates."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import negmine
from negmine.errors import ConfigError
from negmine.results import read_verdicts
from negmine.selection.random import mix
from negmine.text import id_hash

RELEVANT = 4  # passages that answer each query, of which two or three are labelled
NOTHING = {"risk": None, "near_duplicates": None}


class World:
    """Files of queries with several answers; runs share what was mined and differ in ``filter``."""

    def __init__(self, folder: Path, queries: int, several: int, *, turned: bool = False) -> None:
        """``several`` of the queries have two labels or three, the others one; ``turned``: corpus from its end."""
        rng = np.random.default_rng(queries)
        self.folder, self.queries = folder, queries
        topics = rng.normal(size=(queries, 12))
        answers = np.repeat(topics, RELEVANT, axis=0) + rng.normal(size=(queries * RELEVANT, 12)) * 0.9
        others = rng.normal(size=(queries, 12)) * 1.2
        self.labels = {q: [q * RELEVANT + i for i in range(1 if q >= several else 2 + q % 2)] for q in range(queries)}
        # The first answer of every tenth query comes again with one word changed.
        copied = np.arange(0, queries, 10) * RELEVANT
        self.copies = {int(p): len(answers) + len(others) + n for n, p in enumerate(copied)}
        vectors = np.concatenate([answers, others, answers[copied] + rng.normal(size=(len(copied), 12)) * 0.05])
        texts = [" ".join(f"word{n}" for n in rng.integers(0, 5_000, 40)) for _ in vectors]
        for original, copy in self.copies.items():
            texts[copy] = texts[original].rsplit(" ", 1)[0] + " otherwise"
        self.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        folder.mkdir()
        np.save(folder / "c.npy", self.vectors.astype(np.float32))
        np.save(folder / "q.npy", (topics / np.linalg.norm(topics, axis=1, keepdims=True)).astype(np.float32))
        corpus = [{"_id": f"d{p}", "text": text, "doc": self.doc_of(p)} for p, text in enumerate(texts)]
        pairs = [
            {"query_id": f"q{q}", "anchor": f"query {q}", "positive_id": [f"d{p}" for p in self.labels[q]]}
            for q in range(queries)
        ]
        if turned:
            corpus.reverse()
            np.save(folder / "c.npy", self.vectors[::-1].astype(np.float32))
        for name, rows in (("corpus.jsonl", corpus), ("pairs.jsonl", pairs)):
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def doc_of(self, passage: int) -> str | None:
        """The first and the last answer of a query are of one document; the others stand alone."""
        return f"doc{passage // RELEVANT}" if passage % RELEVANT in (0, 3) else None

    def run(self, work_dir: str = "run", *, k: int = 40, part_queries: int = 1000, **rules: Any) -> Run:
        config = negmine.config_from_dict(
            {
                "work_dir": work_dir,
                "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl", "metadata": ["doc"]},
                "embed": {"vectors": {"corpus": "c.npy", "queries": "q.npy"}},
                "mine": {"k": k, "part_queries": part_queries},
                "filter": rules,
            },
            self.folder,
        )
        negmine.run(config)
        return Run(config)


class Run:
    """Verdicts and report of a finished run."""

    def __init__(self, config: negmine.Config) -> None:
        self.rows = read_verdicts(config).to_pylist()
        self.report = json.loads((Path(config.work_dir) / "filter" / "report.json").read_text())
        self.kept = [row for row in self.rows if row["verdict"] == "kept"]

    @property
    def mean_score(self) -> float:
        return math.fsum(row["score"] for row in self.kept) / len(self.kept)

    @property
    def negatives(self) -> list[tuple[str, str, str, int]]:
        return [(row["query_id"], row["doc_id"], row["retriever"], row["position"]) for row in self.kept]

    def reason(self, query: int, passage: int) -> str | None:
        wanted = (f"q{query}", f"d{passage}")
        return next((row["reason"] for row in self.rows if (row["query_id"], row["doc_id"]) == wanted), None)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> World:
    """20 queries with several positives, 4 with one."""
    return World(tmp_path_factory.mktemp("tiny") / "world", 24, 20)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> World:
    """60 queries with several positives, 20 with one."""
    return World(tmp_path_factory.mktemp("few") / "world", 80, 60)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Enough queries with several positives to fit a model on: 420."""
    return World(tmp_path_factory.mktemp("many") / "world", 440, 420)


# -- leak --


def leak_by_hand(world: World, run: Run, *, margin: float, ceiling: float, num_negatives: int) -> tuple[int, int]:
    """(exposed, chosen): one positive of each query hidden, five times, and the filter done again by hand.

    Rules: ``relative_margin``, ``positive_similarity`` and ``exclude_same: [doc]``.
    """
    lists: dict[int, list[dict]] = {}
    for row in run.rows:
        lists.setdefault(int(row["query_id"][1:]), []).append(row)
    exposed = chosen = 0
    for split in range(1, 6):
        for query, labels in world.labels.items():
            if len(labels) < 2:
                continue
            keys = {p: int(mix(split, np.uint64(id_hash(f"q{query}")), np.uint64(id_hash(f"d{p}")))[0]) for p in labels}
            hidden = min(labels, key=lambda p: keys[p])
            shown = [p for p in labels if p != hidden]
            passages = [int(row["doc_id"][1:]) for row in lists[query]]
            if hidden not in passages:
                continue
            exposed += 1
            score = dict(zip(passages, (row["score"] for row in lists[query]), strict=True))
            reference = min(score.get(p, 1.0) for p in shown)
            taken = [p for p in passages if p not in shown and score[p] <= reference - abs(reference) * margin]
            docs = {world.doc_of(p) for p in shown} - {None}
            taken = [p for p in taken if world.doc_of(p) not in docs]
            cosine = {p: max(float(world.vectors[p] @ world.vectors[s]) for s in shown) for p in taken}
            taken = [p for p in taken if cosine[p] <= ceiling][:num_negatives]
            chosen += hidden in taken
    return exposed, chosen


@pytest.mark.parametrize(("margin", "ceiling"), [(0.0, 0.95), (0.05, 0.6)])
def test_the_reported_leak_is_that_of_hiding_positives_by_hand(few: World, margin: float, ceiling: float) -> None:
    """Also a hidden positive that shares a document with none of the shown ones can come back."""
    rules = {"relative_margin": margin, "positive_similarity": ceiling, "exclude_same": ["doc"], "num_negatives": 8}
    run = few.run(k=150, **NOTHING, **rules)
    exposed, chosen = leak_by_hand(few, run, margin=margin, ceiling=ceiling, num_negatives=8)
    leak = run.report["leak"]
    assert (leak["queries"], leak["splits"]) == (60, 5)
    assert (leak["exposed"], leak["chosen"]) == (exposed, chosen)
    assert 0 < chosen < exposed
    assert leak["rate"] == chosen / exposed
    assert leak["interval"][0] <= leak["rate"] <= leak["interval"][1]
    assert leak["survived"] >= chosen


def test_a_leak_rate_holds_for_the_queries_it_was_not_calibrated_on(many: World) -> None:
    loose = many.run(**NOTHING)
    run = many.run(**NOTHING, leak_rate=0.1)
    assert run.report["leak_margin"] is not None
    assert run.report["leak"]["queries"] == 210
    assert run.report["reasons"]["leak_margin"] > 0
    rate, hidden = run.report["leak"]["survived"] / run.report["leak"]["hidden"], run.report["leak"]["hidden"]
    # 4 standard errors of 210 queries measured, and as many of 210 calibrated on.
    assert rate < 0.1 + 4 * math.sqrt(2 * 0.1 * 0.9 / 210)
    assert hidden == 5 * 210
    assert run.report["leak"]["rate"] < loose.report["leak"]["rate"]
    for row in run.kept:
        assert row["reference"] - row["score"] > run.report["leak_margin"]


def test_too_few_labels_for_a_leak_rate_stop_the_run_before_it_searches(few: World) -> None:
    with pytest.raises(ConfigError, match=r"a leak rate of 0\.01 .* needs 197 of them and there are 60") as caught:
        few.run("too-few", **NOTHING, leak_rate=0.01)
    assert "Label 137 more" in str(caught.value.hint)
    assert (few.folder / "too-few" / "ingest" / "manifest.json").exists()
    assert not (few.folder / "too-few" / "mine" / "manifest.json").exists()


def test_a_run_without_several_positives_has_no_leak(tmp_path: Path) -> None:
    run = World(tmp_path / "world", 20, 0).run()
    assert run.report["leak"] is None
    assert run.report["risk"]["model"] == "shipped"


# -- risk --


@pytest.mark.parametrize("weights", ["auto", "shipped"])
def test_negatives_are_as_hard_as_those_of_the_margin(many: World, weights: str) -> None:
    """The limit is the least at which they are, and at which 95% of the slots are filled."""
    goal = many.run(risk=None, near_duplicates=None, relative_margin=0.1).mean_score
    slots = len(many.run(**NOTHING).kept)

    def enough(run: Run) -> bool:
        return run.mean_score >= goal and len(run.kept) >= 0.95 * slots

    run = many.run(risk={"as_hard_as": 0.1, "weights": weights}, near_duplicates=None)
    assert enough(run)
    limit = run.report["risk"]["limit"]
    assert 0 < limit < 1
    assert all(row["risk"] <= limit for row in run.kept)
    assert run.report["reasons"]["risk"] > 0
    stricter = many.run(risk={"max": limit * 0.95, "weights": weights}, near_duplicates=None)
    assert not enough(stricter)


@pytest.mark.parametrize("target", [0.06, 0.1])
def test_the_mean_risk_of_negatives_is_within_the_target(many: World, target: float) -> None:
    run = many.run(risk={"target_fnr": target}, near_duplicates=None)
    assert run.kept
    mean = math.fsum(row["risk"] for row in run.kept) / len(run.kept)
    assert mean <= target
    assert run.report["risk"]["mean"] == pytest.approx(mean)
    free = many.run(risk={"max": 0.999}, near_duplicates=None)
    assert run.report["risk"]["limit"] < 1 or free.report["risk"]["mean"] <= target


def test_the_strictest_limit_counts(many: World) -> None:
    each = {"as_hard_as": 0.1, "max": 0.2, "target_fnr": 0.05}
    limits = [many.run(risk={name: value}).report["risk"]["limit"] for name, value in each.items()]
    run = many.run(risk=each)
    assert run.report["risk"]["limit"] == min(limits)
    assert limits[1] == 0.2
    assert all(row["risk"] <= min(limits) for row in run.kept)
    dropped = [row for row in run.rows if row["reason"] == "risk"]
    assert dropped
    assert all(row["risk"] > min(limits) for row in dropped)


def test_a_model_is_fitted_where_labels_suffice(many: World, few: World) -> None:
    def model(run: Run) -> tuple[str, int]:
        return run.report["risk"]["model"], run.report["risk"]["fitted_on"]

    fitted = many.run(risk={"max": 0.5})
    assert model(fitted) == ("fitted on this run", 210)
    shipped = many.run(risk={"max": 0.5, "weights": "shipped"})
    assert model(shipped) == ("shipped", 0)
    assert model(few.run(risk={"max": 0.5})) == ("shipped", 0)
    # Leaks are only measured on the others.
    assert fitted.report["leak"]["queries"] == 210
    assert shipped.report["leak"]["queries"] == 420


def test_a_fitted_model_ranks_answers_above_others(many: World) -> None:
    """Unlabelled answers, which no run knows of, have a higher risk than what answers nothing."""
    run = many.run(risk={"max": 0.5})
    answers, others = [], []
    for row in run.rows:
        query, passage = int(row["query_id"][1:]), int(row["doc_id"][1:])
        if passage not in many.labels[query]:
            (answers if passage // RELEVANT == query else others).append(row["risk"])
    answers, others = np.array(answers), np.sort(others)
    assert len(answers) > 300
    assert np.searchsorted(others, answers).mean() / len(others) > 0.6


# -- near duplicates, reuse, sampling --


def test_a_copy_of_a_positive_with_a_word_changed_is_dropped(few: World) -> None:
    with_rule = few.run(risk=None)
    without = few.run(**NOTHING)
    seen = 0
    for original, copy in few.copies.items():
        query = original // RELEVANT
        if without.reason(query, copy) == "kept":
            seen += 1
            assert with_rule.reason(query, copy) == "near_duplicate"
    assert seen >= 4
    assert with_rule.report["reasons"]["near_duplicate"] >= seen
    assert without.report["reasons"]["near_duplicate"] == 0
    assert all(few.copies.get(int(row["doc_id"][1:]), -1) < 0 for row in with_rule.kept if row["reason"] != "kept")
    by_cosine = few.run(risk=None, near_duplicates={"jaccard": None, "cosine": 0.98})
    assert by_cosine.report["reasons"]["near_duplicate"] >= seen


def used(run: Run) -> Counter[str]:
    return Counter(row["doc_id"] for row in run.kept if row["retriever"] != "random")


@pytest.mark.parametrize("strategy", ["top", "random", "softmax", "simans", "spread"])
@pytest.mark.parametrize("cap", [1, 2])
def test_no_passage_serves_above_the_cap(few: World, strategy: str, cap: int) -> None:
    rules = {"risk": None, "sampling_strategy": strategy, "num_negatives": 5}
    assert max(used(few.run(**rules)).values()) > cap
    run = few.run(**rules, max_reuse=cap)
    assert max(used(run).values()) == cap
    assert run.report["reasons"]["reuse"] > 0
    assert run.report["hubs"]["most_used"] == cap
    assert not any(
        few.copies.get(p) == int(row["doc_id"][1:]) for row in run.kept for p in few.labels[int(row["query_id"][1:])]
    )


CUTS: list[Any] = [
    pytest.param({}, marks=pytest.mark.slow),
    {"leak_rate": 0.1, "exclude_same": ["doc"]},
    {"max_reuse": 2, "risk": {"target_fnr": 0.1}},
    {"max_reuse": 1, "sampling_strategy": "softmax", "on_shortage": "random"},
    {"random_share": 0.4, "sampling_strategy": "spread", "on_shortage": "drop"},
    pytest.param({"sampling_strategy": "simans", "range_max": 20}, marks=pytest.mark.slow),
    pytest.param({"relative_positive_similarity": 1.0, "sampling_strategy": "random"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("rules", CUTS, ids=lambda rules: "-".join(rules) or "defaults")
def test_how_the_queries_are_cut_changes_no_verdict(tiny: World, rules: dict[str, Any]) -> None:
    whole, thirds, single = (tiny.run(f"parts{size}", part_queries=size, **rules) for size in (1000, 3, 1))
    assert whole.rows == thirds.rows == single.rows
    assert whole.report == thirds.report == single.report
    assert whole.kept


def test_the_order_of_the_corpus_changes_no_verdict(tiny: World, tmp_path: Path) -> None:
    """Draws of hidden positives go by ids, so margin and leak are the same too."""
    turned = World(tmp_path / "turned", 24, 20, turned=True)
    for rules in ({"leak_rate": 0.1, "sampling_strategy": "softmax", "max_reuse": 2}, NOTHING):
        one, other = tiny.run(**rules), turned.run(**rules)
        assert one.negatives == other.negatives
        assert one.report["leak_margin"] == other.report["leak_margin"]
        assert one.report["leak"] == other.report["leak"]
        assert one.report["risk"] == other.report["risk"]
    assert 0 < one.report["leak"]["chosen"] < one.report["leak"]["exposed"]


def test_blocks_of_vectors_change_nothing(tiny: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little memory there is, hidden positives are compared in the same digits."""
    rules = {"positive_similarity": 0.5, "random_share": 0.2}
    whole = tiny.run("blocks-of-all", **rules)
    for module in ("sampling", "fill"):
        monkeypatch.setattr(f"negmine.stages.filter.{module}.block_rows", lambda *_: 7)
    blocks = tiny.run("blocks-of-7", **rules)
    assert blocks.rows == whole.rows
    assert blocks.report == whole.report


@pytest.mark.parametrize(("pairs", "queries"), [(2_000, 23), (10, 1)])
def test_leaks_are_measured_on_as_many_queries_as_can_be_afforded(
    few: World, monkeypatch: pytest.MonkeyPatch, pairs: int, queries: int
) -> None:
    """Of 30 queries with 2 * (2 + 40) pairs each, and 30 with more; one is looked at whatever it costs."""
    monkeypatch.setattr("negmine.stages.filter.sampling._PAIRS", pairs)
    assert few.run(f"pairs{pairs}", **NOTHING).report["leak"]["queries"] == queries


def test_a_label_on_a_second_copy_of_a_document_is_as_good(tmp_path: Path) -> None:
    """Where the answer was found does not depend on which of its ids is labelled."""
    found = []
    for number, label in enumerate(("d0", "again")):
        world = World(tmp_path / str(number), 12, 0)
        lines = (world.folder / "corpus.jsonl").read_text().splitlines(keepends=True)
        (world.folder / "corpus.jsonl").write_text("".join([*lines, lines[0].replace('"d0"', '"again"')]))
        vectors = np.load(world.folder / "c.npy")
        np.save(world.folder / "c.npy", np.concatenate([vectors, vectors[:1]]))
        pairs = (world.folder / "pairs.jsonl").read_text()
        (world.folder / "pairs.jsonl").write_text(pairs.replace('["d0"]', f'["{label}"]'))
        found.append([(row["doc_id"], row["risk"]) for row in world.run().rows if row["query_id"] == "q0"])
    assert found[0] == found[1]


def test_a_share_of_the_negatives_is_random_and_marked(few: World) -> None:
    run = few.run(risk=None, num_negatives=5, random_share=0.4)
    for query in range(few.queries):
        kinds = [retriever for name, _, retriever, _ in run.negatives if name == f"q{query}"]
        assert kinds == ["dense"] * 3 + ["random"] * 2
    mined = few.run(risk=None, num_negatives=3)
    assert [row for row in run.negatives if row[2] == "dense"] == mined.negatives


@pytest.mark.parametrize("strategy", ["random", "softmax", "simans", "spread"])
def test_negatives_are_drawn_from_what_survived(few: World, strategy: str) -> None:
    survived = {(name, doc) for name, doc, _, _ in few.run(risk=None, num_negatives=40).negatives}
    run = few.run(risk=None, num_negatives=3, sampling_strategy=strategy)
    drawn = {(name, doc) for name, doc, _, _ in run.negatives}
    assert drawn <= survived
    assert len(drawn) == 3 * few.queries
    assert drawn != {(name, doc) for name, doc, _, _ in few.run(risk=None, num_negatives=3).negatives}
    assert run.rows == few.run("again", risk=None, num_negatives=3, sampling_strategy=strategy).rows
