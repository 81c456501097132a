"""negmine check: bounds are held against what the run's files say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from comparable_runs import QUERIES, Call, config_of, finished, kept
from junitparser import JUnitXml
from ruamel.yaml import YAML

import negmine
from negmine.checks import Check, Checked, check, write_junit
from negmine.config import Config
from negmine.errors import ArtifactError, ConfigError, StaleError
from negmine.quality import export_sheet, import_sheet

SLOTS = 4 * len(QUERIES)


def config_with(data: Path, work_dir: Path, checks: Mapping[str, Any], filter_: Mapping[str, Any]) -> Config:
    return config_of(data, work_dir, filter_, {"checks": checks})


@pytest.fixture(scope="module")
def work_dir(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose margin starves some queries. Not to be changed."""
    return finished(data, tmp_path_factory.mktemp("runs") / "run", MARGIN)


MARGIN = {"relative_margin": 0.05}


def checked(data: Path, work_dir: Path, **checks: Any) -> dict[str, Check]:
    return {each.name: each for each in check(config_with(data, work_dir, checks, MARGIN)).checks}


def test_check_counts_what_the_run_has(data: Path, work_dir: Path) -> None:
    """Yield, queries, starved queries and the most used passage are those of the kept negatives."""
    lists = kept(work_dir)
    counts = Counter(doc for docs in lists.values() for doc in docs)
    short = sum(len(lists.get(name, [])) < 4 for name in QUERIES)
    assert 0 < short < len(QUERIES)
    found = checked(data, work_dir, min_yield=0, min_queries=1, max_starved=1, max_hub_share=1)
    assert {each.verdict for each in found.values()} == {"passed"}
    assert found["min_yield"].value == pytest.approx(sum(map(len, lists.values())) / SLOTS)
    assert found["min_queries"].value == len(lists)
    assert found["max_starved"].value == short / len(QUERIES)
    assert found["max_hub_share"].value == max(counts.values()) / len(lists)


@pytest.mark.parametrize("name", ["min_yield", "max_starved", "max_hub_share", "max_leak"])
def test_check_bound_itself_is_kept(name: str, data: Path, work_dir: Path) -> None:
    """A value on its bound passes, one that is a little beyond fails."""
    value = checked(data, work_dir, **{name: 0.5})[name].value
    assert value is not None
    assert 0 < value < 1
    beyond = np.nextafter(value, 2 if name.startswith("min") else -1)
    assert checked(data, work_dir, **{name: value})[name].verdict == "passed"
    assert checked(data, work_dir, **{name: float(beyond)})[name].verdict == "failed"


def test_check_estimates_by_their_upper_end_or_the_point(data: Path, work_dir: Path) -> None:
    """A leak between its rate and the end of its interval passes only by the point; the exposure is told."""
    leak = json.loads((work_dir / "filter" / "report.json").read_text())["leak"]
    middle = (leak["rate"] + leak["interval"][1]) / 2
    upper = checked(data, work_dir, max_leak=middle)["max_leak"]
    point = checked(data, work_dir, max_leak=middle, estimates="point")["max_leak"]
    assert (upper.verdict, upper.value) == ("failed", leak["interval"][1])
    assert (point.verdict, point.value) == ("passed", leak["rate"])
    assert upper.interval == point.interval == tuple(leak["interval"])
    assert f"{leak['chosen']} of {leak['exposed']} exposed" in upper.detail


def test_check_what_was_not_measured_fails_unless_said_otherwise(data: Path, work_dir: Path) -> None:
    """A bound on an audit that nobody made fails; with ``unmeasured: skip`` it is skipped."""
    found = checked(data, work_dir, max_estimated_fnr=0.5)["max_estimated_fnr"]
    assert (found.verdict, found.value) == ("failed", None)
    assert "there is no audit" in found.detail
    assert checked(data, work_dir, max_estimated_fnr=0.5, unmeasured="skip")["max_estimated_fnr"].verdict == "skipped"


def test_check_takes_the_estimate_of_an_audit(data: Path, tmp_path: Path) -> None:
    """The rate of a labelled audit is compared; that of other negatives is none."""
    bounds = {"max_estimated_fnr": 0.2}
    config = config_with(data, tmp_path / "run", bounds, {})
    negmine.run(config)
    export_sheet(config, tmp_path / "sheet.jsonl", 40)
    rows = [json.loads(line) for line in (tmp_path / "sheet.jsonl").read_text().splitlines()]
    for place, row in enumerate(rows):
        row["relevant"] = place % 10 == 0
    (tmp_path / "sheet.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    audit, _ = import_sheet(config, tmp_path / "sheet.jsonl")
    (found,) = check(config).checks
    assert (found.value, found.verdict) == (audit.overall.high, "failed")
    assert found.interval == (audit.overall.low, audit.overall.high)
    other = config_with(data, tmp_path / "run", bounds, {"num_negatives": 2})
    negmine.run(other)
    (found,) = check(other).checks
    assert found.value is None
    assert "other negatives" in found.detail


def test_check_churn_against_another_run(data: Path, work_dir: Path, tmp_path: Path) -> None:
    """Churn against a named run is that of ``compare``; a run that is not there is not measured."""
    other = finished(data, tmp_path / "other")
    churn = negmine.compare(other, work_dir).churn.churn
    found = checked(data, work_dir, max_churn_against={"run": str(other), "churn": churn})["max_churn_against"]
    assert (found.value, found.bound, found.verdict) == (churn, churn, "passed")
    gone = checked(data, work_dir, max_churn_against={"run": str(tmp_path / "gone"), "churn": 1})["max_churn_against"]
    assert (gone.value, gone.verdict) == (None, "failed")
    assert "there is no such run" in gone.detail


def test_check_without_several_positives_has_no_leak(tmp_path: Path) -> None:
    """Where no query has several positives, the leak is not measured."""
    vectors = np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32)
    np.save(tmp_path / "corpus.npy", vectors)
    np.save(tmp_path / "queries.npy", vectors[:5] + 0.1)
    for name, rows in (
        ("corpus", [{"_id": f"d{i}", "text": f"passage {i}"} for i in range(12)]),
        ("pairs", [{"anchor": f"question {i}", "positive": f"passage {i}"} for i in range(5)]),
    ):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = negmine.config_from_dict(
        {
            "work_dir": "work",
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "corpus.npy", "queries": "queries.npy"}},
            "filter": {"num_negatives": 2},
            "checks": {"max_leak": 1, "min_yield": 0.1},
        },
        tmp_path,
    )
    negmine.run(config)
    leak, yield_ = sorted(check(config).checks, key=lambda each: each.name)
    assert (leak.verdict, leak.detail) == ("failed", "not measured: no query has several positives")
    assert yield_.verdict == "passed"


