"""Config of the layouts that data may have: which keys each is read from, and the names of columns."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from negmine.config.values import Problem, Section, Text

Format = Literal[
    "auto",
    "pairs",
    "triplets",
    "labeled",
    "ids",
    "flagembedding",
    "tevatron",
    "tevatron-ids",
    "dpr",
    "msmarco",
    "beir",
    "trec",
]


class ColumnsConfig(Section):
    """The names of columns (or JSON keys) in the user's files."""

    query_id: Text = Field(default="query_id", description="Column with the id of a query.")
    anchor: Text = Field(default="anchor", description="Column of `data.pairs` with the text of a query.")
    positive: Text = Field(
        default="positive",
        description="Column of `data.pairs` with the text (or list of texts) of the positives.",
    )
    positive_id: Text = Field(
        default="positive_id",
        description="Column of `data.pairs` with the corpus id (or ids) of the positives.",
    )
    negative: Text = Field(
        default="negative",
        description="Column of `data.pairs` with the text (or list of texts) of negatives; also with an `s` or numbers"
        " after it: `negatives`, `negative_1`, `negative_2`.",
    )
    negative_id: Text = Field(
        default="negative_id", description="Column of `data.pairs` with the corpus id (or ids) of negatives."
    )
    passage: Text | None = Field(
        default=None,
        description="Column of `data.pairs` with the text (or list of texts) that `label` is about. `null`: `text`,"
        " `documents`, or the column of `positive`.",
    )
    label: Text | None = Field(
        default=None,
        description="Column of `data.pairs` with the number (or list of numbers) that tells positives by"
        " `data.min_grade`. `null`: `label`, `labels`, `score` or `scores`.",
    )
    doc_id: Text = Field(default="_id", description="Column of the corpus with the id of a document.")
    text: Text = Field(default="text", description="Column of the corpus with the text of a document.")
    title: Text = Field(default="title", description="Column of the corpus with the title of a document.")


LABEL_COLUMNS = ("query_id", "anchor", "positive", "positive_id", "negative", "negative_id", "passage", "label")
TEXT_COLUMNS = ("doc_id", "text", "title")

_TABLE = (frozenset({"pairs"}), frozenset({"pairs", "corpus"}))
_WITH_CORPUS = (frozenset({"pairs", "corpus"}),)
_ALL_IDS = (frozenset({"pairs", "queries", "corpus"}),)
_FILES = (frozenset({"queries", "qrels", "corpus"}),)
_FOLDER = (frozenset({"path"}),)


@dataclass(frozen=True)
class FormatRule:
    """What a format is read from: sets of keys that go together, and columns of ``data.pairs`` that it names.

    ``negatives`` says whether it can carry negatives, ``grades`` whether ``data.min_grade`` decides anything.
    """

    keys: tuple[frozenset[str], ...]
    columns: tuple[str, ...] = ()
    negatives: bool = True
    grades: bool = False


FORMATS: dict[str, FormatRule] = {
    "pairs": FormatRule(_TABLE, LABEL_COLUMNS[:4], negatives=False),
    "triplets": FormatRule(_TABLE, LABEL_COLUMNS[:6]),
    "labeled": FormatRule(_TABLE, ("query_id", "anchor", "positive", "passage", "label"), grades=True),
    "ids": FormatRule(_ALL_IDS, ("query_id", "positive_id", "negative_id")),
    "flagembedding": FormatRule(_TABLE),
    "tevatron": FormatRule(_TABLE),
    "tevatron-ids": FormatRule(_WITH_CORPUS),
    "dpr": FormatRule(_TABLE),
    "msmarco": FormatRule((*_TABLE, *_ALL_IDS, *_FILES, *_FOLDER), grades=True),
    "beir": FormatRule((*_FOLDER, *_FILES), grades=True),
    "trec": FormatRule(_FILES, grades=True),
}


def source_problems(format_: str, given: Set[str], labels: str) -> Iterator[Problem]:
    """The keys that do not go together: exactly one table of labels; a folder; queries, qrels and corpus.

    ``given`` are those of pairs, path, corpus, queries and qrels that are set; ``labels`` is the key of the pairs.
    """
    rule = FORMATS.get(format_)
    if not given:
        hint = "Set data.pairs, or data.path, or all of data.queries, data.qrels and data.corpus."
        yield Problem(("format", ""), "there is no data to read", hint)
    elif rule is not None and given not in rule.keys:
        yield from _not_of_format(format_, rule, given, labels)
    elif rule is None:
        yield from _not_together(given, labels)


