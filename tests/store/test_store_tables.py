"""Rows are read by an ascending number without reading the whole file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmine.store.tables import TableWriter, rows_between, rows_with

SCHEMA = pa.schema([pa.field("query", pa.int64(), nullable=False), pa.field("place", pa.int64())])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A file in row groups of 7, some of whose numbers are not there and some there often."""
    query = np.sort(np.random.default_rng(0).integers(0, 40, 100)) * 2
    path = tmp_path_factory.mktemp("tables") / "rows.parquet"
    with TableWriter(path, SCHEMA, row_group=7) as writer:
        writer.write({"query": query, "place": np.arange(100)})
    return path, query


@given(st.sets(st.integers(-3, 90)))
def test_rows_with_has_the_rows_of_some_numbers(table: tuple[Path, np.ndarray], values: set[int]) -> None:
    """In the order of the file, as a look at every row finds them."""
    path, query = table
    found = rows_with(path, "query", np.array(sorted(values), np.int64), ["place"])
    assert found["place"].to_pylist() == np.flatnonzero(np.isin(query, list(values))).tolist()


@given(st.integers(-3, 90), st.integers(0, 30))
def test_rows_between_has_the_rows_of_an_interval(table: tuple[Path, np.ndarray], low: int, width: int) -> None:
    """From low up to, without, high."""
    path, query = table
    found = rows_between(path, "query", low, low + width, ["place"])
    assert found["place"].to_pylist() == np.flatnonzero((query >= low) & (query < low + width)).tolist()


def test_row_groups_without_any_are_not_read(table: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 15 row groups only those that can have one of the numbers."""
    path, query = table
    read, real = [], pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda file, group, **more: read.append(group) or real(file, group, **more)
    )
    wanted = query[[0, 50]]
    rows_with(path, "query", wanted, ["place"])
    groups = [query[start : start + 7] for start in range(0, 100, 7)]
    assert read == [g for g, rows in enumerate(groups) if ((rows[0] <= wanted) & (wanted <= rows[-1])).any()]
    assert 2 <= len(read) < 6
