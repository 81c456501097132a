"""Config of ``negmine evaluate``, and of the trainer that its largest student and other commands train with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from negmine.config.values import PathText, Problem, Section

Arm = Literal["in_batch", "random", "naive", "peer", "run", "oracle"]
ARMS: tuple[Arm, ...] = ("in_batch", "random", "naive", "peer", "run")
"""The arms of every evaluation; the oracle joins them where there are judgements."""
BASELINE: Arm = "in_batch"
ORACLE: Arm = "oracle"

DECIDED = {
    "output_dir": "",
    "seed": "evaluate.seeds",
    "data_seed": "evaluate.seeds",
    "max_steps": "evaluate.steps",
    "num_train_epochs": "evaluate.steps",
    "per_device_train_batch_size": "evaluate.batch_size",
    "learning_rate": "evaluate.learning_rates",
    "eval_strategy": "",
    "eval_steps": "evaluate.checkpoints",
    "save_strategy": "",
    "load_best_model_at_end": "",
    "metric_for_best_model": "",
}
"""Arguments of the trainer that an evaluation sets itself, and the key that stands for each."""


class EvaluateConfig(Section):
    """How `negmine evaluate` measures whether training on the negatives helps."""

    student: Literal["adapter", "static", "full"] = Field(
        default="adapter",
        description="What is trained on every arm: `adapter`, a linear map of the stored query vectors (seconds);"
        " `static`, a vector per token (a minute); `full`, a model by Sentence Transformers' trainer.",
    )
    model: PathText | None = Field(
        default=None,
        description="Where `static` and `full` start from: hub name, local folder or `package://module/path`; `null`"
        " is `embed.model`.",
    )
    arms: Annotated[tuple[Arm, ...], Strict(False)] | None = Field(
        default=None,
        min_length=2,
        description="What is compared; `null`: `in_batch`, `random`, `naive`, `peer`, `run`, and `oracle` where"
        " `judged` is set.",
        examples=[["in_batch", "run"]],
    )
    judged: PathText | None = Field(
        default=None,
        description="Judgements (qrels) that name every relevant passage of every query: tests count by them, and"
        " `oracle` avoids them.",
    )
    seeds: int = Field(default=5, ge=1, le=100, description="How often every arm is trained, each time otherwise.")
    steps: int | None = Field(
        default=None, ge=1, description="Batches that a student is trained on; `null`: as the kind of student needs."
    )
    batch_size: int = Field(default=64, ge=2, description="Pairs of query and positive in a batch.")
    learning_rates: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Strict(False)] | None = Field(
        default=None,
        min_length=1,
        description="Each is tried on every arm, and dev decides; `null`: those that suit the student.",
        examples=[[0.0001, 0.001]],
    )
    temperature: float = Field(default=0.05, gt=0, description="Cosines are divided by it in the loss.")
    shared_negatives: bool = Field(
        default=False,
        description="Whether the negatives of a row count for the other queries of its batch too, for whom nobody has"
        " looked at them, as in MultipleNegativesRankingLoss.",
    )
    checkpoints: int = Field(
        default=8, ge=1, description="How often training looks at dev; the best of them, or the start, is tested."
    )
    dev: float = Field(default=0.15, gt=0, lt=1, description="Share of the queries that chooses steps and rates.")
    test: float = Field(default=0.3, gt=0, lt=1, description="Share of the queries that is tested on.")

    def problems(self) -> Iterator[Problem]:
        if self.dev + self.test >= 1:
            yield Problem(
                ("dev", "test"),
                f"dev and test take {self.dev + self.test:g} of the queries, and none is left to train on",
                "Lower one of them.",
            )
        if self.arms is not None and ORACLE in self.arms and self.judged is None:
            yield Problem(
                ("arms", "judged"),
                "the oracle needs to know what is relevant, and judged is not set",
                "Set evaluate.judged, or leave oracle out.",
            )
        for name in ("arms", "learning_rates"):
            values = getattr(self, name) or ()
            if len(set(values)) < len(values):
                yield Problem((name,), "names the same thing twice", "Remove one.")
        if self.student == "adapter" and self.model is not None:
            yield Problem(
                ("model", "student"), "the adapter starts from the stored vectors, not from a model", "Remove it."
            )

    @property
    def compared(self) -> tuple[Arm, ...]:
        """The arms, in their order."""
        return self.arms or (*ARMS, *([ORACLE] if self.judged is not None else []))


class TrainConfig(Section):
    """How a model is fine-tuned by Sentence Transformers' trainer."""

    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="Passed on to SentenceTransformerTrainingArguments as they are, such as `{bf16: true,"
        " warmup_ratio: 0.1}`. `negmine evaluate` decides itself about steps, batches, rates and seeds.",
        examples=[{"bf16": True, "warmup_ratio": 0.1}],
    )
