"""``qid Q0 docid rank score tag``: the negatives of every query as a run, as trec_eval reads it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from negmine.arrays import positions
from negmine.writers.base import Cells, Groups, OneFile, Options, Rows
from negmine.writers.grouping import every_negative

_TAG = "negmine"


class TrecRun(OneFile):
    """Columns are separated by a space and have no names; ranks count from 1, in falling score."""

    name = "trec-run"
    unfit_in_ids: tuple[str, str] | None = (r"\s", "white space")

    def rows(self, groups: Groups, options: Options) -> Rows:
        return every_negative(groups)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        ranks = positions(rows.query).astype(np.int64) + 1
        return pa.table(
            {
                "qid": cells.query("query_id"),
                "Q0": cells.constant("Q0", rows.count),
                "docid": cells.passage("doc_id"),
                "rank": pa.array(ranks),
                "score": pa.array(cells.scores),
                "tag": cells.constant(_TAG, rows.count),
            }
        )
