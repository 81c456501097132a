"""Config of the user's data: queries, positives and corpus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from negmine.config.datasets import DatasetConfig, split_problems
from negmine.config.formats import ColumnsConfig, Format, column_problems, content_problems, source_problems
from negmine.config.texts import ChunkConfig, EvalGuardConfig, text_problems
from negmine.config.values import Names, PathText, PathTexts, Problem, Section, Text, worded
from negmine.text import DEFAULT_TEMPLATE

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


class DataConfig(Section):
    """Where the queries, their positives and the corpus come from."""

    format: Format = Field(
        default="auto",
        description="Layout of the data; `auto` tells it by the keys that are set and the columns of the files.",
    )
    path: PathText | None = Field(
        default=None, description="A folder in the layout of BEIR, MTEB or MS MARCO, instead of single files."
    )
    pairs: PathTexts | None = Field(
        default=None,
        description="Queries with their positives: .jsonl, .json, .csv, .tsv, .parquet, .arrow; also .gz, .zst. Like"
        " the next three: a file, a glob, a folder of shards, a folder a dataset was saved to, or a list of these.",
    )
    corpus: PathTexts | None = Field(
        default=None,
        description="The documents; without it the distinct positives of `data.pairs` are the corpus.",
    )
    queries: PathTexts | None = Field(
        default=None,
        description="The queries, with `data.corpus` and `data.qrels` (or `data.pairs`, when these are ids).",
    )
    qrels: PathTexts | None = Field(default=None, description="Which documents are positives of which queries.")
    dataset: DatasetConfig | None = Field(
        default=None, description="A dataset of the hub that holds the pairs, instead of `data.pairs`."
    )
    split: Text = Field(
        default="train",
        description="Which `qrels/<split>.tsv` of a BEIR folder to read, or which split of `data.dataset` or of a"
        " folder that a dataset with splits was saved to.",
    )
    columns: ColumnsConfig = Field(default_factory=ColumnsConfig, description="The names of the columns in your files.")
    metadata: Annotated[Names, AfterValidator(_free_names)] = Field(
        default=(), description="Corpus columns to carry along into the run."
    )
    passage_template: Text = Field(
        default=DEFAULT_TEMPLATE,
        description="What models and training files see of a document: `{title}`, `{text}` and columns of `metadata`"
        " are filled in, `{{` is a brace.",
    )
    long_documents: Literal["keep", "chunk"] = Field(
        default="keep",
        description="`keep`: a document is one passage, of which a model reads as much as it can; `chunk`: a document"
        " of more than `chunk.max_chars` characters is cut into several.",
    )
    chunk: ChunkConfig | None = Field(default=None, description="How long documents are cut; `null`: the defaults.")
    eval_guard: EvalGuardConfig | None = Field(
        default=None, description="Texts of an evaluation set that must not be among the queries and documents."
    )
    min_grade: float = Field(default=1.0, description="Smallest grade (in qrels) or label that makes a positive.")
    negatives: Literal["ignore", "keep"] = Field(
        default="ignore",
        description="What is done with negatives that come with the labels: `keep` makes them candidates, which are"
        " scored and filtered like mined ones.",
    )
    on_bad_row: Literal["error", "skip"] = Field(
        default="error",
        description="What a bad row does: stop with an `error`, or `skip` it and write it down.",
    )

    @property
    def has_pairs(self) -> bool:
        """Whether queries and positives come in one table."""
        return self.pairs is not None or self.dataset is not None

    @property
    def given(self) -> frozenset[str]:
        """Which of path, pairs, corpus, queries and qrels are set; a dataset stands for pairs."""
        keys = ("path", "corpus", "queries", "qrels")
        return frozenset(
            {key for key in keys if getattr(self, key) is not None} | ({"pairs"} if self.has_pairs else set())
        )

    @property
    def chunks(self) -> ChunkConfig | None:
        """How documents are cut, None when they are not."""
        return (self.chunk or ChunkConfig()) if self.long_documents == "chunk" else None

    def problems(self) -> Iterator[Problem]:
        yield from text_problems(self.passage_template, self.metadata, self.long_documents, self.chunk)
        given = self.given
        labels = "pairs" if self.dataset is None else "dataset"
        if self.dataset is not None and self.pairs is not None:
            yield Problem(("pairs",), "cannot be used together with data.dataset", "Keep one of the two.")
            return
        sources = list(source_problems(self.format, given, labels))
        yield from sources
        if sources:
            return
        if self.path is None:
            yield from split_problems(self.split, self.dataset, (self.pairs, self.corpus, self.queries, self.qrels))
        yield from content_problems(self.format, self.min_grade, self.negatives, given)
        yield from column_problems(self.format, self.columns, given, labels)
        if self.has_pairs and self.corpus is None and self.metadata:
            yield Problem(("metadata",), "names columns of the corpus, and data.corpus is not set")
