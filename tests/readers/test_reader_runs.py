"""Runs of other systems: six columns or three, and what is wrong with a line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from negmine.errors import InputError
from negmine.readers.bad_rows import BadRows
from negmine.readers.runs import read_run


def read(path: Path, kind: str = "auto", policy: str = "error") -> tuple[list[tuple[str, str, float, int]], BadRows]:
    bad_rows = BadRows(policy)
    rows = [
        row
        for batch in read_run(path, kind, bad_rows)
        for row in zip(batch.query_ids, batch.doc_ids, batch.values, batch.lines, strict=True)
    ]
    return rows, bad_rows


def write(folder: Path, text: str) -> Path:
    path = folder / "a.run"
    path.write_bytes(text.encode())
    return path


def test_six_columns_are_ordered_by_score(tmp_path: Path) -> None:
    """Any white space between them; the rank column is not asked."""
    path = write(tmp_path, "\ufeffq1 Q0 d1 2 3.5 tag\r\n\nq1\tQ0\td2\t1\t-1e-3\ttag\nq2   Q0 d1\t7 4 x\n")
    assert read(path)[0] == [("q1", "d1", 3.5, 1), ("q1", "d2", -0.001, 3), ("q2", "d1", 4.0, 4)]


def test_six_columns_may_be_ordered_by_rank(tmp_path: Path) -> None:
    path = write(tmp_path, "q1 Q0 d1 2 3.5 tag\nq1 Q0 d2 1 0.1 tag\n")
    assert read(path, "rank")[0] == [("q1", "d1", -2.0, 1), ("q1", "d2", -1.0, 2)]


def test_three_columns_need_a_kind(tmp_path: Path) -> None:
    path = write(tmp_path, "q1 d1 3\nq1 d2 2\nq2 d1 9\n")
    assert [row[2] for row in read(path, "score")[0]] == [3.0, 2.0, 9.0]
    with pytest.raises(InputError, match=r"a.run:1: .*may be a score or a rank. Set kind: score or kind: rank"):
        read(path)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("rank", "q1 d1 3\nq1 d2 2\n", r"a.run:2: the rank of query 'q1' falls from 3 to 2.*set kind: score"),
        ("score", "q1 d1 1\nq1 d2 2\n", r"a.run:2: the score of query 'q1' rises from 1 to 2.*set kind: rank"),
    ],
)
def test_three_columns_in_the_wrong_order_show_that_kind_is_wrong(
    tmp_path: Path, kind: str, text: str, message: str
) -> None:
    """Also where bad rows are skipped: every row would be one."""
    for policy in ("error", "skip"):
        with pytest.raises(InputError, match=message):
            read(write(tmp_path, text), kind, policy)


def test_ids_with_blanks_stand_between_tabs(tmp_path: Path) -> None:
    path = write(tmp_path, "q 1\td 1\t0.5\nq 1\td 2\t0.4\n")
    assert [row[:2] for row in read(path, "score")[0]] == [("q 1", "d 1"), ("q 1", "d 2")]


def test_a_header_of_three_columns_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "query-id\tcorpus-id\tscore\nq1\td1\t0.5\n")
    assert read(path, "score")[0] == [("q1", "d1", 0.5, 2)]


def test_a_compressed_run_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.run.gz"
    path.write_bytes(gzip.compress(b"q1 Q0 d1 1 2.0 tag\n"))
    assert read(path)[0] == [("q1", "d1", 2.0, 1)]


BAD = [
    ("auto", "q1 Q0 d1 1", r"a.run:2: this line has 4 columns; those before have 6"),
    ("auto", "q1 d1 1.5", r"a.run:2: this line has 3 columns; those before have 6"),
    ("auto", "q1 Q0 d1 1 high tag", r"a.run:2:12: the score 'high' is not a number"),
    ("auto", "q1 Q0 d1 1 nan tag", r"the score 'nan' is not a number"),
    ("auto", "q1 Q0 d1 1 1_0 tag", r"the score '1_0' is not a number"),
    ("rank", "q1 Q0 d1 1.5 1 tag", r"the rank '1.5' is not a whole number"),
    ("rank", "q1 Q0 d1 -1 1 tag", r"the rank '-1' is not a whole number"),
    ("auto", "q1\tQ0\t\t1\t2.0\ttag", r"a.run:2: the document id is empty"),
]


@pytest.mark.parametrize(("kind", "line", "message"), BAD, ids=lambda value: value[:24])
def test_a_bad_line_is_named_or_left_out(tmp_path: Path, kind: str, line: str, message: str) -> None:
    path = write(tmp_path, f"q0 Q0 d0 1 1.0 tag\n{line}\nq2 Q0 d2 1 1.0 tag\n")
    with pytest.raises(InputError, match=message):
        read(path, kind)
    rows, bad_rows = read(path, kind, "skip")
    assert [row[0] for row in rows] == ["q0", "q2"]
    assert [row["line"] for row in bad_rows.rejected] == [2]


def test_the_first_line_decides_how_many_columns_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.run:1: this line has 5 columns; runs have 6 as TREC writes them, or 3"):
        read(write(tmp_path, "q1 Q0 d1 1 1.0\n"))
