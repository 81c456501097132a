"""Documents: an id, a text, perhaps a title and metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import BadFieldError, id_field, metadata_field, require_column, text_field
from negmine.readers.rows import RowFile

_ID_ALIASES = ("_id", "id", "docid", "doc_id", "document_id", "pid")
_TEXT_ALIASES = ("text", "contents", "content", "passage", "document", "body")


class CorpusColumns(Protocol):
    """Names of the user's columns."""

    doc_id: str
    text: str
    title: str


@dataclass
class CorpusBatch:
    """Parallel lists over documents; ``metadata`` has one list per carried column."""

    doc_ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    metadata: dict[str, list[str | None]] = field(default_factory=dict)
    lines: list[int] = field(default_factory=list)


def read_corpus(
    path: Path, columns: CorpusColumns, metadata: Sequence[str], bad_rows: BadRows
) -> Iterator[CorpusBatch]:
    """Yield the documents of a file in batches; a document may be blank.

    Raises InputError for a missing column, and for bad rows unless they are skipped.
    """
    file = RowFile(path, bad_rows)
    seen: set[str] = set()
    first: list[str] | None = None
    for rows in file.batches():
        if first is None:
            first = list(rows[0][1])
            require_column(file, first, columns.doc_id, "data.columns.doc_id", _ID_ALIASES)
            if columns.text not in first:
                every = {name for _, row in rows for name in row}
                require_column(file, sorted(every), columns.text, "data.columns.text", _TEXT_ALIASES)
        batch = CorpusBatch(metadata={name: [] for name in metadata})
        for number, row in rows:
            try:
                doc_id, title, text = id_field(row, columns.doc_id), text_field(row, columns.title), text_field(row, columns.text)
                values = [metadata_field(row, name) for name in metadata]
            except BadFieldError as error:
                bad_rows.reject(file.where(number), str(error))
                continue
            seen.update(name for name in metadata if name in row)
            batch.doc_ids.append(doc_id)
            batch.titles.append(title)
            batch.texts.append(text)
            batch.lines.append(number)
            for name, value in zip(metadata, values, strict=True):
                batch.metadata[name].append(value)
        yield batch
    for name in metadata:
        if name not in seen:
            require_column(file, first or [], name, "data.metadata")
