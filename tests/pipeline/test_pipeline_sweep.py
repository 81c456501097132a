"""A point of a sweep is what ``filter`` does with that setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import negmine
from negmine.errors import ConfigError, StaleError, UsageError
from negmine.results import read_verdicts
from negmine.stages.base import Run
from negmine.store.workdir import WorkDir
from negmine.sweep import axes, sample, sweep

QUERIES, PASSAGES, K = 480, 360, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Queries between two neighbouring positives, in parts of 100; some texts differ in a word only."""
    folder = tmp_path_factory.mktemp("sweep")
    random = np.random.default_rng(5)
    corpus = random.standard_normal((PASSAGES, 12)).astype(np.float32)
    for near in (1, 2):
        corpus[near::3] = corpus[::3] + 0.5 * near * random.standard_normal((PASSAGES // 3, 12))
    first = random.integers(0, PASSAGES // 3, QUERIES) * 3
    queries = corpus[first] + corpus[first + 1] + 0.6 * random.standard_normal((QUERIES, 12))
    np.save(folder / "c.npy", corpus)
    vectors = {"query_id": [f"q{q}" for q in range(QUERIES)], "vector": list(queries.astype(np.float32))}
    pq.write_table(pa.table(vectors), folder / "q.parquet")
    words = [" ".join(f"w{word}" for word in random.integers(0, 999, 40)) for _ in range(PASSAGES)]
    texts = [f"{words[i - i % 3] if i % 6 == 2 else words[i]} {i}" for i in range(PASSAGES)]
    _write(folder / "corpus.jsonl", [{"_id": f"d{i}", "text": texts[i], "doc": i % 40} for i in range(PASSAGES)])
    pairs = [(q, p) for q in range(QUERIES) for p in (first[q], *([first[q] + 1] * (q % 10 > 0)))]
    _write(
        folder / "pairs.jsonl",
        [{"query_id": f"q{q}", "anchor": f"query {q}", "positive_id": f"d{p}"} for q, p in pairs],
    )
    negmine.run(config(folder), until="mine")
    return folder


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, default=int) + "\n" for row in rows), "utf-8")


def config(folder: Path, **rules: Any) -> negmine.Config:
    return negmine.config_from_dict(
        {
            "work_dir": "run",
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl", "metadata": ["doc"]},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.parquet"}},
            "mine": {"k": K, "part_queries": 100},
            "filter": {"num_negatives": 4, **rules},
        },
        folder,
    )


def put(rules: dict[str, Any], dotted: str, value: float | None) -> dict[str, Any]:
    """The rules with another value of a key."""
    section, _, name = dotted.rpartition(".")
    return {**rules, section: {**(rules.get(section) or {}), name: value}} if section else {**rules, name: value}


def report(folder: Path, rules: dict[str, Any]) -> dict[str, Any]:
    """What ``filter`` itself reports."""
    negmine.run(config(folder, **rules), until="filter")
    return json.loads((folder / "run" / "filter" / "report.json").read_text("utf-8"))


RISK = {"as_hard_as": 0.05, "max": 0.5}


