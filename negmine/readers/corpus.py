"""Documents: an id, a text, perhaps a title and metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from negmine.errors import InputError, Where
from negmine.readers.bad_rows import BadRows
from negmine.readers.fields import BadFieldError, id_field, metadata_field, require_column, text_field
from negmine.readers.layouts import Layout, id_column
from negmine.readers.lines import data_suffix
from negmine.readers.rows import Row, RowFile
from negmine.readers.tsv import tsv_batches

_TITLE = "title"  # Under this name, titles are optional; a name that was chosen must be there.
_ID_ALIASES = ("_id", "id", "docid", "doc_id", "document_id", "pid")
_URL = "url"
_PASSAGE, _DOCUMENT = ("id", "text"), ("id", _URL, "title", "text")
_TSV_LAYOUT = "id and text, or id, url, title and body"
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
    path: Path, columns: CorpusColumns, metadata: Sequence[str], bad_rows: BadRows, layout: Layout | None = None
) -> Iterator[CorpusBatch]:
    """Yield the documents of a file in batches; a document may be blank.

    Raises InputError for a missing column, and for bad rows unless they are skipped.
    """
    layout = layout or Layout()
    if layout.headerless and data_suffix(path) == ".tsv":
        yield from _without_header(path, metadata, bad_rows)
        return
    file = RowFile(path, (columns.doc_id, *layout.doc_ids, columns.text, columns.title, *metadata), bad_rows)
    id_name = id_column(columns.doc_id, layout.doc_ids, file.names)
    unseen = dict.fromkeys(metadata, "data.metadata")
    if columns.title != _TITLE:
        unseen[columns.title] = "data.columns.title"
    for number, rows in enumerate(file.batches()):
        if number == 0:
            require_column(file, id_name, "data.columns.doc_id", _ID_ALIASES)
            require_column(file, columns.text, "data.columns.text", _TEXT_ALIASES)
        if unseen:
            unseen = {name: key for name, key in unseen.items() if not any(name in row for _, row in rows)}
        yield _batch(file.where, rows, (id_name, columns.title, columns.text), metadata, bad_rows)
    if file.names:
        for name, key in unseen.items():
            require_column(file, name, key)


def _without_header(path: Path, metadata: Sequence[str], bad_rows: BadRows) -> Iterator[CorpusBatch]:
    """MS MARCO's passages (``id, text``) and documents (``id, url, title, body``), whose url can be carried."""
    unknown = next((name for name in metadata if name != _URL), None)
    if unknown is not None:
        raise InputError(
            f"there is no column '{unknown}': a file without a header has '{_URL}' at most",
            where=str(path),
            hint="Remove it from data.metadata.",
        )
    for where, lines in tsv_batches(path, (len(_PASSAGE), len(_DOCUMENT)), _TSV_LAYOUT, bad_rows):
        names = _PASSAGE if len(lines[0][1]) == len(_PASSAGE) else _DOCUMENT
        if metadata and names is _PASSAGE:
            cause = f"there is no column '{_URL}' in a file of {_PASSAGE[0]} and {_PASSAGE[1]}"
            raise InputError(cause, where=str(path), hint="Remove it from data.metadata.")
        rows = [(number, dict(zip(names, fields, strict=True))) for number, fields in lines]
        for _, row in rows:
            row["id"] = row["id"].strip()
        yield _batch(where, rows, ("id", "title", "text"), metadata, bad_rows)


def _batch(
    where: Callable[[int], Where],
    rows: Sequence[Row],
    names: tuple[str, str, str],
    metadata: Sequence[str],
    bad_rows: BadRows,
) -> CorpusBatch:
    """The documents of some rows, by the names of the columns of id, title and text."""
    id_name, title_name, text_name = names
    batch = CorpusBatch(where, metadata={name: [] for name in metadata})
    for line, row in rows:
        try:
            doc_id = id_field(row, id_name)
            title, text = text_field(row, title_name), text_field(row, text_name)
            values = [metadata_field(row, name) for name in metadata]
        except BadFieldError as error:
            bad_rows.reject(where(line), str(error))
            continue
        batch.doc_ids.append(doc_id)
        batch.titles.append(title)
        batch.texts.append(text)
        batch.lines.append(line)
        for name, value in zip(metadata, values, strict=True):
            batch.metadata[name].append(value)
    return batch
