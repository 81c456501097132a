"""What the readers' brief asks for and the shared readers do not do yet."""

from __future__ import annotations

from pathlib import Path

import pytest
from reader_help import BROKEN, FIX, document_failure, documents, write

GOOD = '{"_id": "1", "text": "a"}\n'


@pytest.mark.parametrize(
    ("name", "data", "place"),
    [
        ("c.jsonl", GOOD.encode() + b'{"_id": "2", "te', ":2:17"),
        ("c.jsonl", GOOD.encode() + '{"_id": "é'.encode()[:-1], ":2:10 (byte 35)"),
        ("c.csv", b"_id,text\n1,a\n2", ":3"),
        ("c.tsv.gz", b"_id\ttext\n1\ta\n2", ":3"),
    ],
)
@pytest.mark.parametrize("policy", ["error", "skip"])
def test_file_that_ends_in_the_middle_of_a_row(tmp_path: Path, name: str, data: bytes, place: str, policy: str) -> None:
    """Rows are missing, so skipping bad rows does not hide it."""
    assert document_failure(write(tmp_path / name, data), policy) == (
        f"{name}{place}: the file ends in the middle of a row.{BROKEN}"
    )


def test_row_cut_before_the_last_is_a_bad_row(tmp_path: Path) -> None:
    """So is a last line that is wrong but whole."""
    path = write(tmp_path / "c.jsonl", '{"_id": "1", "te\n' + GOOD + "{]")
    rows, bad_rows = documents(path, "skip")
    assert (len(rows), [row["line"] for row in bad_rows.rejected]) == (1, [1, 3])


@pytest.mark.parametrize("row", [b"2,b\xffc", b'2,"b"c', b"2,b,c"])
def test_bad_csv_rows_can_be_skipped(tmp_path: Path, row: bytes) -> None:
    """The rows around them are read."""
    rows, bad_rows = documents(write(tmp_path / "c.csv", b"_id,text\n1,a\n" + row + b"\n3,d\n"), "skip")
    assert rows == [("1", "", "a", 2), ("3", "", "d", 4)]
    assert [row["line"] for row in bad_rows.rejected] == [3]


def test_bad_byte_in_csv_has_line_column_and_byte(tmp_path: Path) -> None:
    """As in JSON lines."""
    path = write(tmp_path / "c.csv", b"_id,text\n1,a\n2,b\xffc\n")
    assert document_failure(path) == f"c.csv:3:4 (byte 16): this is not UTF-8 text.{FIX}"


def test_csv_columns_without_a_name_are_left_alone(tmp_path: Path) -> None:
    """Spreadsheets write trailing commas; no setting can mean these columns."""
    assert documents(write(tmp_path / "c.csv", "_id,text,,\n1,a,,\n"))[0] == [("1", "", "a", 2)]


def test_name_that_no_file_system_could_hold(tmp_path: Path) -> None:
    """An error of the input, not of the program."""
    assert document_failure(tmp_path / ("x" * 300 + ".jsonl")).endswith(
        ".jsonl: this file cannot be opened: File name too long. Check the path."
    )
