"""Config of what goes into a run: the user's data, and how its texts become vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from negmine.config.values import CountOrAuto, Names, PathText, Problem, Section, Text, found, worded

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


class VectorsConfig(Section):
    """Ready-made vectors: a parquet file (id and vector) or .npy (a row per row of the input) each."""

    corpus: PathText = Field(
        description="Vectors of the documents: Parquet with `doc_id` and `vector`, or .npy with one row per row of"
        " the corpus file."
    )
    queries: PathText = Field(
        description="Vectors of the queries: Parquet with `query_id` and `vector`, or .npy with one row per row of"
        " the pairs (or queries) file."
    )


def _devices(value: Any) -> str | tuple[str, ...]:
    """One device, or several of one kind; a list of one is that one."""
    listed = list(value) if isinstance(value, list | tuple) else [value]
    wrong = [found(item) for item in listed if not isinstance(item, str) or not item]
    if wrong or not listed:
        met = wrong[0] if wrong else "an empty list"
        raise worded(f"expected a device or a list of devices, found {met}", "Write it like [cuda:0, cuda:1].")
    if len(listed) == 1:
        only: str = listed[0]
        return only
    if "auto" in listed or "cuda" in listed:
        which = "auto" if "auto" in listed else "cuda"
        raise worded(f"'{which}' names no certain device in a list", "Write it like [cuda:0, cuda:1].")
    kinds = list(dict.fromkeys(item.partition(":")[0] for item in listed))
    if len(kinds) > 1:
        raise worded(
            f"a list has devices of one kind, and this one has {' and '.join(kinds)}",
            "Kinds round differently: a vector would depend on which device was free.",
        )
    return tuple(listed)


Devices = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_devices),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]
"""Where a model runs: a device of torch, or several."""


class EmbedConfig(Section):
    """How texts become vectors: an embedding model, or ready-made vectors."""

    model: Text | None = Field(
        default=None, description="Embedding model: a hub name, a local folder or package://module/path."
    )
    backend: Literal["torch", "onnx", "openvino"] = Field(default="torch", description="What runs the model.")
    revision: Text | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    device: Devices = Field(
        default="auto",
        description="Where the model runs: `auto` (all GPUs, else the best there is), `cpu`, `cuda`, `cuda:1`, `mps`;"
        " `[cuda:0, cuda:1]` is a process on each.",
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        default="float32", description="Precision the model computes in."
    )
    query_prompt: Text | None = Field(default=None, description="Text put before every query.")
    query_prompt_name: Text | None = Field(default=None, description="Name of the model's own query prompt.")
    document_prompt: Text | None = Field(default=None, description="Text put before every document.")
    document_prompt_name: Text | None = Field(default=None, description="Name of the model's own document prompt.")
    max_seq_length: int | None = Field(
        default=None, ge=1, description="Tokens of a text the model reads; the model's own limit when null."
    )
    truncate_dim: int | None = Field(
        default=None, ge=1, description="Keep only so many leading dimensions of a vector."
    )
    normalize: bool = Field(default=True, description="Scale every vector to length 1.")
    similarity: Literal["auto", "cosine", "dot", "euclidean", "manhattan"] = Field(
        default="auto",
        description="How vectors are compared; `auto` is cosine when they are normalised, else the"
        " model's own (dot for ready-made vectors).",
    )
    batch_size: CountOrAuto = Field(default="auto", description="Texts the model encodes at once.")
    store_dtype: Literal["float32", "float16"] = Field(
        default="float32", description="Precision of stored vectors; `float16` halves the disk space."
    )
    part_rows: int = Field(
        default=2048, ge=1, description="Texts per part file: the most work an interruption can cost."
    )
    trust_remote_code: bool = Field(default=False, description="Run Python code that comes with a hub model.")
    vectors: VectorsConfig | None = Field(default=None, description="Ready-made vectors, instead of a model.")

    def problems(self) -> Iterator[Problem]:
        if self.model is None and self.vectors is None:
            yield Problem(("model", ""), "there is no model", "Set embed.model, or embed.vectors.")
        elif self.model is not None and self.vectors is not None:
            yield Problem(("vectors",), "cannot be used together with embed.model", "Keep one of the two.")
        elif self.vectors is not None:
            for key in MODEL_ONLY_KEYS:
                if getattr(self, key) != EmbedConfig.model_fields[key].default:
                    yield Problem((key,), "applies only to embed.model, which is not set", "Remove it.")
        elif self.revision is not None and self.model is not None and _is_not_on_hub(self.model):
            yield Problem(("revision",), "applies only to a hub model, and embed.model is not one", "Remove it.")
        if isinstance(self.device, tuple) and self.backend != "torch":
            yield Problem(
                ("device", "backend"),
                f"several devices need the torch backend, and embed.backend is {self.backend}",
                f"Name a single device, such as {self.device[0]}.",
            )
        for kind in ("query", "document"):
            prompt, name = f"{kind}_prompt", f"{kind}_prompt_name"
            if self.vectors is None and getattr(self, prompt) is not None and getattr(self, name) is not None:
                yield Problem((name,), f"cannot be used together with embed.{prompt}", "Keep one of the two.")
        if not self.normalize and self.similarity == "cosine":
            yield Problem(("similarity", "normalize"), "cosine needs embed.normalize: true")
        if self.normalize and self.similarity in ("euclidean", "manhattan"):
            yield Problem(("similarity", "normalize"), f"{self.similarity} needs embed.normalize: false")


MODEL_ONLY_KEYS = (
    "backend",
    "revision",
    "device",
    "dtype",
    "query_prompt",
    "query_prompt_name",
    "document_prompt",
    "document_prompt_name",
    "max_seq_length",
    "batch_size",
    "trust_remote_code",
)
"""Keys of `embed` that mean nothing for ready-made vectors."""


def is_local_model(model: str, folder: str | None = None) -> bool:
    """Whether a model name is a path: it begins like one, or is a folder that exists (in ``folder``)."""
    if "://" in model:
        return False
    # unlike Path.is_dir, isdir is also false for what no file system could hold
    return model.startswith((".", "/", "~")) or os.path.isdir(os.path.join(folder or "", model))  # noqa: PTH112, PTH118


def _is_not_on_hub(model: str) -> bool:
    return model.startswith("package://") or is_local_model(model)
