"""Audits of a finished run: what is drawn, how labels become an estimate, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import negmine
from negmine.config import Config
from negmine.errors import ArtifactError, InputError, UsageError
from negmine.quality import audit, export_sheet, import_sheet, simulate, stored_audit
from negmine.remote.opening import open_run
from negmine.results import read_negatives


@pytest.fixture
def folder(tmp_path: Path, config: Config) -> Path:
    return tmp_path


@pytest.fixture
def truth(folder: Path) -> set[tuple[str, str]]:
    return {(row.split()[0], row.split()[2]) for row in (folder / "qrels.tsv").read_text("utf-8").splitlines()}


Label = Callable[..., Path]


@pytest.fixture
def label(truth: set[tuple[str, str]]) -> Label:
    """Fills in the first rows of a sheet with the truth."""

    def fill(path: Path, rows: int = 10**6, word: str | None = None) -> Path:
        filled = rows_of(path)
        for row in filled[:rows]:
            row["relevant"] = word or (row["query_id"], row["doc_id"]) in truth
        path.write_text("".join(json.dumps(row) + "\n" for row in filled), "utf-8")
        return path

    return fill


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def again(config: Config, **filtering: object) -> Config:
    """Another filter in the same run."""
    changed = config.model_copy(update={"filter": config.filter.model_copy(update=filtering)})
    negmine.run(changed)
    return changed


def test_the_sheet_has_negatives_of_the_run_each_once(config, folder):
    _, written = export_sheet(config, folder / "s.jsonl", 50)
    rows = rows_of(folder / "s.jsonl")
    drawn = {(row["query_id"], row["doc_id"]) for row in rows}
    negatives = {(row["query_id"], row["doc_id"]) for row in read_negatives(config).to_pylist()}
    assert written == len(rows) == len(drawn) == 50
    assert drawn <= negatives


def test_the_sheet_shows_the_texts_of_its_ids(config, folder):
    export_sheet(config, folder / "s.jsonl", 50)
    for row in rows_of(folder / "s.jsonl"):
        number = int(row["query_id"][1:])
        assert row["query"] == f"query {number}"
        assert row["positives"] == [f"passage {number % 20}"]
        assert row["candidate"] == f"passage {row['doc_id'][1:]}"


def test_the_same_seed_draws_the_same_sheet(config, folder):
    export_sheet(config, folder / "a.jsonl", 50)
    export_sheet(config, folder / "b.jsonl", 50)
    export_sheet(config.model_copy(update={"seed": 1}), folder / "c.jsonl", 50)
    assert (folder / "a.jsonl").read_bytes() == (folder / "b.jsonl").read_bytes()
    assert (folder / "a.jsonl").read_bytes() != (folder / "c.jsonl").read_bytes()


def test_a_whole_sheet_of_all_negatives_counts_them(config, folder, label, truth):
    export_sheet(config, folder / "s.jsonl", 10_000)
    found, imported = import_sheet(config, label(folder / "s.jsonl"))
    negatives = read_negatives(config).to_pylist()
    false = [(row["query_id"], row["doc_id"]) in truth for row in negatives]
    assert (found.overall.rate, found.overall.low) == (pytest.approx(np.mean(false)),) * 2
    assert found.overall.relevant == sum(false) > 0
    assert imported.new == found.labelled == len(negatives)
    for group in found.groups:
        if group.by == "position":
            at = [f for f, row in zip(false, negatives, strict=True) if band(row["position"]) == group.name]
            assert group.rate.rate == pytest.approx(np.mean(at))


def band(position: int) -> str:
    return "1" if position == 1 else "2-3" if position < 4 else "4+"


def test_groups_are_parts_of_the_whole(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 60)
    found, _ = import_sheet(config, label(folder / "s.jsonl"))
    for by in ("position", "risk"):
        rates = [group.rate for group in found.groups if group.by == by]
        assert sum(rate.population for rate in rates) == found.overall.population
        assert sum(rate.judged for rate in rates) == found.overall.judged == 60
        assert sum(rate.relevant for rate in rates) == found.overall.relevant


def test_the_overall_rate_weighs_strata_by_their_sizes(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 60)
    found, _ = import_sheet(config, label(folder / "s.jsonl"))
    strata = [group.rate for group in found.groups if group.by == "risk"]
    weighed = sum(each.population * each.rate for each in strata) / found.overall.population
    assert found.overall.rate == pytest.approx(weighed)


def test_a_part_of_a_sheet_is_an_estimate_too(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 60)
    found, imported = import_sheet(config, label(folder / "s.jsonl", rows=25))
    assert (found.sampled, found.labelled, found.overall.judged) == (60, 25, 25)
    assert (imported.judged, imported.empty) == (25, 35)


def test_the_rest_can_be_exported(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 60)
    import_sheet(config, label(folder / "s.jsonl", rows=25))
    _, written = export_sheet(config, folder / "rest.jsonl")
    assert written == 35
    pairs = [row["pair"] for name in ("s", "rest") for row in rows_of(folder / f"{name}.jsonl")]
    assert len(set(pairs)) == 60


def test_unsure_is_left_out_and_counted(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 60)
    import_sheet(config, label(folder / "s.jsonl"))
    sure = audit(config)
    export_sheet(config, folder / "more.jsonl", 80)
    found, _ = import_sheet(config, label(folder / "more.jsonl", word="unsure"))
    assert (found.sampled, found.labelled, found.unsure, found.overall.judged) == (80, 80, 20, 60)
    assert found.if_unsure.relevant == sure.overall.relevant + 20
    assert found.if_unsure.rate > found.overall.rate


def test_an_import_again_adds_nothing(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 60)
    first, _ = import_sheet(config, label(folder / "s.jsonl"))
    labels = (folder / "work" / "labels.jsonl").read_bytes()
    second, imported = import_sheet(config, folder / "s.jsonl")
    assert imported.new == 0
    assert first == second
    assert (folder / "work" / "labels.jsonl").read_bytes() == labels


def test_labels_outlive_another_filter(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 10_000)
    import_sheet(config, label(folder / "s.jsonl"))
    before, changed = negatives_of(config), again(config, num_negatives=2)
    after = negatives_of(changed)
    found = audit(changed)
    assert found.sampled == len(after) != len(before)
    assert found.labelled == len(after & before) > 100


def negatives_of(config: Config) -> set[tuple[str, str]]:
    return {(row["query_id"], row["doc_id"]) for row in read_negatives(config).to_pylist()}


def test_labels_of_negatives_that_are_gone_are_kept(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 60)
    changed = again(config, num_negatives=1)
    _, imported = import_sheet(changed, label(folder / "s.jsonl"))
    assert imported.elsewhere > 0
    assert len((folder / "work" / "labels.jsonl").read_text("utf-8").splitlines()) == 60


def test_audit_json_says_which_filter_it_is_about(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 60)
    found, _ = import_sheet(config, label(folder / "s.jsonl"))
    assert stored_audit(open_run(config)[1]) == (json.loads(json.dumps(found.as_json())), True)
    again(config, num_negatives=2)
    stored = stored_audit(open_run(config)[1])
    assert stored is not None
    assert stored[1] is False


def test_a_judge_of_another_tool_counts_until_a_person_says_otherwise(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 60)
    store = folder / "work" / "labels.jsonl"
    with store.open("w", encoding="utf-8") as file:
        for row in rows_of(folder / "s.jsonl"):
            query, passage = row["pair"].split("-")
            line = {"query_digest": query, "passage_digest": passage, "relevant": True, "source": "judge-x"}
            file.write(json.dumps(line) + "\n")
    by_judge = audit(config)
    assert (by_judge.overall.rate, by_judge.sources) == (1, {"judge-x": 60})
    mixed, _ = import_sheet(config, label(folder / "s.jsonl", rows=30))
    assert mixed.sources == {"judge-x": 30, "person": 30}
    assert mixed.overall.rate < 1


def test_ids_that_the_run_does_not_have_are_an_error_and_take_no_label(config, folder, label):
    export_sheet(config, folder / "s.jsonl", 60)
    rows = rows_of(label(folder / "s.jsonl"))
    rows[3] |= {"pair": f"{'0' * 32}-{'1' * 32}", "query_id": "zz"}
    (folder / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with pytest.raises(InputError, match=r"s\.jsonl:4: this run has no query 'zz'"):
        import_sheet(config, folder / "s.jsonl")
    assert not (folder / "work" / "labels.jsonl").exists()


def test_without_a_finished_filter_there_is_nothing_to_audit(config, tmp_path):
    other = config.model_copy(update={"work_dir": str(tmp_path / "other")})
    with pytest.raises(ArtifactError, match="filter has not finished"):
        audit(other)


def test_a_run_at_a_url_is_refused(config):
    with pytest.raises(UsageError, match="URL"):
        audit(config.model_copy(update={"work_dir": "memory://run"}))


def test_without_a_limit_on_risk_the_shipped_model_says_it(config):
    """Strata are those of the risk that the same filter would store."""
    stored = again(
        config, risk=config.filter.risk.model_copy(update={"max": 1.0, "as_hard_as": None, "weights": "shipped"})
    )
    predicted = audit(stored).predicted
    plain = again(config, risk=None)
    assert audit(plain).predicted == pytest.approx(predicted)
    assert predicted > 0


def test_random_negatives_are_a_group(config, folder, label):
    changed = again(config, random_share=0.5)
    export_sheet(changed, folder / "s.jsonl", 100)
    found, _ = import_sheet(changed, label(folder / "s.jsonl"))
    by = {group.name: group.rate for group in found.groups if group.by == "retriever"}
    assert set(by) == {"dense", "random"}
    assert sum(rate.judged for rate in by.values()) == 100


def test_simulated_audits_know_the_truth(config, folder, truth):
    found = simulate(config, folder / "qrels.tsv", 60, 200)
    false = [(row["query_id"], row["doc_id"]) in truth for row in read_negatives(config).to_pylist()]
    assert (found.relevant, found.population) == (sum(false), len(false))
    assert 0.9 <= found.stratified.coverage <= 1
    assert abs(found.stratified.bias) < 0.02


def test_qrels_may_name_a_copy_and_grades_count(config, folder):
    """The passage of a document under another id is the same one; what is below min_grade is not relevant."""
    lines = [f"q{q}\tcopy\t1\nq{q}\td46\t0" for q in range(60)]
    (folder / "graded.tsv").write_text("\n".join(lines), "utf-8")
    named = [row["doc_id"] for row in read_negatives(config).to_pylist()]
    assert named.count("d46")
    assert simulate(config, folder / "graded.tsv", 60, 3).relevant == named.count("d45") > 0


def test_simulated_audits_of_everything_have_no_error(config, folder):
    found = simulate(config, folder / "qrels.tsv", 10_000, 3)
    assert (found.stratified.coverage, found.stratified.width) == (1, 0)
    assert found.stratified.bias == pytest.approx(0)


def test_qrels_of_other_data_are_an_error(config, folder):
    (folder / "other.tsv").write_text("a 0 b 1\n", "utf-8")
    with pytest.raises(InputError, match="none of its relevant pairs"):
        simulate(config, folder / "other.tsv", 60, 3)
