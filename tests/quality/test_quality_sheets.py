"""Sheets of judgements and the store of labels."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from negmine.errors import InputError, UsageError
from negmine.labelling.labels import Label, append_labels, read_labels
from negmine.labelling.sheet import COLUMNS, check_sheet, read_sheet, write_sheet
from negmine.quality.population import Drawn

PAIRS = [f"{i:032x}-{i + 100:032x}" for i in range(4)]
TEXTS = ['a "quoted", text', "line\nbreak\r\nand tab\t", "日本語 🙂", "=1+1"]
ROWS = [Drawn(PAIRS[i], f"q{i}", f"d{i}", TEXTS[i], (TEXTS[0], TEXTS[1]), TEXTS[3 - i]) for i in range(4)]


def rows_of(path: Path) -> list[dict]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def save(path: Path, rows: list[dict], encoding: str = "utf-8", lineterminator: str = "\n") -> Path:
    if path.suffix == ".csv":
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator=lineterminator)
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(params=[".csv", ".jsonl"])
def sheet(request, tmp_path: Path) -> Path:
    path = tmp_path / f"sheet{request.param}"
    write_sheet(path, ROWS)
    return path


def filled(sheet: Path, values: list) -> Path:
    rows = rows_of(sheet)
    for row, value in zip(rows, values, strict=False):
        row["relevant"] = value
    return save(sheet, rows)


def test_a_sheet_shows_texts_and_ids_and_nothing_else(sheet):
    rows = rows_of(sheet)
    assert list(rows[0]) == list(COLUMNS)
    assert [row["query"] for row in rows] == TEXTS
    assert [row["candidate"] for row in rows] == TEXTS[::-1]
    assert {row["relevant"] for row in rows} == {""}


def test_an_untouched_sheet_has_no_judgement(sheet):
    assert read_sheet(sheet) == ([], 4)


@pytest.mark.parametrize(
    ("word", "relevant"),
    [("true", True), ("TRUE", True), (" False ", False), ("1", True), ("0", False), ("1.0", True), ("Unsure", None)],
)
def test_words_that_are_judgements(sheet, word, relevant):
    judged, empty = read_sheet(filled(sheet, ["", word]))
    assert [(row.pair, row.query_id, row.doc_id, row.relevant) for row in judged] == [(PAIRS[1], "q1", "d1", relevant)]
    assert empty == 3


@pytest.mark.parametrize(("value", "relevant"), [(True, True), (False, False), (1, True), (0, False)])
def test_values_of_json_that_are_judgements(tmp_path, value, relevant):
    write_sheet(tmp_path / "s.jsonl", ROWS)
    judged, empty = read_sheet(filled(tmp_path / "s.jsonl", [value, None]))
    assert ([row.relevant for row in judged], empty) == ([relevant], 3)


def test_a_spreadsheet_may_save_it_in_its_own_way(tmp_path):
    path = tmp_path / "s.csv"
    write_sheet(path, ROWS)
    rows = [{**row, "relevant": "TRUE"} for row in rows_of(path)]
    save(path, rows, encoding="utf-8-sig", lineterminator="\r\n")
    assert [row.pair for row in read_sheet(path)[0]] == PAIRS


@pytest.mark.parametrize("word", ["maybe", "2", "-1", "yes!", "tru"])
def test_another_word_is_an_error_with_its_place(sheet, word):
    path = filled(sheet, [word])
    line = "2" if path.suffix == ".csv" else "1"
    with pytest.raises(InputError, match=rf"{path.name}:{line} \(column 'relevant'\): '{re.escape(word)}'"):
        read_sheet(path)


def test_a_near_word_is_named(sheet):
    with pytest.raises(InputError, match="Did you mean 'true'"):
        read_sheet(filled(sheet, ["tru"]))


def test_a_renamed_column_is_an_error_that_names_the_nearest(tmp_path):
    (tmp_path / "s.csv").write_text("pair,query_id,doc_id,relevance\nx,q,d,true\n", "utf-8")
    with pytest.raises(InputError, match=r"no column 'relevant'\. Did you mean 'relevance'"):
        read_sheet(tmp_path / "s.csv")


def test_a_damaged_pair_is_an_error(sheet):
    rows = rows_of(sheet)
    rows[2]["pair"] = rows[2]["pair"][:-1]
    with pytest.raises(InputError, match="column 'pair'"):
        read_sheet(save(sheet, rows))


def test_two_judgements_of_a_pair_that_differ_are_an_error(sheet):
    rows = [{**row, "relevant": "true"} for row in rows_of(sheet)]
    assert len(read_sheet(save(sheet, [*rows, rows[0]]))[0]) == 4
    with pytest.raises(InputError, match="judged otherwise before"):
        read_sheet(save(sheet, [*rows, {**rows[0], "relevant": "false"}]))


def test_a_sheet_is_never_written_over(sheet):
    with pytest.raises(UsageError, match="may hold judgements"):
        check_sheet(sheet)


def test_only_kinds_that_can_be_written_are_taken(tmp_path):
    with pytest.raises(UsageError, match=r"\.jsonl or \.csv"):
        check_sheet(tmp_path / "sheet.xlsx")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


def test_no_store_has_no_labels(store):
    assert read_labels(store, PAIRS) == {}


def test_labels_come_back(store):
    given = [(PAIRS[0], Label(True, "person")), (PAIRS[1], Label(False, "judge-1")), (PAIRS[2], Label(None, "person"))]
    append_labels(store, given[:1])
    append_labels(store, given[1:])
    assert read_labels(store, PAIRS) == dict(given)
    assert read_labels(store, {PAIRS[1]}) == dict(given[1:2])


def test_the_format_is_one_object_a_line(store):
    append_labels(store, [(PAIRS[0], Label(None, "person"))])
    query, passage = PAIRS[0].split("-")
    expected = {"query_digest": query, "passage_digest": passage, "relevant": "unsure", "source": "person"}
    assert [json.loads(line) for line in store.read_text("utf-8").splitlines()] == [expected]


@pytest.mark.parametrize("sources", [("person", "judge"), ("judge", "person")])
def test_a_person_beats_a_judge_in_any_order(store, sources):
    append_labels(store, [(PAIRS[0], Label(source == "person", source)) for source in sources])
    assert read_labels(store, PAIRS) == {PAIRS[0]: Label(True, "person")}


@pytest.mark.parametrize("source", ["person", "judge"])
def test_the_later_of_two_labels_counts(store, source):
    append_labels(store, [(PAIRS[0], Label(True, source)), (PAIRS[0], Label(False, source))])
    assert read_labels(store, PAIRS) == {PAIRS[0]: Label(False, source)}


def test_a_line_that_another_tool_left_open_is_ended_first(store):
    append_labels(store, [(PAIRS[0], Label(True, "judge"))])
    store.write_bytes(store.read_bytes().rstrip(b"\n"))
    append_labels(store, [(PAIRS[1], Label(True, "person"))])
    assert set(read_labels(store, PAIRS)) == set(PAIRS[:2])


GOOD = {"query_digest": "0" * 32, "passage_digest": "1" * 32, "relevant": True, "source": "judge"}


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("{", "no JSON"),
        ("[]", "no 'query_digest'"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "source"}), "no 'source'"),
        (json.dumps({**GOOD, "relevant": 1}), "relevant is 1"),
        (json.dumps({**GOOD, "relevant": "yes"}), "relevant is"),
        (json.dumps({**GOOD, "query_digest": "xy"}), "32 hexadecimal"),
        (json.dumps({**GOOD, "source": 3}), "source"),
    ],
)
def test_a_bad_line_is_named(store, line, cause):
    store.write_text(f"{json.dumps(GOOD)}\n\n{line}\n", "utf-8")
    with pytest.raises(InputError, match=rf"labels\.jsonl:3: .*{cause}"):
        read_labels(store, PAIRS)