def test_check_wants_a_current_run(data: Path, tmp_path: Path) -> None:
    """A run that is not there, stale, without export or damaged is not checked, and the stage is named."""
    config = config_with(data, tmp_path / "run", {"min_yield": 0.1}, {})
    with pytest.raises(StaleError, match="ingest is missing"):
        check(config)
    negmine.run(config, until="filter")
    with pytest.raises(StaleError, match="export is missing"):
        check(config)
    negmine.run(config)
    assert not check(config).failed
    with pytest.raises(StaleError, match=r"filter is stale \(filter.num_negatives changed: 4 -> 2\)"):
        check(config_with(data, tmp_path / "run", {"min_yield": 0.1}, {"num_negatives": 2}))
    (tmp_path / "run" / "filter" / "report.json").unlink()
    with pytest.raises(ArtifactError, match=r"filter is damaged \(report.json: it is missing\)"):
        check(config)


def test_check_without_bounds_is_an_error(data: Path, work_dir: Path) -> None:
    """A gate with no bound would always be open."""
    with pytest.raises(ConfigError, match="nothing to check"):
        check(config_of(data, work_dir, MARGIN))


def saved(config: Config, path: Path) -> Path:
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(config.model_dump(mode="json", exclude_unset=True), file)
    return path


def test_check_command_gates(data: Path, work_dir: Path, tmp_path: Path, call: Call) -> None:
    """Exit code 0 when all bounds are kept, 7 when one is not, with the names; the table and JSON have all."""
    path = saved(config_with(data, work_dir, {"min_yield": 0.1, "min_queries": 3}, MARGIN), tmp_path / "negmine.yaml")
    good = call("check", "-c", path)
    assert (good.code, good.err) == (0, "")
    assert [line.split()[0] for line in good.out.splitlines()[2:]] == ["min_yield", "min_queries"]
    bad = call("check", "-c", path, "--set", "checks.min_yield=0.99", "--json")
    assert bad.code == 7
    assert bad.err == "error: 1 of 2 checks failed: min_yield\n"
    assert bad.json["passed"] is False
    assert {each["name"]: each["verdict"] for each in bad.json["checks"]} == {
        "min_yield": "failed",
        "min_queries": "passed",
    }
    stale = call("check", "-c", path, "--set", "filter.num_negatives=1")
    assert (stale.code, stale.out) == (2, "")
    assert "filter is stale" in stale.err
    assert f"negmine run -c {path} --set filter.num_negatives=1" in stale.err
    assert call("check", "-c", path, "--junit", tmp_path).code == 2


def test_check_junit_is_read_by_others(data: Path, work_dir: Path, tmp_path: Path, call: Call) -> None:
    """JUnit XML with a test per bound: failures, skipped ones and passes, as junitparser sees them."""
    checks = {"min_yield": 0.99, "min_queries": 3, "max_estimated_fnr": 0.1, "unmeasured": "skip"}
    path = saved(config_with(data, work_dir, checks, MARGIN), tmp_path / "negmine.yaml")
    assert call("check", "-q", "-c", path, "--junit", tmp_path / "junit.xml").code == 7
    (suite,) = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (3, 1, 0, 1)
    cases = {case.name: [type(each).__name__ for each in case.result] for case in suite}
    assert cases == {"min_yield": ["Failure"], "min_queries": [], "max_estimated_fnr": ["Skipped"]}


def test_check_junit_of_any_text(tmp_path: Path) -> None:
    """Ids may have what XML has signs for, or no way to write."""
    found = Check("max_hub_share", 0.1, False, 0.5, None, "failed", 'a passage (<&"\x00\x1b\ud800>) is 漢字')
    write_junit(Checked("f" * 64, (found,)), tmp_path / "junit.xml")
    failure = ElementTree.parse(tmp_path / "junit.xml").find(".//failure")
    assert failure is not None
    assert failure.text == 'a passage (<&"???>) is 漢字'
    assert failure.get("message") == "50.00%, and it should be at most 10.00%"
