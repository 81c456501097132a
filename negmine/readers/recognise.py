"""What files seem to be, told by their names, columns and first rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from negmine.errors import NegmineError
from negmine.readers.base import LabelSettings
from negmine.readers.formats import LABEL_FORMATS
from negmine.readers.formats.beir import beir_splits
from negmine.readers.formats.msmarco import msmarco_splits
from negmine.readers.peeking import Look, look

NAMED_BY_COLUMNS = ("pairs", "triplets", "labeled", "ids")
"""Formats whose columns the config names; the others have names of their own."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "query_id": ("query_id", "qid", "query-id", "question_id"),
    "anchor": ("anchor", "query", "question", "query_text", "sentence1", "prompt"),
    "positive": ("positive", "positives", "pos", "answer", "answers", "passage", "document", "response", "sentence2"),
    "positive_id": ("positive_id", "positive_ids", "pos_id", "pos_ids"),
    "negative": ("negative", "neg", "hard_negative"),
    "negative_id": ("negative_id", "negative_ids", "neg_id", "neg_ids"),
    "doc_id": ("_id", "id", "docid", "doc_id", "document_id", "pid", "passage_id", "corpus_id"),
    "text": ("text", "contents", "content", "passage", "document", "body"),
    "title": ("title", "headline", "heading"),
}
"""What people call a column; the first name that a file has is taken. Case does not count."""

_QRELS_WIDTHS = (3, 4)


@dataclass(frozen=True)
class Recognised:
    """A layout that a file or folder seems to have.

    ``keys`` are those under ``data`` that read it so, with dotted names and values as the config has them;
    ``why`` reads on after the format: ``fe.jsonl has query, pos, neg``.
    """

    format: str
    why: str
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Columns:
    """The names of the columns of labels, as a file seems to have them."""

    query_id: str = "query_id"
    anchor: str = "anchor"
    positive: str = "positive"
    positive_id: str = "positive_id"
    negative: str = "negative"
    negative_id: str = "negative_id"
    passage: str | None = None
    label: str | None = None


def recognise_labels(seen: Look, settings: LabelSettings, among: Iterable[str]) -> list[Recognised]:
    """Which of the formats ``among`` a file of labels may have; ``settings`` name the columns."""
    found: dict[str, tuple[str, ...]] = {}
    for name in among:
        if columns := LABEL_FORMATS[name].told_by(seen.names, settings):
            found[name] = columns
    if "triplets" in found:
        found.pop("pairs", None)
        if found.get("labeled", ("", ""))[1] == settings.columns.positive:
            del found["labeled"]  # scores for a loss, such as those of margin-mse
    if "msmarco" in among and not found and _are_triples(seen, settings.queries):
        return [Recognised("msmarco", f"{seen.name} has lines of three columns without a header")]
    return [Recognised(name, f"{seen.name} has {', '.join(columns)}") for name, columns in found.items()]


def _are_triples(seen: Look, ids: bool) -> bool:
    """Whether the first line is one of MS MARCO's triples: of ids, or of texts in a file that is called so."""
    if not seen.lines or len(seen.lines[0]) != 3:
        return False
    numbers = all(field.strip().isdecimal() for field in seen.lines[0])
    return numbers if ids else not numbers and "triple" in seen.name.lower()


def is_headerless(seen: Look, names: Iterable[str]) -> bool:
    """Whether a .tsv file of texts has no header: none of ``names`` in its first line, and a digit in every id."""
    known = {*names, *(alias for aliases in ALIASES.values() for alias in aliases)}
    if not seen.lines or any(each.lower() in known or each in known for each in seen.lines[0]):
        return False
    return len(seen.lines[0]) in (2, 4) and all(any(map(str.isdigit, line[0])) for line in seen.lines)


def recognise_collection(
    corpus: Look, queries: Look, qrels: Look, names: Sequence[str], width: int | None
) -> list[Recognised]:
    """The format of a collection in three files; ``names`` are those of the columns, ``width`` that of the qrels."""
    without = [seen.name for seen in (corpus, queries) if is_headerless(seen, names)]
    with_header = [seen.name for seen in (corpus, queries) if seen.lines and seen.name not in without]
    found = []
    if without:
        found.append(Recognised("msmarco", f"{' and '.join(without)} {_verb(without)} no header"))
    if with_header and without:
        found.append(Recognised("beir", f"{' and '.join(with_header)} {_verb(with_header)} a header"))
    if not found and width == max(_QRELS_WIDTHS) and not with_header:
        found.append(Recognised("trec", f"{qrels.name} has four columns"))
    if not found:
        named = [seen.name for seen in (corpus, queries)]
        found.append(Recognised("beir", f"{' and '.join(named)} have columns with names"))
    return found


def _verb(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def recognise_folder(folder: Path) -> list[Recognised]:
    """The layouts that a folder may have, for ``data.path``: one for each that has a split, which is named."""
    found = []
    for name, splits, files in (
        ("beir", beir_splits, "a corpus, queries and qrels"),
        ("msmarco", msmarco_splits, "MS MARCO's files"),
    ):
        if there := splits(folder):
            chosen = {} if "train" in there or len(there) > 1 else {"split": there[0]}
            keys = {"path": str(folder), **chosen}
            found.append(Recognised(name, f"the folder has {files}: {', '.join(there)}", keys))
    return found


def recognise_file(path: Path) -> list[Recognised]:
    """The layouts that a single file may have, with the keys and columns that read it so; none for a corpus.

    Columns of pairs are found by what people call them. Raises InputError when the file cannot be read.
    """
    seen = look(path)
    matches = {role: usual_column(seen.names, role) for role in vars(_Columns())}
    named = replace(_Columns(), **{role: match for role, match in matches.items() if match is not None})
    if named.label is None and named.passage is None and _has_label(seen.names) and named.positive in seen.names:
        named = replace(named, passage=named.positive)
    fixed = [name for name in LABEL_FORMATS if name not in (*NAMED_BY_COLUMNS, "msmarco")]
    found = recognise_labels(seen, LabelSettings(named), fixed)
    if not found:
        own = {f"columns.{role}": name for role, name in vars(named).items() if name != getattr(_Columns(), role)}
        found = [
            replace(each, keys=_used(each.format, own))
            for each in recognise_labels(seen, LabelSettings(named), (*NAMED_BY_COLUMNS, "msmarco"))
        ]
    return [replace(each, keys={"pairs": path.name, "format": each.format, **each.keys}) for each in found]


def _has_label(names: Sequence[str]) -> bool:
    return any(name in ("label", "labels", "score", "scores") for name in names)


def _used(name: str, columns: Mapping[str, str]) -> dict[str, str]:
    """Those of the columns that a format names."""
    roles = {
        "pairs": ("query_id", "anchor", "positive", "positive_id"),
        "triplets": ("query_id", "anchor", "positive", "positive_id", "negative", "negative_id"),
        "labeled": ("query_id", "anchor", "passage"),
        "ids": ("query_id", "positive_id", "negative_id"),
    }
    return {key: value for key, value in columns.items() if key.removeprefix("columns.") in roles.get(name, ())}


def usual_column(names: Sequence[str], role: str) -> str | None:
    """Which of the columns ``names`` is what people usually call the one of a role."""
    lowered = {name.lower(): name for name in reversed(names)}
    return next((lowered[alias] for alias in ALIASES.get(role, ()) if alias in lowered), None)


def try_look(path: Path) -> Look:
    """The beginning of a file, or only its name when it cannot be read: its reader tells why."""
    try:
        return look(path)
    except NegmineError:
        return Look(path.name)
