"""Documents: an id, a text, perhaps a title and metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from negmine.errors import Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import BadFieldError, id_field, metadata_field, require_column, text_field
from negmine.readers.rows import Row, RowFile

_TITLE = "title"  # Under this name, titles are optional; a name that was chosen must be there.
_ID_ALIASES = ("_id", "id", "docid", "doc_id", "document_id", "pid")
_TEXT_ALIASES = ("text", "contents", "content", "passage", "document", "body")


class CorpusColumns(Protocol):
    """Names of the user's columns."""

    doc_id: str
    text: str
    title: str


@dataclass
class CorpusBatch:
    """Parallel lists over documents; ``metadata`` has one list per carried column.

    ``where`` gives the place of a row by its number in ``lines``.
    """

    where: Callable[[int], Where]
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
    file = RowFile(path, (columns.doc_id, columns.text, columns.title, *metadata), bad_rows)
    unseen = dict.fromkeys(metadata, "data.metadata")
    if columns.title != _TITLE:
        unseen[columns.title] = "data.columns.title"
    for number, rows in enumerate(file.batches()):
        if number == 0:
            require_column(file, columns.doc_id, "data.columns.doc_id", _ID_ALIASES)
            require_column(file, columns.text, "data.columns.text", _TEXT_ALIASES)
        if unseen:
            unseen = {name: key for name, key in unseen.items() if not any(name in row for _, row in rows)}
        yield _batch(file, rows, columns, metadata, bad_rows)
    if file.names:
        for name, key in unseen.items():
            require_column(file, name, key)


def _batch(
    file: RowFile, rows: Sequence[Row], columns: CorpusColumns, metadata: Sequence[str], bad_rows: BadRows
) -> CorpusBatch:
    batch = CorpusBatch(file.where, metadata={name: [] for name in metadata})
    for line, row in rows:
        try:
            doc_id = id_field(row, columns.doc_id)
            title, text = text_field(row, columns.title), text_field(row, columns.text)
            values = [metadata_field(row, name) for name in metadata]
        except BadFieldError as error:
            bad_rows.reject(file.where(line), str(error))
            continue
        batch.doc_ids.append(doc_id)
        batch.titles.append(title)
        batch.texts.append(text)
        batch.lines.append(line)
        for name, value in zip(metadata, values, strict=True):
            batch.metadata[name].append(value)
    return batch
