"""Queries: an id and a text each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from negmine.errors import Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import BadFieldError, id_field, query_field, require_column
from negmine.readers.layouts import Layout, id_column
from negmine.readers.lines import data_suffix
from negmine.readers.rows import Row, RowFile
from negmine.readers.tsv import tsv_batches

_TSV_LAYOUT = "id, text"


class QueryColumns(Protocol):
    """Names of the user's columns: BEIR names queries as it names documents."""

    doc_id: str
    text: str


@dataclass
class QueryBatch:
    """Parallel lists over queries; ``where`` gives the place of a row by its number in ``lines``."""

    where: Callable[[int], Where]
    query_ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def read_queries(
    path: Path, columns: QueryColumns, bad_rows: BadRows, layout: Layout | None = None
) -> Iterator[QueryBatch]:
    """Yield the queries of a file in batches. Raises InputError for missing columns and bad rows."""
    layout = layout or Layout()
    if layout.headerless and data_suffix(path) == ".tsv":
        for where, lines in tsv_batches(path, (2,), _TSV_LAYOUT, bad_rows):
            rows = [(number, {"the id": id_.strip(), "the text": text}) for number, (id_, text) in lines]
            yield _batch(where, rows, "the id", "the text", bad_rows)
        return
    file = RowFile(path, (columns.doc_id, *layout.query_ids, columns.text), bad_rows)
    name = id_column(columns.doc_id, layout.query_ids, file.names)
    for number, rows in enumerate(file.batches()):
        if number == 0:
            require_column(file, name, "data.columns.doc_id", ("_id", "id", "query_id", "qid"))
            require_column(file, columns.text, "data.columns.text", ("text", "query", "question"))
        yield _batch(file.where, rows, name, columns.text, bad_rows)


def _batch(
    where: Callable[[int], Where], rows: list[Row], id_name: str, text_name: str, bad_rows: BadRows
) -> QueryBatch:
    batch = QueryBatch(where)
    for line, row in rows:
        try:
            query_id, text = id_field(row, id_name), query_field(row, text_name)
        except BadFieldError as error:
            bad_rows.reject(where(line), str(error))
            continue
        batch.query_ids.append(query_id)
        batch.texts.append(text)
        batch.lines.append(line)
    return batch