@pytest.mark.parametrize(
    ("rules", "key", "values"),
    [
        ({"risk": RISK}, "risk.as_hard_as", [0, 0.1]),
        ({"risk": RISK}, "risk.max", [0.05, 0.2]),
        ({"risk": None}, "risk.target_fnr", [0.02, 0.1]),
        ({"risk": {"max": 0.3, "weights": "shipped"}}, "relative_margin", [0, 0.2]),
        ({"risk": None}, "absolute_margin", [0.05, 0.2]),
        ({"risk": None}, "leak_rate", [0.05, 0.3]),
        ({"risk": None, "exclude_same": ["doc"]}, "positive_similarity", [0.2, 0.6]),
        ({"risk": None, "reference": "mean"}, "relative_positive_similarity", [0.5, 2]),
        ({"risk": None, "max_reuse": 3}, "relative_margin", [0.05, 0.3]),
        ({"risk": None, "relative_margin": 0.1}, "max_reuse", [1, 4]),
        ({"risk": None, "near_duplicates": None}, "near_duplicates.jaccard", [0.3, 0.9]),
        ({"near_duplicates": {"jaccard": None, "cosine": 0.9}}, "near_duplicates.cosine", [0.3, 0.7]),
        ({"sampling_strategy": "random", "on_shortage": "drop"}, "max_score", [0.3, 0.6]),
        ({"sampling_strategy": "simans", "random_share": 0.5}, "sampling_offset", [-1, 1]),
        ({"on_shortage": "random", "relative_margin": 0.5}, "num_negatives", [1, 12]),
        ({"on_shortage": "drop", "random_share": 0.25, "relative_margin": 0.4}, "min_score", [0.0, 0.2]),
        ({"range_max": 12}, "range_min", [1, 8]),
    ],
)
def test_sweep_points_are_what_filter_reports(
    folder: Path, rules: dict[str, Any], key: str, values: list[float]
) -> None:
    asked = config(folder, **rules)
    found = sweep(asked, axes(asked, [f"{key}={','.join(map(str, values))}"]))
    assert (found.queries, found.left_out) == (QUERIES, ())
    assert [point.values for point in found.points] == [{f"filter.{key}": value} for value in values]
    if key not in ("range_min", "sampling_offset"):  # which may also not fit the config as it is
        assert len({point.reasons["kept"] for point in found.points} | {p.score for p in found.points}) > 1
    for value, point in zip(values, found.points, strict=True):
        other = put(rules, key, value)
        expected, shown = report(folder, other), point.as_json()
        names = ("reasons", "yield", "negatives", "queries_with_all", "queries_without_any", "num_negatives", "leak")
        assert {name: shown[name] for name in (*names, "leak_margin")} == {
            name: expected[name] for name in (*names, "leak_margin")
        }
        assert shown["risk"]["limit"] == expected["risk"]["limit"]
        if "random_share" not in rules and rules.get("on_shortage") != "random":
            means = [shown[name]["mean"] for name in ("score", "margin")]
            assert means == pytest.approx([expected[name]["mean"] for name in ("score", "margin")], abs=1e-9)
            if "risk" in other and other["risk"] is not None:
                assert shown["risk"]["mean"] == pytest.approx(expected["risk"]["mean"], abs=1e-12)


def test_sweep_models_are_fitted_here(folder: Path) -> None:
    """The collection is large enough for what is compared above to include a fitted model."""
    assert report(folder, {"risk": RISK})["risk"]["model"] == "fitted on this run"


def test_sweep_grid_over_two_keys_is_what_filter_reports(folder: Path) -> None:
    asked = config(folder, risk=None)
    found = sweep(asked, axes(asked, ["relative_margin=0,0.2", "filter.num_negatives=2,4"]))
    assert [list(point.values.values()) for point in found.points] == [[0, 2], [0, 4], [0.2, 2], [0.2, 4]]
    for point in found.points:
        margin, wanted = point.values.values()
        expected = report(folder, {"risk": None, "relative_margin": margin, "num_negatives": wanted})
        assert (point.reasons, point.leak) == (expected["reasons"], expected["leak"])


def test_sweep_current_point_is_the_config_also_off_the_grid(folder: Path) -> None:
    rules = {"risk": None, "relative_margin": 0.07}
    asked = config(folder, **rules)
    found = sweep(asked, axes(asked, ["relative_margin=0,0.2"]))
    assert [point.is_current for point in found.points] == [False, False]
    assert found.current.is_current
    assert found.current.reasons == report(folder, rules)["reasons"]
    on_grid = sweep(asked, axes(asked, ["relative_margin=0,0.07"]))
    assert on_grid.points[1] is on_grid.current


def test_sweep_without_over_takes_the_limit_of_the_config(folder: Path) -> None:
    limits = {"risk": {"max": 0.2}}, {"risk": None, "leak_rate": 0.1}, {"risk": None, "absolute_margin": 0.1}
    asked = [config(folder), *(config(folder, **rules) for rules in limits), config(folder, risk=None)]
    assert [axes(each)[0].key.removeprefix("filter.") for each in asked] == [
        "risk.as_hard_as",
        "risk.max",
        "leak_rate",
        "absolute_margin",
        "relative_margin",
    ]


