"""Rows of positives and negatives, against loops over lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from negmine.writers import FORMATS, Cells, Groups, Options, Rows
from negmine.writers.grouping import every_negative, every_passage, every_positive, grouped

QUERIES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=6)
"""How many positives and negatives each query has."""


def groups_of(counts: list[tuple[int, int]], found_by: list[list[str]] | None = None) -> Groups:
    positives, negatives = ([pair[side] for pair in counts] for side in (0, 1))
    p, n = sum(positives), sum(negatives)
    return Groups(
        np.concatenate([[0], np.cumsum(positives)]).astype(np.int64),
        np.arange(p),
        np.linspace(2, 3, p),
        np.concatenate([[0], np.cumsum(negatives)]).astype(np.int64),
        1000 + np.arange(n),
        np.linspace(1, 0, n),
        np.ones(p),
        pa.array(found_by if found_by is not None else [["dense"]] * n, pa.list_(pa.string())),
    )


def as_lists(rows: Rows) -> list[tuple[int, list[int], list[int]]]:
    """Each row as its query, rows of positives, rows of negatives; checks that positives come first."""
    found = []
    for row, query in enumerate(rows.query):
        part = slice(rows.offsets[row], rows.offsets[row + 1])
        positive, negative = rows.positive[part], rows.negative[part]
        assert ((positive >= 0) != (negative >= 0)).all()
        assert not (np.diff((positive >= 0).astype(int)) > 0).any()
        found.append((int(query), positive[positive >= 0].tolist(), negative[negative >= 0].tolist()))
    return found


def by_loops(
    counts: list[tuple[int, int]], *, one_positive: bool, size: int | None
) -> tuple[list[tuple[int, list[int], list[int]]], int]:
    rows, left_out, p, n = [], 0, 0, 0
    for query, (positives, negatives) in enumerate(counts):
        own, others = list(range(p, p + positives)), list(range(n, n + negatives))
        p, n = p + positives, n + negatives
        for base in [[one] for one in own] if one_positive else [own] if own else []:
            step = size or max(len(others), 1)
            pieces = [others[first : first + step] for first in range(0, len(others), step)] or [[]]
            whole = [piece for piece in pieces if len(piece) == (size or len(piece)) and piece]
            rows += [(query, base, piece) for piece in whole]
            left_out += len(pieces) - len(whole)
    return rows, left_out


@settings(max_examples=200, deadline=None)
@given(QUERIES, st.booleans(), st.none() | st.integers(1, 4))
def test_rows_are_those_of_loops(counts: list[tuple[int, int]], one_positive: bool, size: int | None) -> None:
    """Every row, in order, and how many are left out."""
    rows = grouped(groups_of(counts), one_positive=one_positive, size=size)
    assert (as_lists(rows), rows.left_out) == by_loops(counts, one_positive=one_positive, size=size)


@settings(deadline=None)
@given(QUERIES)
def test_every_passage_is_a_row_once(counts: list[tuple[int, int]]) -> None:
    """Of each query the positives, then the negatives; or those of one side alone."""
    groups = groups_of(counts)
    expected = []
    p = n = 0
    for query, (positives, negatives) in enumerate(counts):
        expected += [(query, [row], []) for row in range(p, p + positives)]
        expected += [(query, [], [row]) for row in range(n, n + negatives)]
        p, n = p + positives, n + negatives
    assert as_lists(every_passage(groups)) == expected
    assert as_lists(every_positive(groups)) == [row for row in expected if row[1]]
    assert as_lists(every_negative(groups)) == [row for row in expected if row[2]]


@settings(deadline=None)
@given(QUERIES, st.data())
def test_negatives_by_retriever_are_those_of_loops(counts: list[tuple[int, int]], data: st.DataObject) -> None:
    """Each negative is under every retriever that found it, in falling score; names are in alphabetical order."""
    names = st.lists(st.sampled_from(["dense", "bm25", "splade", "é"]), min_size=1, max_size=3, unique=True)
    found_by = [data.draw(names) for _ in range(sum(negatives for _, negatives in counts))]
    groups = groups_of(counts, found_by)
    member, options = FORMATS["beir"].members[0], Options()
    rows = member.rows(groups, options)
    cells = Cells(
        rows,
        groups,
        lambda texts: texts,
        lambda name: pa.array([f"q{number}" for number in range(len(counts))], pa.large_string()),
        lambda numbers, name: pa.array([str(number) for number in numbers], pa.large_string()),
    )
    expected = []
    for query, positives, negatives in as_lists(rows):
        neg = {
            name: [str(1000 + row) for row in negatives if name in found_by[row]]
            for name in sorted({name for row in negatives for name in found_by[row]})
        }
        expected.append({"qid": f"q{query}", "pos": [str(row) for row in positives], "neg": list(neg.items())})
    assert member.table(rows, cells, options).to_pylist() == expected


@settings(deadline=None)
@given(QUERIES, st.integers(1, 12))
def test_rows_may_be_cut_anywhere(counts: list[tuple[int, int]], most: int) -> None:
    """The parts are the rows again, and each has about so many passages."""
    rows = every_passage(groups_of(counts)) if most % 2 else grouped(groups_of(counts), one_positive=True, size=2)
    cuts = rows.cuts(most)
    assert [cut for first, last in cuts for cut in as_lists(rows.part(first, last))] == as_lists(rows)
    widest = int(np.diff(rows.offsets).max(initial=0))
    assert all(rows.part(first, last).offsets[-1] < most + 2 * widest for first, last in cuts)
