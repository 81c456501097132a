"""Folders in the layout of BEIR, and of MTEB on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negmine.errors import InputError, nearest
from negmine.readers.bad_rows import BadRows
from negmine.readers.base import LabelBatch, LabelRow, Negative, Parse, Passage, table_labels
from negmine.readers.fields import BadFieldError, id_field, require_column, values_field
from negmine.readers.files import natural
from negmine.readers.lines import data_suffix
from negmine.readers.rows import SUFFIXES, RowFile

_QRELS_FOLDERS = ("qrels", "default", "data")
_SHARD = re.compile(r"(.+?)-[0-9]+-of-[0-9]+")


@dataclass(frozen=True)
class CollectionFiles:
    """The files of a collection with judgements, in the order in which they are read."""

    corpus: tuple[Path, ...]
    queries: tuple[Path, ...]
    qrels: tuple[Path, ...]
    negatives: tuple[Path, ...] = ()
    """Where given negatives are, if there are any."""


def beir_files(folder: Path, split: str) -> CollectionFiles:
    """The files of the collection in ``folder``. Raises InputError when one is missing.

    ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``; each also as .parquet or compressed; the
    queries and qrels of one prefix (``<prefix>-queries.jsonl``, ``<prefix>-qrels/``) stand for those without.
    In place of a file there may be a folder of shards, as the hub has: ``corpus/<split>-00000-of-00002.parquet``;
    then the qrels may be in ``default/`` or ``data/``. ``hard-negatives.jsonl`` may be there beside them.
    """
    check_folder(folder)
    prefix = _prefix(folder)
    splits = _qrels(folder, prefix)
    if split not in splits:
        found = f"There are: {', '.join(splits)}." if splits else "A BEIR folder has qrels/train.tsv."
        hint = " ".join(filter(None, [found, nearest(split, list(splits)), "Set data.split."]))
        raise InputError(f"there is no {prefix}qrels/{split}.tsv", where=str(folder), hint=hint)
    corpus, queries = _table(folder, "corpus", split), _table(folder, f"{prefix}queries", split)
    negatives = tuple(path for path in _places(folder, "hard-negatives") if path.is_file())
    return CollectionFiles(corpus, queries, splits[split], negatives)


def read_hard_negatives(paths: Sequence[Path], bad_rows: BadRows) -> Iterator[LabelBatch]:
    """Yield the negatives of ``hard-negatives.jsonl``: ``qid, pos, neg``, of which ``neg`` has a list per retriever.

    A document that several retrievers found has a rank for each. Raises InputError for a missing column and bad rows.
    """

    def parse(row: Mapping[str, Any]) -> LabelRow:
        value = row.get("neg") or {}
        if not isinstance(value, dict):
            raise BadFieldError("'neg' is not an object with a list for each retriever")
        ids = [
            (rank, id_field({name: each}, name))
            for name in value
            for rank, each in enumerate(values_field(value, name), 1)
        ]
        return LabelRow(id_field(row, "qid"), None, (), [Negative(Passage(None, doc_id), rank) for rank, doc_id in ids])

    def start(file: RowFile) -> Parse:
        for name in ("qid", "neg"):
            require_column(file, name, None)
        return parse

    return table_labels(paths, ("qid", "neg"), bad_rows, start)


def beir_splits(folder: Path) -> list[str]:
    """Splits of the collection in a folder, if it is one."""
    has_texts = all(_places(folder, stem) for stem in ("corpus", f"{_prefix(folder)}queries"))
    return list(_qrels(folder, _prefix(folder))) if has_texts else []


def check_folder(folder: Path) -> None:
    """Raise InputError when ``data.path`` names no folder."""
    if not folder.is_dir():
        cause = "this is a file, and a folder is needed" if folder.exists() else "this folder does not exist"
        raise InputError(cause, where=str(folder), hint="Check data.path.")


def _prefix(folder: Path) -> str:
    """What comes before ``queries`` and ``qrels``. Raises InputError when several could."""
    if _places(folder, "queries"):
        return ""
    found = sorted(
        {path.name.split("queries")[0] for path in folder.glob("*-queries*") if _places(folder, _stem(path.name))}
    )
    if len(found) > 1:
        raise InputError(
            f"there are several sets of queries: {', '.join(f'{prefix}queries' for prefix in found)}",
            where=str(folder),
            hint="Set data.corpus, data.queries and data.qrels instead of data.path.",
        )
    return found[0] if found else ""


def _stem(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _places(folder: Path, stem: str) -> list[Path]:
    """A file or folder of shards of that name."""
    files = sorted(path for path in folder.glob(f"{stem}.*") if data_suffix(path) in SUFFIXES and path.is_file())
    return files or [path for path in [folder / stem] if path.is_dir() and _by_split(_data_files(path))]


def _table(folder: Path, stem: str, split: str) -> tuple[Path, ...]:
    places = _places(folder, stem)
    if not places:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:12])
        raise InputError(
            f"there is no {stem}.jsonl",
            where=str(folder),
            hint=f"The folder holds: {there}. Rename the file, or set data.corpus, data.queries and data.qrels"
            " instead of data.path.",
        )
    if len(places) > 1:
        raise InputError(
            f"there is more than one: {', '.join(path.name for path in places)}",
            where=str(folder),
            hint="Remove all but one.",
        )
    if places[0].is_file():
        return (places[0],)
    shards = _by_split(_data_files(places[0]))
    if split in shards or len(shards) == 1:
        return shards.get(split) or next(iter(shards.values()))
    raise InputError(
        f"there is no split {split}", where=str(places[0]), hint=f"There are: {', '.join(shards)}. Set data.split."
    )


def _qrels(folder: Path, prefix: str) -> dict[str, tuple[Path, ...]]:
    """The files with judgements by split."""
    for name in (f"{prefix}qrels",) if prefix else _QRELS_FOLDERS:
        found = _by_split(_data_files(folder / name))
        if found:
            return found
    return {}


def _data_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted((path for path in files if data_suffix(path) in SUFFIXES), key=lambda path: natural(path.name))


def _by_split(files: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """Files by the split that their names tell: ``train`` of ``train.tsv`` and ``train-00000-of-00002.parquet``."""
    found: dict[str, Sequence[Path]] = {}
    for path in files:
        stem = path.name[: path.name.lower().index(data_suffix(path))]
        match = _SHARD.fullmatch(stem)
        name = match[1] if match else stem
        found[name] = [*found.get(name, ()), path]
    return {name: tuple(paths) for name, paths in sorted(found.items())}
