"""Folders that are collections with judgements, and the columns of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from negmine.errors import NegmineError
from negmine.readers import LAYOUTS, Layout, collection_files
from negmine.readers.formats.beir import beir_splits
from negmine.readers.formats.msmarco import msmarco_splits
from negmine.readers.recognise import Recognised
from negmine.starter.findings import Findings, default_column, named
from negmine.starter.sources import Source
from negmine.starter.tables import Table, table_of

_SPLITS: Mapping[str, Callable[[Path], list[str]]] = {"beir": beir_splits, "msmarco": msmarco_splits}


def name_collection(found: Findings, base: Path, options: Mapping[str, Sequence[Recognised]]) -> None:
    """One of the folders that are collections; options by path from ``base``."""
    if len(options) > 1:
        found.notes.append(f"{len(options)} folders could be data.path: {', '.join(options)}; uncomment one")
        values = {name: each[0].why for name, each in options.items()}
        found.open("path", values, "which of these collections? Uncomment one line, and set data.split if need be")
        return
    [(value, formats)] = options.items()
    for each in formats:
        found.notes.append(f"{named(value)}: {each.format} ({each.why})")
    found.key("path", value, formats[0].why)
    chosen = formats[0].format
    if len(formats) > 1:
        found.open("format", {each.format: each.why for each in formats}, "how is it laid out? Uncomment one line")
    else:
        found.key("format", chosen, "")
    folder = base / value
    splits = _SPLITS[chosen](folder)
    split = "train" if "train" in splits else splits[0] if len(splits) == 1 else ""
    if split:
        found.key("split", split, f"the judgements to mine for; there are: {', '.join(splits)}")
        if split != "train":
            found.notes.append(f"there are no judgements called train: data.split is '{split}', the only ones there")
    else:
        found.notes.append(f"no split is called train: choose data.split from {', '.join(splits)}")
        found.open("split", dict.fromkeys(splits, ""), "the judgements to mine for; uncomment one line")
    _columns_of_collection(found, folder, chosen, split or splits[0])


def _columns_of_collection(found: Findings, folder: Path, chosen: str, split: str) -> None:
    try:
        files = collection_files(chosen, folder, split)
        corpus = table_of(Source("corpus", files.corpus))
        queries = table_of(Source("queries", files.queries))
    except NegmineError as error:
        found.notes.append(f"{error.where}: {error.cause}")
        return
    found.has_negatives = bool(files.negatives)
    name_columns(found, corpus, queries, LAYOUTS.get(chosen, Layout()))


def name_columns(found: Findings, corpus: Table, queries: Table | None, layout: Layout) -> None:
    """Name the columns of a corpus, which are also those of the queries where these have a file."""
    found.columns |= _of_layout(corpus.columns, layout.doc_ids)
    found.metadata, found.lengths = corpus.others, corpus.lengths
    if queries is None or not queries.columns or not corpus.columns:
        return
    of_queries = _of_layout(queries.columns, layout.query_ids)
    for role in ("doc_id", "text"):
        theirs = of_queries.get(role, default_column(role))
        ours = found.columns.get(role, default_column(role))
        if theirs != ours and not (role == "doc_id" and queries.columns[role] in layout.query_ids):
            what = "ids" if role == "doc_id" else "texts"
            found.incomplete = True
            note = f"{queries.value} has its {what} in '{theirs}' and {corpus.value} in '{ours}'"
            found.notes.append(f"{note}: rename one of the columns")
            found.lines.append(f"# FILL IN: {note}; rename one of the columns")


def _of_layout(columns: Mapping[str, str], usual: Sequence[str]) -> dict[str, str]:
    """The columns that have to be named: not an id under a usual name of the layout."""
    return {role: name for role, name in columns.items() if role != "doc_id" or name not in usual}