def _not_of_format(name: str, rule: FormatRule, given: Set[str], labels: str) -> Iterator[Problem]:
    needed = frozenset.intersection(*rule.keys) - given
    unknown = sorted(given - frozenset.union(*rule.keys))
    if not needed and not unknown:
        closest = min(rule.keys, key=lambda keys: (len(keys ^ given), sorted(keys)))
        needed, unknown = closest - given, sorted(given - closest)
    if needed:
        listed = _listed(needed)
        yield Problem(("format",), f"'{name}' needs {listed}, which {_are(listed)} not set")
    elif unknown:
        key = labels if unknown[0] == "pairs" else unknown[0]
        ways = ["data.path" if "path" in keys else _listed(keys) for keys in rule.keys]
        hint = f"Use {ways[0]}, or data.format: pairs." if unknown[0] == "pairs" else f"Use {ways[0]}."
        yield Problem((key,), f"cannot be used with data.format {name}", hint)


def _not_together(given: Set[str], labels: str) -> Iterator[Problem]:
    others = sorted(given & {"corpus", "queries", "qrels"})
    if "pairs" in given:
        for key in sorted(given & {"path", "qrels"}):
            yield Problem((key,), f"cannot be used together with data.{labels}", "Keep one of the two.")
        if given >= {"pairs", "queries"} and "corpus" not in given:
            yield Problem(
                ("queries",),
                f"is for ids in data.{labels}, and data.corpus, where their documents are, is not set",
                "Set it, or remove data.queries.",
            )
    elif "path" in given:
        for key in others:
            yield Problem((key,), "cannot be used together with data.path", "Keep one of the two.")
    elif others == ["corpus"]:
        cause = "a corpus alone has no positives"
        yield Problem(("corpus",), cause, "Set data.pairs too, or data.queries and data.qrels.")
    elif len(others) < 3:
        order = ("queries", "qrels", "corpus")
        missing = _listed(set(order) - given)
        first = next(key for key in order if key in given)
        yield Problem((first,), f"also needs {missing}, which {_are(missing)} not set")


def _listed(keys: Set[str]) -> str:
    names = [f"data.{key}" for key in ("path", "pairs", "queries", "qrels", "corpus") if key in keys]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _are(listed: str) -> str:
    return "are" if " and " in listed else "is"


def column_problems(format_: str, columns: ColumnsConfig, given: Set[str], labels: str) -> Iterator[Problem]:
    """Columns that were named and that no file has in this format."""
    rule = FORMATS.get(format_)
    changed = [
        name
        for name in (*LABEL_COLUMNS, *TEXT_COLUMNS)
        if getattr(columns, name) != ColumnsConfig.model_fields[name].default
    ]
    for name in changed:
        missing = None
        if name in TEXT_COLUMNS:
            missing = "corpus" if "corpus" not in given and "path" not in given else None
        elif "pairs" not in given:
            missing = "pairs"
        if missing is not None:
            yield Problem(("columns", name), f"names a column of a file, and data.{missing} is not set", "Remove it.")
        elif rule is not None and name in LABEL_COLUMNS and name not in rule.columns:
            cause = f"names a column of data.{labels}, and {format_} has no such column"
            yield Problem(("columns", name), cause, "Remove it, or set another data.format.")


def content_problems(format_: str, min_grade: float, negatives: str, given: Set[str]) -> Iterator[Problem]:
    """Settings about grades and negatives where the format has none."""
    rule = FORMATS.get(format_)
    if min_grade != 1 and "pairs" in given and format_ not in ("labeled", "msmarco"):
        hint = "Remove it." if rule is not None else "If the file has labels, set data.format: labeled."
        yield Problem(("min_grade",), "applies only to qrels and labels, and data.pairs has no grades", hint)
    if min_grade != 1 and format_ == "msmarco" and "pairs" in given:
        yield Problem(("min_grade",), "applies only to qrels and labels, and triples have no grades", "Remove it.")
    if negatives == "keep" and rule is not None and not rule.negatives:
        hint = "Remove it, or set data.format: triplets."
        yield Problem(("negatives",), f"there are none to keep in data.format: {format_}", hint)
