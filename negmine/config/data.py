"""Config of the user's data: queries, positives and corpus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from negmine.config.values import Names, PathText, Problem, Section, Text, worded

FIXED_COLUMNS = ("doc_id", "text", "title", "text_key", "passage", "id_hash", "source_row")
"""Columns that every corpus table has: a metadata column cannot take their names."""


def _free_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for i, name in enumerate(names):
        if name in FIXED_COLUMNS:
            taken = ", ".join(FIXED_COLUMNS)
            raise worded(f"'{name}' is a column that negmine writes itself", f"Taken names are {taken}.")
        if name in names[:i]:
            raise worded(f"'{name}' is listed twice")
    return names


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
    doc_id: Text = Field(default="_id", description="Column of the corpus with the id of a document.")
    text: Text = Field(default="text", description="Column of the corpus with the text of a document.")
    title: Text = Field(default="title", description="Column of the corpus with the title of a document.")


class DataConfig(Section):
    """Where the queries, their positives and the corpus come from."""

    format: Literal["auto", "pairs", "beir"] = Field(
        default="auto",
        description="Layout of the data; `auto` tells it by which of the keys below are set.",
    )
    path: PathText | None = Field(default=None, description="A folder in BEIR layout, instead of single files.")
    pairs: PathText | None = Field(
        default=None,
        description="Queries with their positives: .jsonl, .json, .csv, .tsv, .parquet; also .gz, .zst.",
    )
    corpus: PathText | None = Field(
        default=None,
        description="The documents; without it the distinct positives of `data.pairs` are the corpus.",
    )
    queries: PathText | None = Field(default=None, description="The queries, with `data.qrels` and `data.corpus`.")
    qrels: PathText | None = Field(default=None, description="Which documents are positives of which queries.")
    split: Text = Field(default="train", description="Which `qrels/<split>.tsv` of a BEIR folder to read.")
    columns: ColumnsConfig = Field(default_factory=ColumnsConfig, description="The names of the columns in your files.")
    metadata: Annotated[Names, AfterValidator(_free_names)] = Field(
        default=(), description="Corpus columns to carry along into the run."
    )
    min_grade: float = Field(default=1.0, description="Smallest grade in `data.qrels` that makes a positive.")
    on_bad_row: Literal["error", "skip"] = Field(
        default="error",
        description="What a bad row does: stop with an `error`, or `skip` it and write it down.",
    )

    def problems(self) -> Iterator[Problem]:
        sources = list(self._source_problems())
        yield from sources
        if sources:
            return
        if self.path is None and self.split != "train":
            yield Problem(("split",), "applies only to a BEIR folder, and data.path is not set")
        if self.pairs is not None and self.min_grade != 1:
            yield Problem(("min_grade",), "applies only to qrels, and data.pairs has no grades")
        unread = [
            *(("anchor", "positive", "positive_id", "query_id") if self.pairs is None else ()),
            *(("doc_id", "text", "title") if self.pairs is not None and self.corpus is None else ()),
        ]
        for name in unread:
            if getattr(self.columns, name) != ColumnsConfig.model_fields[name].default:
                missing = "data.pairs" if self.pairs is None else "data.corpus"
                yield Problem(("columns", name), f"names a column of a file, and {missing} is not set", "Remove it.")
        if self.pairs is not None and self.corpus is None and self.metadata:
            yield Problem(("metadata",), "names columns of the corpus, and data.corpus is not set")

    def _source_problems(self) -> Iterator[Problem]:
        """Exactly one of: pairs (corpus optional); path; queries + qrels + corpus."""
        files = {"queries": self.queries, "qrels": self.qrels, "corpus": self.corpus}
        given = [key for key, value in files.items() if value is not None]
        if self.format == "pairs" and self.pairs is None:
            yield Problem(("format",), "'pairs' needs data.pairs, which is not set")
        elif self.format == "beir" and self.pairs is not None:
            yield Problem(("pairs",), "cannot be used with data.format beir", "Use data.path, or data.format: pairs.")
        elif self.pairs is not None:
            clash = [key for key in ("path", "queries", "qrels") if getattr(self, key) is not None]
            for key in clash:
                yield Problem((key,), "cannot be used together with data.pairs", "Keep one of the two.")
        elif self.path is not None:
            for key in given:
                yield Problem((key,), "cannot be used together with data.path", "Keep one of the two.")
        elif not given:
            yield Problem(
                ("format", ""),
                "there is no data to read",
                "Set data.pairs, or data.path, or all of data.queries, data.qrels and data.corpus.",
            )
        elif given == ["corpus"]:
            yield Problem(
                ("corpus",),
                "a corpus alone has no positives",
                "Set data.pairs too, or data.queries and data.qrels.",
            )
        elif len(given) < 3:
            missing = " and ".join(f"data.{key}" for key in files if key not in given)
            verb = "are" if " and " in missing else "is"
            yield Problem((given[0],), f"also needs {missing}, which {verb} not set")
