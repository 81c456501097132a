"""What the reader tests share: the default columns, files of every kind, errors without their folder."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from negmine.config import ColumnsConfig
from negmine.errors import InputError
from negmine.readers import LABEL_FORMATS, BadRows, LabelSettings, read_corpus
from negmine.readers.base import LabelBatch

TEXT_SUFFIXES = tuple(kind + packed for kind in (".jsonl", ".json", ".csv", ".tsv") for packed in ("", ".gz", ".zst"))
SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
FIX = " Fix the row, or set data.on_bad_row: skip to leave such rows out."
BROKEN = " Make or copy the file again."


@dataclass(frozen=True)
class Columns:
    """The default names of ``data.columns``."""

    query_id: str = "query_id"
    anchor: str = "anchor"
    positive: str = "positive"
    positive_id: str = "positive_id"
    doc_id: str = "_id"
    text: str = "text"
    title: str = "title"


def packed(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data, mtime=0)
    if suffix == ".zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(data)
        return sink.getvalue().to_pybytes()
    return data


def write(path: Path, data: str | bytes) -> Path:
    """Write a text file, compressed as its suffix says."""
    path.write_bytes(packed(data.encode("utf-8") if isinstance(data, str) else data, path.suffix))
    return path


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows with equal keys in the format that the suffix says."""
    kind = Path(path.stem).suffix if path.suffix in (".gz", ".zst") else path.suffix
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
        return path
    if kind == ".json":
        return write(path, orjson.dumps(list(rows), option=orjson.OPT_INDENT_2))
    if kind == ".jsonl":
        return write(path, b"".join(orjson.dumps(row) + b"\n" for row in rows))
    plain = path.with_name("plain")
    with plain.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="," if kind == ".csv" else "\t")
        writer.writerow(rows[0])
        writer.writerows(row.values() for row in rows)
    return write(path, plain.read_bytes())


def documents(
    path: Path, policy: str = "error", metadata: Sequence[str] = (), columns: Columns | None = None
) -> tuple[list[tuple[Any, ...]], BadRows]:
    """All documents of a file as (id, title, text, *metadata, line), and what was rejected."""
    bad_rows = BadRows(policy)
    rows: list[tuple[Any, ...]] = []
    for batch in read_corpus(path, columns or Columns(), metadata, bad_rows):
        carried = (batch.metadata[name] for name in metadata)
        rows += zip(batch.doc_ids, batch.titles, batch.texts, *carried, batch.lines, strict=True)
    return rows, bad_rows


def failure(read: Callable[[], Iterable[Any]], folder: Path) -> str:
    """The one line that a user sees when reading fails, without the folder of the test."""
    with pytest.raises(InputError) as caught:
        list(read())
    return str(caught.value).replace(f"{folder}/", "").replace(str(folder), "FOLDER")


def document_failure(path: Path, policy: str = "error", **options: Any) -> str:
    return failure(lambda: documents(path, policy, **options)[0], path.parent)


def read_labels(
    name: str, path: Path, bad_rows: BadRows, *, columns: Any = None, negatives: bool = False, **settings: Any
) -> Iterator[LabelBatch]:
    """The labels of one file in a layout."""
    chosen = LabelSettings(columns or ColumnsConfig(), negatives=negatives, **settings)
    return LABEL_FORMATS[name].read([path], chosen, bad_rows)


def read_pairs(path: Path, columns: Any, bad_rows: BadRows) -> Iterator[LabelBatch]:
    return read_labels("pairs", path, bad_rows, columns=columns)
