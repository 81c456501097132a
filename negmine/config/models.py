"""The config of a run, one class per section.

The descriptions are what users read in ``negmine schema`` and in the reference; rules
between keys are the sections' ``problems``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, Strict

from negmine.config.data import ColumnsConfig, DataConfig
from negmine.config.embedding import EmbedConfig, VectorsConfig
from negmine.config.engine import EngineConfig
from negmine.config.exporting import ExportConfig
from negmine.config.filtering import FilterConfig, NearDuplicatesConfig, PairsConfig, RiskConfig
from negmine.config.values import CountOrAuto, MemorySize, PathText, Problem, Section, Text

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
    "NearDuplicatesConfig",
    "PairsConfig",
    "RiskConfig",
    "VectorsConfig",
]


class IndexConfig(Section):
    """The search structure over the corpus vectors."""

    dense: Text = Field(
        default="exact",
        description="`exact` compares every query with every passage; `auto` only with the lists of passages near it,"
        " where that is faster; else a faiss factory string such as `IVF1024,Flat`.",
        examples=["exact", "auto", "HNSW32", "IVF1024,Flat"],
    )
    search_params: Text | None = Field(
        default=None,
        description="faiss search parameters, such as `nprobe=32` (for faiss indexes only); `null`: the least that"
        " reach `recall_target`.",
        examples=["nprobe=32", "efSearch=128"],
    )
    recall_target: float | None = Field(
        default=0.98,
        gt=0,
        le=1,
        description="Share of the `mine.k` nearest passages that must be found, with a confidence of 95%, measured on"
        " queries drawn by the seed. `auto` falls back to exact search below it, a faiss index is refused. `null`: not"
        " measured. `exact` finds them all.",
    )

    device: Text = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$",
        description="Where exact search computes: `cpu`, `cuda`, `cuda:1`, or `auto`: on a GPU if torch finds one. The"
        " results are the same. Searches of lists and of faiss indexes run on the CPU.",
        examples=["cpu", "cuda", "cuda:1"],
    )

    def problems(self) -> Iterator[Problem]:
        exact = self.dense in ("exact", "auto") or self.recall_target is not None
        if self.device.startswith("cuda") and not exact:
            yield Problem(
                ("device",), "a faiss index is searched on the CPU, and recall_target is not set", "Set it to auto."
            )
        if self.dense in ("exact", "auto") and self.search_params is not None:
            yield Problem(
                ("search_params",), f"applies only to a faiss index, and index.dense is {self.dense}", "Remove it."
            )
        if self.dense == "auto" and self.recall_target is None:
            yield Problem(
                ("recall_target",), "index.dense: auto searches as far as the target asks", "Set it, such as to 0.98."
            )


class MineConfig(Section):
    """How many candidates are looked at."""

    k: int = Field(default=100, ge=1, description="Candidates per query; its own positives are not counted.")
    part_queries: int = Field(
        default=4096, ge=1, description="Queries per part file: the most work an interruption can cost."
    )


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
    pairs: PairsConfig = Field(
        default_factory=PairsConfig, description="What is done about labelled pairs that are suspicious."
    )
    filter: FilterConfig = Field(default_factory=FilterConfig, description="Which candidates become negatives.")
    export: Annotated[tuple[ExportConfig, ...], Strict(False)] = Field(
        default_factory=lambda: (ExportConfig(format="triplet", file="train.jsonl"),),
        min_length=1,
        description="The training files to write.",
        json_schema_extra={"default": [{"format": "triplet", "file": "train.jsonl"}]},
    )
    engine: EngineConfig = Field(default_factory=EngineConfig, description="What runs the tasks of a stage.")
    publish: PathText | None = Field(
        default=None,
        description="Folder or URL that the training files are copied to when they are done, such as"
        " `s3://bucket/folder`.",
    )

    def problems(self) -> Iterator[Problem]:
        if "://" in self.work_dir:
            yield Problem(
                ("work_dir",),
                "must be a folder of this machine, and is a URL",
                "Only inputs may be URLs, and publish, which copies the training files to one.",
            )
        if self.publish is not None and self.publish.startswith(("http://", "https://")):
            yield Problem(("publish",), "nothing can be written over HTTP", "Use the URL of a store, such as s3://.")
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
        if self.pairs.max_rank is not None and self.pairs.max_rank > k:
            yield Problem(
                ("pairs.max_rank", "mine.k"),
                f"ranks are known down to {k} (mine.k), and pairs.max_rank is {self.pairs.max_rank}",
                f"Set mine.k to {self.pairs.max_rank} or more, or pairs.max_rank to at most {k}.",
            )
        if self.engine.kind == "ray" and self.index.device.startswith("cuda"):
            yield Problem(
                ("index.device", "engine.kind"),
                "Ray's workers have GPUs for models only, and search runs on their CPUs",
                "Set index.device to auto.",
            )
        device, gpus = self.embed.device, self.engine.gpus_per_worker
        if self.engine.kind == "ray" and (isinstance(device, tuple) or device.startswith("cuda:")):
            named = "a list names devices" if isinstance(device, tuple) else f"'{device}' names a GPU"
            yield Problem(
                ("embed.device", "engine.kind"),
                f"{named}, but Ray gives each worker its own",
                "Set embed.device to cuda or auto.",
            )
        if gpus not in ("auto", 0) and (self.embed.model is None or device == "cpu"):
            why = "there is no model to run" if self.embed.model is None else "embed.device is cpu"
            yield Problem(
                ("engine.gpus_per_worker",), f"no worker would use its GPU: {why}", "Leave it at auto, or set it to 0."
            )
        names = [entry.file.casefold() for entry in self.export]
        for i, name in enumerate(names):
            if name in names[:i]:
                first = names.index(name)
                yield Problem((f"export.{i}.file",), f"{self.export[i].file!r} is also the file of export.{first}")
