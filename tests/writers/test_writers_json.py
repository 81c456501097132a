"""Tables of any depth as JSON, in whatever slices they come."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.writers.files import open_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
KIND = pa.large_string()
PASSAGE = pa.struct([("docid", KIND), ("score", pa.float64()), ("rank", pa.int64())])
SCHEMA = pa.schema(
    [
        ("anchor", KIND),
        ("passages", pa.large_list(PASSAGE)),
        ("messages", pa.large_list(pa.large_list(pa.struct([("content", KIND)])))),
        ("neg", pa.map_(KIND, pa.large_list(KIND))),
        ("score", pa.float64()),
    ]
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ROW = st.fixed_dictionaries(
    {
        "anchor": TEXT,
        "passages": st.lists(
            st.fixed_dictionaries({"docid": TEXT, "score": FLOATS, "rank": st.integers(-5, 5)}), max_size=3
        ),
        "messages": st.lists(st.lists(st.fixed_dictionaries({"content": TEXT}), max_size=2), max_size=3),
        "neg": st.dictionaries(TEXT, st.lists(TEXT, max_size=2), max_size=3),
        "score": FLOATS,
    }
)


def encoded(value: Any) -> Any:
    """Every text in a value as a JSON string, as ``encode`` leaves texts."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return [encoded(each) for each in value]
    return {key: encoded(each) for key, each in value.items()} if isinstance(value, dict) else value


def table(rows: list[dict[str, Any]]) -> pa.Table:
    names = {name: [encoded(row[name]) for row in rows] for name in SCHEMA.names}
    names["neg"] = [[(encoded(key), value) for key, value in each.items()] for each in names["neg"]]
    return pa.table(names, SCHEMA)


@settings(max_examples=100, deadline=None)
@given(st.lists(ROW, max_size=6), st.lists(st.integers(0, 6), max_size=3))
def test_nested_rows_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], cuts: list[int]
) -> None:
    """Lines, and the rows of one document, however the table is cut before it is written."""
    folder = tmp_path_factory.mktemp("j")
    lines = open_rows(folder / "x.jsonl")
    document = open_rows(folder / "x.json", ('{"data": [\n', "\n]}\n"))
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    whole = table(rows)
    for first, last in pairwise(bounds):
        for file in (lines, document):
            file.write(whole.slice(first, last - first))
    lines.close()
    document.close()
    text = (folder / "x.jsonl").read_text("utf-8")
    assert [json.loads(line) for line in text.split("\n")[:-1]] == rows
    assert json.loads((folder / "x.json").read_bytes()) == {"data": rows}


@pytest.mark.parametrize("number", [0.0, 1.0, -3.0, 0.1, 1e-9, 1e15, 1e22, 5e-324, 2.0**53, 1 / 3])
def test_a_float_reads_back_as_the_same_float(tmp_path: Path, number: float) -> None:
    """Also by readers that take a number without a point for a whole one."""
    for name in ("x.jsonl", "x.tsv"):
        file = open_rows(tmp_path / name)
        file.write(pa.table({"score": pa.array([0.5, number])}))
        file.close()
    found = json.loads((tmp_path / "x.jsonl").read_text().splitlines()[1])["score"]
    assert (type(found), found) == (float, number)
    assert float((tmp_path / "x.tsv").read_text().splitlines()[2]) == number


def test_columns_have_a_separator_and_names_only_where_the_format_has_them(tmp_path: Path) -> None:
    rows = pa.table({"a": ["x", "y"], "b": np.array([1, 2]), "c": np.array([0.25, 1])})
    for name in ("x.tsv", "x.trec"):
        file = open_rows(tmp_path / name)
        file.write(rows.slice(0, 1))
        file.write(rows.slice(1))
        file.close()
    assert (tmp_path / "x.tsv").read_bytes() == b"a\tb\tc\nx\t1\t0.25\ny\t2\t1.0\n"
    assert (tmp_path / "x.trec").read_bytes() == b"x 1 0.25\ny 2 1.0\n"
