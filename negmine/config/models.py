"""The config of a run, one class per section.

The descriptions are what users read in ``negmine schema`` and in the reference; rules
between keys are the sections' ``problems``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from negmine.config.inputs import ColumnsConfig, DataConfig, EmbedConfig, VectorsConfig
from negmine.config.values import CountOrAuto, MemorySize, Names, PathText, Problem, Section, Text, worded

__all__ = [
    "ColumnsConfig",
    "Config",
    "DataConfig",
    "EmbedConfig",
    "EngineConfig",
    "ExportConfig",
    "FilterConfig",
    "IndexConfig",
    "MineConfig",
    "VectorsConfig",
]

EXPORT_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
RESERVED_FILES = ("README.md", "provenance.parquet", "manifest.json")


class IndexConfig(Section):
    """The search structure over the corpus vectors."""

    dense: Text = Field(
        default="exact",
        description="`exact` compares every query with every passage; else a faiss factory string such as"
        " `IVF1024,Flat`.",
        examples=["exact", "HNSW32", "IVF1024,Flat"],
    )
    search_params: Text | None = Field(
        default=None,
        description="faiss search parameters, such as `nprobe=32` (not for `exact`).",
        examples=["nprobe=32", "efSearch=128"],
    )

    def problems(self) -> Iterator[Problem]:
        if self.dense == "exact" and self.search_params is not None:
            yield Problem(("search_params",), "applies only to a faiss index, and index.dense is exact", "Remove it.")


class MineConfig(Section):
    """How many candidates are looked at."""

    k: int = Field(default=100, ge=1, description="Candidates per query; its own positives are not counted.")
    part_queries: int = Field(
        default=4096, ge=1, description="Queries per part file: the most work an interruption can cost."
    )


class FilterConfig(Section):
    """Which candidates become negatives."""

    reference: Literal["min", "max", "mean"] = Field(
        default="min", description="Which of a query's positive scores the margins are measured from."
    )
    absolute_margin: float | None = Field(
        default=None, ge=0, description="Keep a candidate only if its score + this <= the reference score."
    )
    relative_margin: float | None = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="Keep a candidate only if its score <= reference - |reference| * this.",
    )
    positive_similarity: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Keep a candidate only if its greatest cosine to a positive of the query is <= this: what is very"
        " like the answer is probably an answer too.",
    )
    max_score: float | None = Field(default=None, description="Keep a candidate only if its score <= this.")
    min_score: float | None = Field(default=None, description="Keep a candidate only if its score >= this.")
    exclude_same: Names = Field(
        default=(),
        description="Columns of `data.metadata`: a candidate with the value of a positive in one of them is dropped,"
        " such as another chunk of the positive's document.",
    )
    range_min: int = Field(default=0, ge=0, description="Skip so many of the best candidates that survived.")
    range_max: int | None = Field(
        default=None,
        ge=1,
        description="Take negatives only from the first so many candidates that survived: matters when they"
        " are drawn at `random`.",
    )
    max_rank: int | None = Field(
        default=None, ge=1, description="Take negatives only from the first so many candidates as mined."
    )
    num_negatives: int = Field(default=5, ge=1, description="Negatives per query.")
    sampling_strategy: Literal["top", "random"] = Field(
        default="top",
        description="Take the best of what survived, or draw from it at `random` (with the seed).",
    )
    on_shortage: Literal["fewer", "drop", "random", "error"] = Field(
        default="fewer",
        description="A query with too few negatives: keep it with `fewer`, `drop` it, fill up with `random`"
        " passages (marked), or stop with an `error`.",
    )

    def problems(self) -> Iterator[Problem]:
        for i, name in enumerate(self.exclude_same):
            if name in self.exclude_same[:i]:
                yield Problem(("exclude_same",), f"'{name}' is listed twice")
        low, high = self.min_score, self.max_score
        if low is not None and high is not None and low > high:
            yield Problem(("min_score", "max_score"), f"{low:g} is above filter.max_score, {high:g}")
        if self.range_max is not None:
            if self.range_min >= self.range_max:
                yield Problem(
                    ("range_min", "range_max"),
                    f"{self.range_min} is not below filter.range_max, {self.range_max}",
                )
            elif self.num_negatives > self.range_max - self.range_min:
                yield Problem(
                    ("num_negatives", "range_max", "range_min"),
                    f"{self.num_negatives} negatives do not fit between filter.range_min, {self.range_min},"
                    f" and filter.range_max, {self.range_max}",
                )
        needed = self.range_min + self.num_negatives
        if self.max_rank is not None and needed > self.max_rank:
            yield Problem(
                ("max_rank", "num_negatives", "range_min"),
                f"{self.max_rank} is too low for filter.range_min + filter.num_negatives, {needed}",
            )


def _export_file(name: str) -> str:
    """``name`` when it is a data file inside the export folder and of a known kind."""
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or not name.isprintable():
        raise worded(f"expected a file name inside the export folder, found {name!r}")
    if ".." in parts:
        raise worded(f"{name!r} leads out of the export folder")
    if any(not part or part.startswith(".") for part in parts):
        raise worded(f"no part of a file name may be empty or begin with a dot, found {name!r}")
    if name.lower() in [reserved.lower() for reserved in RESERVED_FILES]:
        raise worded(f"{name!r} is a file that negmine writes itself")
    if not parts[-1].endswith(EXPORT_SUFFIXES) or parts[-1] in EXPORT_SUFFIXES:
        raise worded(f"a file name ends with one of {', '.join(EXPORT_SUFFIXES)}, found {name!r}")
    return name


class ExportConfig(Section):
    """One training file to write."""

    format: Literal["triplet", "n-tuple", "labeled-pair", "labeled-list"] = Field(
        description="Layout of the rows, as Sentence Transformers names them."
    )
    file: Annotated[str, AfterValidator(_export_file)] = Field(
        description="File name in the export folder; how it is written follows from its ending: .jsonl,"
        " .jsonl.gz, .jsonl.zst or .parquet.",
        json_schema_extra={
            "pattern": r"^[^./\\][^\\]*\.(jsonl|jsonl\.gz|jsonl\.zst|parquet)$",
            "examples": ["train.jsonl", "train.parquet"],
        },
    )
    scores: bool = Field(default=False, description="Write the scores next to the texts.")
    shard_rows: int | None = Field(default=None, ge=1, description="Split the file after so many rows.")


class EngineConfig(Section):
    """What runs the tasks of a stage."""

    kind: Literal["local"] = Field(default="local", description="`local` runs them on this machine.")


class Config(Section):
    """Everything a run depends on."""

    work_dir: PathText = Field(default="runs/negmine", description="Folder that a run writes to.")
    seed: int = Field(default=0, ge=0, description="Decides every random choice: equal seeds give equal files.")
    memory_limit: MemorySize = Field(
        default=2 * 10**9,
        description="Memory the tool plans its work inside, such as 500MB, 2GB or 1.5GiB.",
        json_schema_extra={"default": "2GB"},
    )
    threads: CountOrAuto = Field(default="auto", description="Threads to compute with; `auto` takes all there are.")
    data: DataConfig = Field(description="Where the queries, their positives and the corpus come from.")
    embed: EmbedConfig = Field(description="How texts become vectors.")
    index: IndexConfig = Field(default_factory=IndexConfig, description="The search structure over the corpus vectors.")
    mine: MineConfig = Field(default_factory=MineConfig, description="How many candidates are looked at.")
    filter: FilterConfig = Field(default_factory=FilterConfig, description="Which candidates become negatives.")
    export: Annotated[tuple[ExportConfig, ...], Strict(False)] = Field(
        default_factory=lambda: (ExportConfig(format="triplet", file="train.jsonl"),),
        min_length=1,
        description="The training files to write.",
        json_schema_extra={"default": [{"format": "triplet", "file": "train.jsonl"}]},
    )
    engine: EngineConfig = Field(default_factory=EngineConfig, description="What runs the tasks of a stage.")

    def problems(self) -> Iterator[Problem]:
        for name in self.filter.exclude_same:
            if name not in self.data.metadata:
                carried = ", ".join(self.data.metadata) or "nothing"
                yield Problem(
                    ("filter.exclude_same", "data.metadata"),
                    f"'{name}' is not a carried column (data.metadata: {carried})",
                    f"Add '{name}' to data.metadata.",
                )
        k, wanted, skipped = self.mine.k, self.filter.num_negatives, self.filter.range_min
        if wanted > k:
            yield Problem(
                ("filter.num_negatives", "mine.k"),
                f"{wanted} negatives (filter.num_negatives) cannot come from {k} candidates (mine.k)",
            )
        elif skipped + wanted > k:
            yield Problem(
                ("filter.range_min", "filter.num_negatives", "mine.k"),
                f"{skipped} skipped + {wanted} negatives (filter.range_min, filter.num_negatives)"
                f" cannot come from {k} candidates (mine.k)",
                f"Set mine.k to {skipped + wanted} or more.",
            )
        names = [entry.file.casefold() for entry in self.export]
        for i, name in enumerate(names):
            if name in names[:i]:
                first = names.index(name)
                yield Problem((f"export.{i}.file",), f"{self.export[i].file!r} is also the file of export.{first}")
