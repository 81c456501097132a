"""MS MARCO: triples between tabs, as texts or as ids of files of their own, and folders of its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from negmine.errors import InputError
from negmine.readers.bad_rows import BadRows
from negmine.readers.base import LabelBatch, LabelRow, LabelSettings, Negative, Passage, parsed
from negmine.readers.fields import id_field, query_field, text_field
from negmine.readers.formats.beir import CollectionFiles, check_folder
from negmine.readers.tsv import tsv_batches

_NAMES = {
    "corpus": ("collection.tsv", "msmarco-docs.tsv"),
    "queries": ("queries.{}.tsv", "msmarco-doc{}-queries.tsv"),
    "qrels": ("qrels.{}.tsv", "msmarco-doc{}-qrels.tsv"),
}
_LAYOUT = "query, positive, negative"


class MsMarco:
    """Without header and quoting. They are ids when the texts of the queries are in ``data.queries``."""

    name = "msmarco"
    negatives = True

    def read(self, paths: Sequence[Path], settings: LabelSettings, bad_rows: BadRows) -> Iterator[LabelBatch]:
        parse = _ids if settings.queries else _texts
        for path in paths:
            for where, lines in tsv_batches(path, (3,), _LAYOUT, bad_rows):
                yield parsed(where, lines, lambda fields: parse(fields, settings.negatives), bad_rows)

    def told_by(self, names: Sequence[str], settings: LabelSettings) -> tuple[str, ...]:
        return ()  # there are no names


def _texts(fields: Sequence[str], negatives: bool) -> LabelRow:
    row = dict(zip(("the query", "the positive", "the negative"), fields, strict=True))
    query, positive = query_field(row, "the query"), query_field(row, "the positive")
    negative = text_field(row, "the negative") if negatives else ""
    found = [Negative(Passage(negative), 1)] if negative.strip() else []
    return LabelRow(None, query, [Passage(positive)], found)


def _ids(fields: Sequence[str], negatives: bool) -> LabelRow:
    row = {
        f"the id of the {what}": value.strip()
        for what, value in zip(("query", "positive", "negative"), fields, strict=True)
    }
    query, positive, negative = (id_field(row, name) for name in row)
    found = [Negative(Passage(None, negative), 1)] if negatives else []
    return LabelRow(query, None, [Passage(None, positive)], found)


def msmarco_files(folder: Path, split: str) -> CollectionFiles:
    """The files of a folder of MS MARCO, under the names that they are published with.

    Raises InputError when one is missing.
    """
    check_folder(folder)
    found = [_one(folder, [name.format(split) for name in names]) for names in _NAMES.values()]
    return CollectionFiles(*((path,) for path in found))


def msmarco_splits(folder: Path) -> list[str]:
    """Splits with queries and judgements in a folder of MS MARCO, if it is one."""
    if not any(_packed(folder / name) for name in _NAMES["corpus"]):
        return []
    names = [path.name.split(".tsv")[0] for path in folder.glob("*qrels*.tsv*") if path.is_file()]
    splits = {name.removeprefix("qrels.").removeprefix("msmarco-doc").removesuffix("-qrels") for name in names}
    return sorted(split for split in splits if any(_packed(folder / name.format(split)) for name in _NAMES["queries"]))


def _one(folder: Path, names: Sequence[str]) -> Path:
    found = next((path for name in names if (path := _packed(folder / name)) is not None), None)
    if found is None:
        splits = msmarco_splits(folder)
        hint = f"There are: {', '.join(splits)}. Set data.split." if splits else "Check data.path."
        raise InputError(f"there is no {' or '.join(names)}", where=str(folder), hint=hint)
    return found


def _packed(path: Path) -> Path | None:
    """The file, plain or compressed, if it is there."""
    return next((each for end in ("", ".gz", ".zst") if (each := path.with_name(path.name + end)).is_file()), None)
