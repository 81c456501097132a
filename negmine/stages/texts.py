"""The texts that stand for passages and queries, read from ingest's tables by number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from negmine.store.tables import iter_batches, read_columns, to_numpy
from negmine.text import Template


def standing_rows(path: Path, number: str) -> np.ndarray:
    """Row in the file of the first row of each ``number`` ("passage" or "query"): int64 (m,)."""
    numbers = to_numpy(read_columns(path, [number])[number])
    highest = np.maximum.accumulate(np.concatenate([[-1], numbers[:-1]]))
    return np.flatnonzero(numbers > highest)


class StandingTable:
    """Columns of the rows that stand for passages or queries, by number.

    Only the asked row groups are read; at most the rows of one call are in memory.
    """

    def __init__(self, path: Path, number: str) -> None:
        self._path = path
        self._rows = standing_rows(path, number)

    def __len__(self) -> int:
        return len(self._rows)

    def slice(self, start: int, stop: int, columns: list[str]) -> pa.Table:
        """Rows for the numbers [start, stop)."""
        return self.take(np.arange(start, stop), columns)

    def take(self, numbers: np.ndarray, columns: list[str]) -> pa.Table:
        """Rows for ascending distinct ``numbers``, in that order."""
        wanted = self._rows[numbers]
        pieces: list[pa.Table] = []
        with pq.ParquetFile(self._path) as file:
            schema = pa.schema([file.schema_arrow.field(name) for name in columns])
            first = 0
            for group in range(file.num_row_groups):
                last = first + file.metadata.row_group(group).num_rows
                low, high = np.searchsorted(wanted, [first, last])
                if high > low:
                    table = file.read_row_group(group, columns=columns, use_threads=False).select(columns)
                    pieces.append(table.take(pa.array(wanted[low:high] - first)))
                first = last
        return pa.concat_tables(pieces).combine_chunks() if pieces else schema.empty_table()

    def column(self, name: str) -> pa.ChunkedArray:
        """One column for all numbers. Meant for short values such as ids."""
        batches = [batch.column(0) for batch in iter_batches(self._path, [name])]
        return pa.chunked_array(batches).take(pa.array(self._rows)).combine_chunks()


def passage_texts(table: pa.Table, template: Template) -> pa.Array:
    """``template.fill`` for a whole table of (at least) the columns ``template.names``."""
    if not template.is_default:
        pieces: list[Any] = []
        for literal, name in template.pieces:
            pieces.append(pa.scalar(literal, pa.large_string()))
            if name is not None:
                pieces.append(table[name].combine_chunks().cast(pa.large_string()))
        pieces.append(pa.scalar("", pa.large_string()))  # what stands between two pieces
        return pc.binary_join_element_wise(*pieces, null_handling="replace", null_replacement="")
    title, text = (table[name].combine_chunks() for name in ("title", "text"))
    joined = pc.binary_join_element_wise(title, text, pa.scalar(" ", pa.large_string()))
    texts = pc.case_when(pc.make_struct(pc.equal(title, ""), pc.equal(text, "")), text, title, joined)
    return texts.cast(pa.large_string())
