"""Rows that stand for passages or queries are read by number, whatever repeats and however the file is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from negmine.stages.texts import StandingColumn, StandingTable
from negmine.store.tables import TableWriter

SCHEMA = pa.schema([("doc_id", pa.string()), ("passage", pa.int64()), ("text", pa.large_string())])


@st.composite
def numbered(draw: st.DrawFn) -> list[int]:
    """Numbers in the order of their first rows, some of them again later."""
    numbers: list[int] = []
    for again in draw(st.lists(st.booleans(), max_size=40)):
        highest = max(numbers, default=-1)
        numbers.append(draw(st.integers(0, highest)) if again and numbers else highest + 1)
    return numbers


def write(path: Path, numbers: list[int], row_group: int) -> None:
    with TableWriter(path, SCHEMA, row_group=row_group) as writer:
        rows = range(len(numbers))
        writer.write({"doc_id": [f"d{i}" for i in rows], "passage": numbers, "text": [f"text {i}" for i in rows]})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(numbers=numbered(), row_group=st.integers(1, 9), data=st.data())
def test_rows_are_the_first_of_their_number(tmp_path: Path, numbers: list[int], row_group: int, data) -> None:
    write(tmp_path / "corpus.parquet", numbers, row_group)
    table = StandingTable(tmp_path / "corpus.parquet", "passage")
    first = [numbers.index(number) for number in range(len(set(numbers)))]
    assert len(table) == len(first)
    assert table.column("doc_id").to_pylist() == [f"d{row}" for row in first]
    wanted = sorted(data.draw(st.sets(st.sampled_from(range(len(first))))) if first else [])
    found = table.take(np.array(wanted, np.int64), ["text", "passage"])
    assert found.column_names == ["text", "passage"]
    assert found.to_pylist() == [{"text": f"text {first[number]}", "passage": number} for number in wanted]
    low, high = sorted(data.draw(st.tuples(*[st.integers(0, len(first))] * 2)))
    assert table.slice(low, high, ["doc_id"])["doc_id"].to_pylist() == [f"d{row}" for row in first[low:high]]
    asked = data.draw(st.lists(st.sampled_from(range(len(first))), max_size=20)) if first else []
    for most in (0, len(first)):
        ids = StandingColumn(table, "doc_id", most).take(np.array(asked, np.int64))
        assert ids.to_pylist() == [f"d{first[number]}" for number in asked]


def test_what_is_asked_for_is_all_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory per passage: nothing of the file but its row groups is kept, and only those asked for are read."""
    write(tmp_path / "corpus.parquet", [*range(20), 3, 4, *range(20, 38)], 10)
    read: list[tuple[int, tuple[str, ...]]] = []
    real = pq.ParquetFile.read_row_group

    def spy(self: pq.ParquetFile, group: int, columns: list[str], **options: object) -> pa.Table:
        read.append((group, tuple(columns)))
        return real(self, group, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    table = StandingTable(tmp_path / "corpus.parquet", "passage")
    assert read == []
    assert table.take(np.array([1, 8, 21]), ["doc_id"])["doc_id"].to_pylist() == ["d1", "d8", "d23"]
    # Numbers are only looked at where a row group repeats some.
    assert read == [(0, ("doc_id",)), (2, ("doc_id", "passage"))]
