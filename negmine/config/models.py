"""The config of a run, one class per section.

The descriptions are what users read in ``negmine schema`` and in the reference; rules
between keys are the sections' ``problems``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, Strict

from negmine.config.checking import ChecksConfig
from negmine.config.data import DataConfig
from negmine.config.embedding import EmbedConfig, VectorsConfig
from negmine.config.engine import EngineConfig
from negmine.config.evaluating import DECIDED, EvaluateConfig, TrainConfig
from negmine.config.exporting import ExportConfig, SplitConfig, export_problems
from negmine.config.filtering import RERANK, FilterConfig, NearDuplicatesConfig, PairsConfig, RiskConfig
from negmine.config.formats import ColumnsConfig
from negmine.config.mining import BM25, DENSE, MineConfig, RunConfig
from negmine.config.reranking import RerankConfig, RerankEndpointConfig, score_problems
from negmine.config.retrievers import Bm25Config
from negmine.config.values import CountOrAuto, MemorySize, PathText, Problem, Section, Text

__all__ = [
    "Bm25Config",
    "ChecksConfig",
    "ColumnsConfig",
    "Config",
    "DataConfig",
    "EmbedConfig",
    "EngineConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FilterConfig",
    "IndexConfig",
    "MineConfig",
    "NearDuplicatesConfig",
    "PairsConfig",
    "RerankConfig",
    "RerankEndpointConfig",
    "RiskConfig",
    "RunConfig",
    "SplitConfig",
    "TrainConfig",
    "VectorsConfig",
]


class IndexConfig(Section):
    """The structures that passages are searched by."""

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
    bm25: Bm25Config = Field(default_factory=Bm25Config, description="How `bm25` of `mine.retrievers` compares words.")

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


class Config(Section):
    """Everything a run depends on."""

    work_dir: PathText = Field(
        default="runs/negmine", description="Folder or URL that a run writes to, such as `s3://bucket/folder`."
    )
    seed: int = Field(default=0, ge=0, description="Decides every random choice: equal seeds give equal files.")
    memory_limit: MemorySize = Field(
        default=2 * 10**9,
        description="Memory the tool plans its work inside, such as 500MB, 2GB or 1.5GiB.",
        json_schema_extra={"default": "2GB"},
    )
    threads: CountOrAuto = Field(default="auto", description="Threads to compute with; `auto` takes all there are.")
    data: DataConfig = Field(description="Where the queries, their positives and the corpus come from.")
    embed: EmbedConfig = Field(description="How texts become vectors.")
    index: IndexConfig = Field(default_factory=IndexConfig, description="The structures that passages are searched by.")
    mine: MineConfig = Field(default_factory=MineConfig, description="Which candidates are looked at, and how many.")
    rerank: RerankConfig | None = Field(
        default=None, description="A cross-encoder that scores candidates once more; null for none."
    )
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
    split: SplitConfig | None = Field(default=None, description="Queries held out of training.")
    evaluate: EvaluateConfig = Field(
        default_factory=EvaluateConfig, description="How `negmine evaluate` measures whether the negatives help."
    )
    train: TrainConfig = Field(
        default_factory=TrainConfig, description="How a model is fine-tuned by Sentence Transformers' trainer."
    )
    engine: EngineConfig = Field(default_factory=EngineConfig, description="What runs the tasks of a stage.")
    publish: PathText | None = Field(
        default=None,
        description="Folder or URL that the training files are copied to when they are done, such as"
        " `s3://bucket/folder`.",
    )

    checks: ChecksConfig | None = Field(
        default=None, description="Bounds that `negmine check` holds a finished run against; null for none."
    )

    @property
    def scorers(self) -> tuple[str, ...]:
        """Whose scores the margins are measured on; the first one's decide everything else too."""
        if self.filter.score == "auto":
            return (RERANK if self.rerank is not None else DENSE,)
        return self.filter.score if isinstance(self.filter.score, tuple) else (self.filter.score,)

    def problems(self) -> Iterator[Problem]:
        yield from self._place_problems()
        yield from score_problems(self.filter, self.rerank, self.scorers)
        if self.data.chunks is not None and self.embed.vectors is not None:
            yield Problem(
                ("embed.vectors", "data.long_documents"),
                "ready-made vectors are those of whole documents, and data.long_documents is chunk",
                "Set data.long_documents: keep, or embed.model.",
            )
        for name in self.filter.exclude_same:
            if name not in self.data.metadata:
                carried = ", ".join(self.data.metadata) or "nothing"
                yield Problem(
                    ("filter.exclude_same", "data.metadata"),
                    f"'{name}' is not a carried column (data.metadata: {carried})",
                    f"Add '{name}' to data.metadata.",
                )
        yield from self._depth_problems()
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
        reranker = self.rerank.device if self.rerank is not None and self.rerank.model is not None else "cpu"
        if self.engine.kind == "ray" and reranker.startswith("cuda:"):
            yield Problem(
                ("rerank.device", "engine.kind"),
                f"'{reranker}' names a GPU, but Ray gives each worker its own",
                "Set rerank.device to cuda or auto.",
            )
        if gpus not in ("auto", 0) and (self.embed.model is None or device == "cpu") and reranker == "cpu":
            why = "there is no model to run" if self.embed.model is None else "embed.device is cpu"
            yield Problem(
                ("engine.gpus_per_worker",), f"no worker would use its GPU: {why}", "Leave it at auto, or set it to 0."
            )
        yield from self._student_problems()
        yield from export_problems(self.export, self.filter.num_negatives, split=self.split is not None)

    def _student_problems(self) -> Iterator[Problem]:
        """The rules about what an evaluation trains."""
        student, model = self.evaluate.student, self.evaluate.model or self.embed.model
        if student != "adapter" and model is None:
            yield Problem(
                ("evaluate.student", "evaluate.model"),
                f"{student} starts from a model, and embed.model is not set",
                "Set evaluate.model, or evaluate.student: adapter.",
            )
        for name in self.train.arguments if student == "full" else ():
            if name in DECIDED:
                key = DECIDED[name]
                yield Problem(
                    ("train.arguments", "evaluate.student"),
                    f"an evaluation decides about {name} itself",
                    f"Set {key} instead." if key else f"Leave {name} out.",
                )

    def _place_problems(self) -> Iterator[Problem]:
        """The rules about where a run is kept, and copied to."""
        for key, place in (("work_dir", self.work_dir), ("publish", self.publish or "")):
            if place.startswith(("http://", "https://")):
                yield Problem((key,), "nothing can be written over HTTP", "Use the URL of a store, such as s3://.")
        against = self.checks.max_churn_against if self.checks is not None else None
        if against is not None and against.run.rstrip("/") == self.work_dir.rstrip("/"):
            yield Problem(("checks.max_churn_against.run",), "is this run itself", "Name another work_dir or config.")
        on_store, engine = "://" in self.work_dir, self.engine
        if engine.scratch is not None and "://" in engine.scratch:
            yield Problem(("engine.scratch",), "must be a folder of this machine, and is a URL")
        elif engine.scratch is not None and not on_store:
            yield Problem(
                ("engine.scratch", "work_dir"), "applies only where work_dir is a URL, and it is a folder", "Remove it."
            )
        if on_store and engine.kind == "ray" and engine.address != "local" and engine.scratch is None:
            yield Problem(
                ("work_dir", "engine.scratch"),
                "workers on other machines do not see this machine's copy of a work_dir that is a URL",
                "Set engine.scratch to a folder that all machines share, or engine.address: local.",
            )

    def _depth_problems(self) -> Iterator[Problem]:
        """The rules about who names candidates, and about numbers that must come from so many."""
        mine, wanted, skipped = self.mine, self.filter.num_negatives, self.filter.range_min
        given = self.data.negatives == "keep"
        depth = "mine.retrievers" if mine.runs or mine.bm25 else "mine.k"
        if not mine.retrievers and not given:
            yield Problem(
                ("mine.retrievers",), "nothing names candidates", "Write [dense], or set data.negatives: keep."
            )
        elif not given and wanted > mine.most:
            yield Problem(
                ("filter.num_negatives", "mine.k"),
                f"{wanted} negatives (filter.num_negatives) cannot come from {mine.most} candidates ({depth})",
            )
        elif not given and skipped + wanted > mine.most:
            yield Problem(
                ("filter.range_min", "filter.num_negatives", "mine.k"),
                f"{skipped} skipped + {wanted} negatives (filter.range_min, filter.num_negatives)"
                f" cannot come from {mine.most} candidates ({depth})",
                "" if mine.runs or mine.quotas else f"Set mine.k to {skipped + wanted} or more.",
            )
        if not mine.bm25 and self.index.bm25 != Bm25Config():
            cause = "applies only where words are searched, and bm25 is not in mine.retrievers"
            yield Problem(("index.bm25", "mine.retrievers"), cause, f"Remove it, or add {BM25}.")
        if mine.dense:
            if self.pairs.max_rank is not None and self.pairs.max_rank > mine.k:
                yield Problem(
                    ("pairs.max_rank", "mine.k"),
                    f"ranks are known down to {mine.k} (mine.k), and pairs.max_rank is {self.pairs.max_rank}",
                    f"Set mine.k to {self.pairs.max_rank} or more, or pairs.max_rank to at most {mine.k}.",
                )
            return
        searching = {
            "pairs.max_rank": self.pairs.max_rank is not None,
            "index.dense": self.index.dense != "exact",
            "index.device": self.index.device != "auto",
        }
        for key in (name for name, used in searching.items() if used):
            yield Problem(
                (key, "mine.retrievers"),
                "applies only where the vectors are searched, and dense is not in mine.retrievers",
                f"Remove it, or add {DENSE}.",
            )