def test_sweep_keeps_the_other_limits_of_risk(folder: Path) -> None:
    """Also those that hold by default: only the named key changes."""
    asked = config(folder)
    found = sweep(asked, axes(asked, ["risk.max=0.9"]))
    assert found.points[0].reasons == report(folder, {"risk": {"as_hard_as": 0.05, "max": 0.9}})["reasons"]


def test_sweep_says_where_filter_would_stop(folder: Path) -> None:
    asked = config(folder, risk=None, on_shortage="error")
    found = sweep(asked, axes(asked, ["relative_margin=0.01,0.9"]))
    assert found.points[1].stops
    assert not found.current.stops
    with pytest.raises(negmine.NegmineError, match=r"filter\.num_negatives is 4"):
        negmine.run(config(folder, risk=None, on_shortage="error", relative_margin=0.9), until="filter")


def test_sweep_of_a_sample_counts_the_verdicts_of_its_queries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "MOST_QUERIES", 70)
    rules = {"risk": None, "near_duplicates": {"jaccard": 0.5}, "relative_margin": 0.05, "on_shortage": "random"}
    asked = config(folder, **rules, max_reuse=2)
    found = sweep(asked, axes(asked, ["relative_margin=0.05"]))
    assert (found.queries, found.queries_of_run, found.left_out) == (70, QUERIES, ("filter.max_reuse",))
    expected = report(folder, rules)
    verdicts = read_verdicts(config(folder, **rules)).to_pylist()
    looked_at = set(sample.Sample(Run(asked, WorkDir(folder / "run"))).numbers)
    counts = dict.fromkeys(expected["reasons"], 0)
    for row in verdicts:
        counts[row["reason"]] += row["query"] in looked_at
    assert found.points[0].reasons == counts
    assert found.points[0].reasons["near_duplicate"] > 0
    assert found.points[0].leak == expected["leak"]
    with pytest.raises(UsageError, match="max_reuse is about all queries at once"):
        sweep(asked, axes(asked, ["max_reuse=1,2"]))


def test_sweep_sample_is_smaller_for_long_lists(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "MOST_CANDIDATES", 30 * K)
    asked = config(folder)
    assert sweep(asked, axes(asked)).queries == 30


def test_sweep_is_the_same_twice(folder: Path) -> None:
    asked = config(folder, sampling_strategy="random")
    assert sweep(asked, axes(asked)).as_json() == sweep(asked, axes(asked)).as_json()


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("relative_margin=0,1.5", r"filter\.relative_margin"),
        ("num_negatives=2,25", r"25 negatives \(filter\.num_negatives\) cannot come from 20 candidates"),
        ("range_min=18", r"18 skipped \+ 4 negatives"),
        ("sampling_temperature=2", "sampling_temperature"),
        ("leak_rate=0.0001", "a leak rate of 0.0001"),
    ],
)
def test_sweep_of_values_that_are_not_allowed_is_refused_before_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, over: str, message: str
) -> None:
    monkeypatch.setattr("negmine.sweep.evaluating.Sample", None)
    asked = config(folder)
    with pytest.raises(ConfigError, match=message):
        sweep(asked, axes(asked, [over]))


def test_sweep_needs_the_columns_that_it_compares(folder: Path) -> None:
    before = config(folder)
    data = before.data.model_copy(update={"metadata": ("doc", "shop")})
    rules = before.filter.model_copy(update={"exclude_same": ("shop",)})
    asked = before.model_copy(update={"data": data, "filter": rules})
    with pytest.raises(StaleError, match="the run carries no column 'shop'"):
        sweep(asked, axes(asked))


def test_sweep_is_made_again_when_a_stage_was_replaced_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, original, calls = config(folder), sample.Sample, []

    def replaced(run: Any) -> Any:
        calls.append(run)
        if len(calls) == 1:
            for k in (K - 1, K):
                negmine.run(asked.model_copy(update={"mine": asked.mine.model_copy(update={"k": k})}), until="mine")
        return original(run)

    expected = sweep(asked, axes(asked)).as_json()
    monkeypatch.setattr("negmine.sweep.evaluating.Sample", replaced)
    assert sweep(asked, axes(asked)).as_json() == expected
    assert len(calls) == 2
