"""Which part of a positive document stands for it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from negmine.selection.parts import best_parts

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 5)), max_size=30)


@given(ROWS, st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=24, max_size=24))
def test_the_best_part_of_each_document_is_that_of_brute_force(
    rows: list[tuple[int, int, int]], given: list[float]
) -> None:
    score = [
        given[query * 6 + passage] for query, _, passage in rows
    ]  # of a query and a passage, whatever the document
    best: dict[tuple[int, int], int] = {}
    for row, (query, document, _) in enumerate(rows):
        if (query, document) not in best or score[row] > score[best[query, document]]:
            best[query, document] = row
    expected, seen = [], set()
    for row in sorted(best.values()):
        if (pair := (rows[row][0], rows[row][2])) not in seen:
            seen.add(pair)
            expected.append(row)
    query, document, passage = np.array(rows, np.int64).reshape(-1, 3).T
    assert best_parts(query, document, passage, np.array(score)).tolist() == expected
