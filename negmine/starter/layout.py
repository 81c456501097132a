"""Which of the tables of a folder are read, and as what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from negmine.config.formats import FORMATS
from negmine.errors import InputError, NegmineError
from negmine.readers import LAYOUTS, Layout
from negmine.readers.qrels import qrels_width
from negmine.readers.recognise import Recognised, recognise_collection, recognise_folder, usual_column
from negmine.starter.collections import name_collection, name_columns
from negmine.starter.findings import Findings, named
from negmine.starter.sources import file_source, sources_in
from negmine.starter.tables import TEXT_ROLES, Kind, Table, held_out, table_of

_NEGATIVES = {"negative", "neg", "negative_passages", "hard_negative_ctxs", "negative_ctxs", "negative_document_ids"}
"""Columns that hold negatives in formats that need not have them."""


def look_at(folder: Path, file: Path | None) -> Findings:
    """What to read of a folder; a ``file`` in it that is given is read as what it holds, whatever others do.

    Raises NegmineError when the file that is given cannot be read.
    """
    found = Findings()
    given = _given(file) if file is not None else None
    here = [] if given is not None else _collections(folder, found)
    if here:
        name_collection(found, folder, {".": here})
        return found
    tables = _tables(folder, given, found)
    if not any(table.kind == "labels" for table in tables) and not _are_judged(tables):
        below = {path.name: made for path in _folders(folder) if (made := _collections(path, found))}
        if below and given is None:
            name_collection(found, folder, below)
            return found
    _files(found, tables)
    return found


def _given(file: Path) -> Table:
    try:
        return table_of(file_source(file))
    except InputError as error:
        if error.where is not None:
            raise
        hint = "docs/inputs.md has all layouts. Rename its columns, or give the folder with all the files."
        raise InputError(error.cause, where=str(file), hint=hint) from error


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))


def _collections(folder: Path, found: Findings) -> list[Recognised]:
    """The layouts of a collection that a folder may have."""
    try:
        return recognise_folder(folder)
    except InputError as error:
        found.notes.append(f"{folder.name}: {error.cause}")
        return []


def _tables(folder: Path, given: Table | None, found: Findings) -> list[Table]:
    """The tables of a folder that can be read; one that is given is the only one of its kind."""
    try:
        sources = sources_in(folder)
    except InputError as error:
        found.notes.append(f"{error.where}: {error.cause}")
        sources = []
    tables = [] if given is None else [given]
    for source in sources:
        if given is not None and given.source.paths[0] in source.paths:
            continue
        try:
            table = table_of(source)
        except NegmineError as error:
            if given is None:
                found.notes.append(f"skipped {source.value}: {error.cause}")
            continue
        if given is None or table.kind != given.kind:
            tables.append(table)
    return tables


def _are_judged(tables: Sequence[Table]) -> bool:
    return {"corpus", "queries", "qrels"} <= {table.kind for table in tables}


def _files(found: Findings, tables: Sequence[Table]) -> None:
    """Labels, with a corpus and queries if there are any; else queries, judgements and a corpus."""
    labels = _of_kind(tables, "labels")
    if _are_judged(tables) and all(held_out(table.source) for table in labels):
        found.tests = _guarded(labels)
        found.notes += [f"not used: {table.value} (named for testing)" for table in labels]
        _judged(found, tables)
        return
    if not labels:
        found.notes.append("no file with queries and positives was found: fill in data.pairs")
        found.incomplete = True
        found.lines.append("# FILL IN: a file with one query (anchor) and its positive per row, as")
        found.lines.append('# {"anchor": "the query", "positive": "a passage that answers it"}')
        found.key("pairs", "pairs.jsonl", "or .json .csv .tsv .parquet, also .gz .zst")
    chosen = _chosen(found, "pairs", labels) if labels else None
    layout, needs = Layout(), frozenset({"pairs"})
    if chosen is not None:
        layout, needs = _labels(found, chosen)
    queries = None
    if "queries" in needs:
        queries = _needed(found, "queries", _of_kind(tables, "queries"), "the texts of the queries")
    corpora = _of_kind(tables, "corpus")
    if corpora:
        corpus = _chosen(found, "corpus", corpora)
        if corpus is not None:
            found.key("corpus", corpus.value, "the passages that negatives come from")
            name_columns(found, corpus, queries, layout)
    elif "corpus" in needs:
        _needed(found, "corpus", [], "the texts of the documents")
    elif labels:
        found.notes.append("no corpus file was found: the distinct positives are the corpus")
        found.offer("corpus: corpus.jsonl", "without it the distinct positives are the corpus")
        found.lengths = chosen.lengths if chosen is not None else ()
    unused = [] if queries is not None else _of_kind(tables, "queries")
    unused += _of_kind(tables, "qrels")
    found.notes += [f"not used: {table.value} ({table.why})" for table in unused]


def _judged(found: Findings, tables: Sequence[Table]) -> None:
    """Queries, judgements and a corpus in files of their own."""
    chosen = {key: _chosen(found, key, _of_kind(tables, key)) for key in ("queries", "qrels", "corpus")}
    comments = {
        "queries": "their ids and texts",
        "qrels": "which documents are positives of which queries",
        "corpus": "the passages that negatives come from",
    }
    for key, table in chosen.items():
        if table is not None:
            found.key(key, table.value, comments[key])
    corpus, queries, qrels = (chosen[key] for key in ("corpus", "queries", "qrels"))
    if corpus is None or queries is None or qrels is None:
        return
    columns = [corpus.columns.get(role, "") for role in TEXT_ROLES]
    width = qrels_width(qrels.source.paths[0])
    options = recognise_collection(corpus.seen, queries.seen, qrels.seen, columns, width)
    if len(options) > 1:
        found.open("format", {each.format: each.why for each in options}, "how are they laid out? Uncomment one line")
    else:
        found.key("format", options[0].format, options[0].why)
    name_columns(found, corpus, queries, LAYOUTS.get(options[0].format, Layout()))


def _of_kind(tables: Sequence[Table], kind: Kind) -> list[Table]:
    """The tables of a kind: those in the folder itself, or those in folders in it if there are none."""
    every = [table for table in tables if table.kind == kind]
    return [table for table in every if not table.source.nested] or every


def _chosen(found: Findings, key: str, tables: Sequence[Table]) -> Table | None:
    """The one to take: the only one, or the only one that is not named for testing. Others are left to the user."""
    training = [table for table in tables if not held_out(table.source)]
    if len(tables) == 1 or len(training) == 1:
        chosen = tables[0] if len(tables) == 1 else training[0]
        found.notes.append(f"{named(chosen.value)}: {chosen.why}")
        others = [table for table in tables if table is not chosen]
        if others:
            found.notes.append(f"not used: {', '.join(table.value for table in others)} (named for testing)")
        if key == "pairs":
            found.tests = _guarded(others)
        return chosen
    names = [table.value for table in tables]
    found.notes.append(f"{len(names)} files could be data.{key}: {', '.join(names)}; uncomment one in the config")
    found.open(key, {table.value: table.why for table in tables}, f"which of these is the {key}? Uncomment one line")
    columns = [_columns(table) for table in tables]
    if all(each == columns[0] for each in columns):
        found.columns |= columns[0]
    else:
        listed = [f"{table.value}: {_listed(each)}" for table, each in zip(tables, columns, strict=True) if each]
        found.lines += [f"# columns of {each}" for each in listed]
    return None


def _guarded(tables: Sequence[Table]) -> list[str]:
    """Those for testing that data.eval_guard can read."""
    return [table.value for table in tables if not table.source.is_folder]


def _columns(table: Table) -> dict[str, str]:
    return {**table.columns, **_label_columns(table.options[0])} if table.options else dict(table.columns)


def _label_columns(option: Recognised) -> dict[str, str]:
    return {key.removeprefix("columns."): name for key, name in option.keys.items() if key.startswith("columns.")}


def _agreed(options: Sequence[Recognised]) -> dict[str, str]:
    """The columns that hold whatever layout is chosen; the positive of pairs is also read as the labelled passage."""
    first, *others = [
        {"positive" if role == "passage" else role: name for role, name in _label_columns(each).items()}
        for each in options
    ]
    return {role: name for role, name in first.items() if all(each.get(role) == name for each in others)}


def _listed(columns: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{role}: {name}" for role, name in columns.items()) + "}"


def _needed(found: Findings, key: str, tables: Sequence[Table], what: str) -> Table | None:
    """A table that the labels cannot do without."""
    chosen = _chosen(found, key, tables) if tables else None
    if chosen is not None:
        found.key(key, chosen.value, what)
    elif not tables:
        found.notes.append(f"no file with {what} was found: fill in data.{key}")
        found.open(key, {f"{key}.jsonl": ""}, f"a file with {what}")
    return chosen


def _labels(found: Findings, table: Table) -> tuple[Layout, frozenset[str]]:
    """Write the keys of a table of labels; returns how its other tables are laid out, and which it needs."""
    found.key("pairs", table.value, "queries with their positives")
    _splits(found, table)
    options = table.options
    if len(options) > 1:
        values = {each.format: each.why for each in options}
        found.open("format", values, "what do its rows mean? Uncomment one line")
        found.notes.append(f"choose data.format from {', '.join(values)}")
        found.columns |= _agreed(options)
    else:
        found.key("format", options[0].format, options[0].why)
        found.columns |= _label_columns(options[0])
    if table.unlabelled:
        found.notes.append("no label of the first rows reaches 1: set data.min_grade to the least one of a positive")
        found.ask("the least label (or score) of a positive", ["# min_grade: 0.5"])
    chosen = options[0].format
    found.has_negatives = FORMATS[chosen].negatives and (
        chosen in ("triplets", "labeled", "ids", "msmarco") or bool(_NEGATIVES & set(table.seen.names))
    )
    return LAYOUTS.get(chosen, Layout()), _needs(table, options[0])


def _needs(table: Table, option: Recognised) -> frozenset[str]:
    """The keys that a table of labels cannot do without."""
    if option.format == "msmarco" and option.why.endswith("ids"):
        return frozenset({"pairs", "queries", "corpus"})
    if option.format in ("pairs", "triplets") and usual_column(table.seen.names, "positive") is None:
        return frozenset({"pairs", "corpus"})
    return min(FORMATS[option.format].keys, key=len)


def _splits(found: Findings, table: Table) -> None:
    """Choose a split of a dataset that was saved with some."""
    source = table.source
    if source.splits and not source.split:
        found.notes.append(f"{named(table.value)} has the splits {', '.join(source.splits)}: choose data.split")
        found.open("split", dict.fromkeys(source.splits, ""), "which split? Uncomment one line")
    elif source.split not in ("", "train"):
        found.key("split", source.split, "the only split there is")
