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
from negmine.config.embedding import EmbedConfig, EncoderConfig, OtherEncoderConfig, VectorsConfig
from negmine.config.engine import EngineConfig
from negmine.config.evaluating import DECIDED, EvaluateConfig, TrainConfig
from negmine.config.exporting import ExportConfig, SplitConfig, export_problems
from negmine.config.filtering import RERANK, FilterConfig, NearDuplicatesConfig, PairsConfig, RiskConfig
from negmine.config.formats import ColumnsConfig
from negmine.config.indexing import IndexConfig
from negmine.config.judging import JudgeConfig, judge_problems
from negmine.config.mining import BM25, DENSE, MineConfig, RunConfig
from negmine.config.reranking import RerankConfig, RerankEndpointConfig
from negmine.config.retrievers import Bm25Config
from negmine.config.scorers import Scoring
from negmine.config.values import CountOrAuto, MemorySize, PathText, Problem, Section
from negmine.errors import nearest

__all__ = [
    "Bm25Config",
    "ChecksConfig",
    "ColumnsConfig",
    "Config",
    "DataConfig",
    "EmbedConfig",
    "EncoderConfig",
    "EngineConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FilterConfig",
    "IndexConfig",
    "JudgeConfig",
    "MineConfig",
    "NearDuplicatesConfig",
    "OtherEncoderConfig",
    "PairsConfig",
    "RerankConfig",
    "RerankEndpointConfig",
    "RiskConfig",
    "RunConfig",
    "SplitConfig",
    "TrainConfig",
    "VectorsConfig",
]


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
    judge: JudgeConfig | None = Field(
        default=None,
        description="A language model, or people, that say of the hardest survivors whether they are relevant; null for"
        " none.",
    )
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

    @property
    def others(self) -> dict[str, OtherEncoderConfig]:
        """The further encoders by name."""
        return {other.name: other for other in self.embed.others}

    def with_encoder(self, name: str) -> Config:
        """The same with a further encoder as ``embed``: what works on one encoder works on each."""
        return self.model_copy(update={"embed": self.others[name]})

    def problems(self) -> Iterator[Problem]:
        yield from self._place_problems()
        yield from self._retriever_problems()
        yield from Scoring(self.filter, self.mine, self.embed.others, self.rerank, self.scorers).problems()
        yield from judge_problems(self.judge, self.filter)
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
        gpus = self.engine.gpus_per_worker
        encoders = {"embed": self.embed, **{f"embed.others.{i}": other for i, other in enumerate(self.embed.others)}}
        for key, encoder in encoders.items():
            device = encoder.device
            if self.engine.kind == "ray" and (isinstance(device, tuple) or device.startswith("cuda:")):
                named = "a list names devices" if isinstance(device, tuple) else f"'{device}' names a GPU"
                yield Problem(
                    (f"{key}.device", "engine.kind"),
                    f"{named}, but Ray gives each worker its own",
                    f"Set {key}.device to cuda or auto.",
                )
        reranker = self.rerank.device if self.rerank is not None and self.rerank.model is not None else "cpu"
        if self.engine.kind == "ray" and reranker.startswith("cuda:"):
            yield Problem(
                ("rerank.device", "engine.kind"),
                f"'{reranker}' names a GPU, but Ray gives each worker its own",
                "Set rerank.device to cuda or auto.",
            )
        on_cpu = all(encoder.model is None or encoder.device == "cpu" for encoder in encoders.values())
        if gpus not in ("auto", 0) and on_cpu and reranker == "cpu":
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

    def _retriever_problems(self) -> Iterator[Problem]:
        """The rules about the names of retrievers, and about encoders that are none."""
        known = (DENSE, BM25, *self.others)
        for i, entry in enumerate(self.mine.retrievers):
            if isinstance(entry, str) and entry not in known:
                more = "" if self.others else "; further encoders are named in embed.others"
                yield Problem(
                    (f"mine.retrievers.{i}",),
                    f"expected one of {', '.join(known)}, found the text '{entry}'{more}",
                    nearest(entry, list(known)),
                )
        for i, name in enumerate(self.others):
            if name not in self.mine.searched:
                yield Problem(
                    (f"embed.others.{i}.name", "mine.retrievers"),
                    f"'{name}' is not in mine.retrievers, and nothing else uses it",
                    f"Write mine.retrievers: [{', '.join(map(str, [*self.mine.searched, name]))}], or remove it.",
                )
            if self.data.chunks is not None and self.others[name].vectors is not None:
                yield Problem(
                    (f"embed.others.{i}.vectors", "data.long_documents"),
                    "ready-made vectors are those of whole documents, and data.long_documents is chunk",
                    "Set data.long_documents: keep, or a model.",
                )

    def _depth_problems(self) -> Iterator[Problem]:
        """The rules about who names candidates, and about numbers that must come from so many."""
        mine, wanted, skipped = self.mine, self.filter.num_negatives, self.filter.range_min
        given = self.data.negatives == "keep"
        depth = "mine.retrievers" if mine.runs or mine.further else "mine.k"
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
