"""The texts that stand for passages and queries, read from ingest's tables by number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from negmine.stages.base import Run
from negmine.store.tables import to_numpy
from negmine.text import Template

_ID_SHARE, _ID_BYTES = 32, 16
"""Ids stay in memory where they take at most this share of the memory limit, at about so many bytes each."""


class StandingTable:
    """Columns of the rows that stand for passages or queries, by number: of each number the first row that has it.

    Only the asked row groups are read, of which no more than the asked rows stay in memory.
    """

    def __init__(self, path: Path, number: str) -> None:
        """``number`` names the column that counts passages or queries in the order of their first rows."""
        self._path, self._number = path, number
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
            position = file.schema_arrow.get_field_index(number)
            highest = [group.column(position).statistics.max for group in groups]
        self._rows = [group.num_rows for group in groups]
        # Numbers that a row group has and no earlier one: from its offset to the next one's.
        self._offsets = np.maximum.accumulate(np.array([0, *(value + 1 for value in highest)], np.int64))

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def slice(self, start: int, stop: int, columns: list[str]) -> pa.Table:
        """Rows for the numbers [start, stop)."""
        return self.take(np.arange(start, stop), columns)

    def take(self, numbers: np.ndarray, columns: list[str]) -> pa.Table:
        """Rows for ascending distinct ``numbers``, in that order."""
        with pq.ParquetFile(self._path) as file:
            pieces = [file.schema_arrow.empty_table().select(columns)]
            bounds = np.searchsorted(numbers, self._offsets)
            for group in np.flatnonzero(np.diff(bounds)):
                wanted = numbers[bounds[group] : bounds[group + 1]] - self._offsets[group]
                pieces.append(self._standing(file, int(group), columns).take(pa.array(wanted)))
        return pa.concat_tables(pieces).combine_chunks()

    def column(self, name: str) -> pa.Array:
        """One column for all numbers. Meant for short values such as ids."""
        with pq.ParquetFile(self._path) as file:
            pieces = [file.schema_arrow.empty_table().select([name])]
            pieces += [self._standing(file, group, [name]) for group in range(len(self._rows))]
        return pa.concat_tables(pieces)[name].combine_chunks()

    def _standing(self, file: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
        """The rows of a row group that stand for a number, which are all where it has as many new numbers as rows."""
        first, end = self._offsets[group : group + 2]
        if end - first == self._rows[group]:
            return file.read_row_group(group, columns=columns, use_threads=False).select(columns)
        names = list(dict.fromkeys([*columns, self._number]))
        table = file.read_row_group(group, columns=names, use_threads=False)
        numbers = to_numpy(table[self._number])
        highest = np.maximum.accumulate(np.concatenate([[first - 1], numbers[:-1]]))
        return table.select(columns).filter(pa.array(numbers > highest))


class StandingColumn:
    """A short column such as ids, for any numbers: kept in memory, or read anew for each call where it is large."""

    def __init__(self, table: StandingTable, name: str, most: int) -> None:
        """``most`` is the number of values that may be kept."""
        self._table, self._name = table, name
        self._kept = table.column(name) if len(table) <= most else None

    def take(self, numbers: np.ndarray) -> pa.Array:
        """The values of ``numbers`` (n,), in their order."""
        if self._kept is not None:
            return self._kept.take(pa.array(numbers))
        distinct, place = np.unique(numbers, return_inverse=True)
        found = self._table.take(distinct, [self._name])[self._name].combine_chunks()
        return found.take(pa.array(place))


def queries_of(run: Run) -> StandingTable:
    """The rows that stand for queries."""
    return run.resource("queries", lambda: StandingTable(run.file("ingest", "queries.parquet"), "query"))


def passages_of(run: Run) -> StandingTable:
    """The rows that stand for passages."""
    return run.resource("passages", lambda: StandingTable(run.file("ingest", "corpus.parquet"), "passage"))


def table_of(run: Run, kind: str) -> StandingTable:
    """That of ``corpus`` or ``queries``."""
    return passages_of(run) if kind == "corpus" else queries_of(run)


def doc_ids_of(run: Run) -> StandingColumn:
    """The ids of passages."""
    most = run.config.memory_limit // _ID_SHARE // _ID_BYTES
    return run.resource("doc_ids", lambda: StandingColumn(passages_of(run), "doc_id", most))


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
