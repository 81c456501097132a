"""audit: sheets to label, labels to an estimate, and intervals put to the test."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest


def fill(path: Path, word: str, rows: int = 10**6) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        filled = list(csv.DictReader(file))
    for row in filled[:rows]:
        row["relevant"] = word
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, filled[0])
        writer.writeheader()
        writer.writerows(filled)


@pytest.fixture
def labelled(finished: Path, call) -> Path:
    """The finished run of 12 negatives, all labelled as not relevant."""
    assert call("audit", "--export-sheet", "sheet.csv").code == 0
    fill(finished / "sheet.csv", "false")
    assert call("audit", "--import-sheet", "sheet.csv").code == 0
    return finished


def test_a_sheet_is_written_and_said(finished, call):
    done = call("audit", "--export-sheet", "sheet.csv")
    assert "12 of 12 negatives are drawn (seed 0); 12 to label are in sheet.csv" in done.out
    assert (finished / "sheet.csv").is_file()


def test_json_of_an_export_says_where_and_how_many(finished, call):
    found = call("audit", "--export-sheet", "sheet.csv", "--json").json
    assert (found["sheet"], found["rows"], found["rate"], found["interval"]) == ("sheet.csv", 12, None, None)


def test_an_import_says_what_it_took_and_the_rate(finished, call):
    call("audit", "--export-sheet", "sheet.csv")
    fill(finished / "sheet.csv", "true", rows=12)
    done = call("audit", "--import-sheet", "sheet.csv")
    assert done.code == 0
    assert "12 rows are labelled, 12 of them new or changed" in done.err
    assert "100.0%" in done.out


def test_a_partial_sheet_warns_of_the_rest(finished, call):
    call("audit", "--export-sheet", "sheet.csv")
    fill(finished / "sheet.csv", "false", rows=5)
    assert "7 of 12 drawn negatives are not labelled" in call("audit", "--import-sheet", "sheet.csv").err


def test_the_estimate_can_be_had_again(labelled, call):
    found = call("audit", "--json").json
    assert (found["rate"], found["judged"], found["sources"]) == (0, 12, {"person": 12})
    assert (labelled / "work" / "audit.json").is_file()


def test_a_labelled_run_has_nothing_to_write(labelled, call):
    assert "nothing to write" in call("audit", "--export-sheet", "more.csv").out
    assert not (labelled / "more.csv").exists()


def test_clean_leaves_labels_alone(labelled, call):
    call("clean")
    assert {"labels.jsonl", "audit.json"} <= {path.name for path in (labelled / "work").iterdir()}


def test_without_labels_the_next_command_is_named(finished, call):
    done = call("audit")
    assert done.code == 2
    assert "negmine audit --export-sheet sheet.csv -c negmine.yaml" in done.err


def test_a_sheet_with_labels_is_not_written_over(labelled, call):
    done = call("audit", "--export-sheet", "sheet.csv")
    assert (done.code, "may hold judgements" in done.err) == (2, True)


def test_a_bad_word_is_named_by_its_place(finished, call):
    call("audit", "--export-sheet", "sheet.csv")
    fill(finished / "sheet.csv", "perhaps")
    done = call("audit", "--import-sheet", "sheet.csv")
    assert (done.code, "sheet.csv:2 (column 'relevant'): 'perhaps'" in done.err) == (4, True)


def test_a_run_with_a_newer_config_is_audited_as_it_was(labelled, call):
    done = call("audit", "--set", "filter.num_negatives=1")
    assert done.code == 0
    assert "filter is stale" in done.err


def test_simulation_shows_both_designs(finished, call):
    ids = call("explain", "--random", "6", "--json").json["queries"]
    names = sorted(query["query_id"] for query in ids)
    (finished / "qrels.tsv").write_text("".join(f"{name}\td{i + 1}\t1\n" for i, name in enumerate(names)), "utf-8")
    found = call("audit", "--simulate", "qrels.tsv", "-n", "10", "--repeats", "20", "--json").json
    assert (found["judgements"], found["repeats"], found["population"]) == (10, 20, 12)
    assert set(found["stratified"]) == set(found["simple"]) == {"coverage", "bias", "width"}
    assert "simple random sample" in call("audit", "--simulate", "qrels.tsv").out


@pytest.mark.parametrize(
    "words",
    [
        ["--export-sheet", "a.csv", "--import-sheet", "b.csv"],
        ["--simulate", "q.tsv", "--export-sheet", "a.csv"],
        ["--repeats", "3"],
        ["-n", "5"],
        ["--export-sheet", "a.txt"],
        ["--export-sheet", "nowhere/a.csv"],
    ],
)
def test_words_that_do_not_fit_are_usage_errors(finished, call, words):
    assert call("audit", *words).code == 2


def test_a_sheet_that_is_not_there_is_an_input_error(finished, call):
    assert call("audit", "--import-sheet", "none.csv").code == 4
