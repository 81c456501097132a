"""The largest student: a model of Sentence Transformers, trained by its own trainer."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from negmine.encoders.loading import quiet
from negmine.errors import ConfigError, MissingDependencyError, nearest
from negmine.training.adapter import normalised
from negmine.training.base import MISSING, Advance, Model, Plan, Rows, Trained, Validate

Texts = Callable[[np.ndarray], list[str]]
"""Texts of given numbers, in that order."""
_ROW = "label"
"""The column that the trainer hands to the loss: the number of the row."""


@dataclass(frozen=True)
class Reading:
    """How a model is given texts: the prompts before queries and passages, None for the model's own; texts per
    batch when it embeds."""

    query_prompt: str | None = None
    document_prompt: str | None = None
    batch_size: int = 64


class Full:
    """A ``Student`` that starts from what ``load`` gives, a fresh SentenceTransformer each time.

    ``arguments`` go to SentenceTransformerTrainingArguments. Raises ConfigError for one that there is none of,
    MissingDependencyError where the trainer's own packages are missing.
    """

    name = "full"
    rates: tuple[float, ...] = (2e-5,)
    epochs = 1
    dev_passages = 2_000

    def __init__(
        self,
        load: Callable[[], Any],
        queries: Texts,
        passages: Texts,
        reading: Reading,
        arguments: Mapping[str, Any],
        weights: str,
        device: str = "auto",
    ) -> None:
        check_arguments(arguments)
        self._load, self._texts, self._reading = load, (queries, passages), reading
        self._arguments, self._weights, self._device = dict(arguments), weights, device

    def identity(self) -> dict[str, str]:
        return {"weights": self._weights, "device": self._device}

    def untrained(self) -> Model:
        return Embedding(self._load(), *self._texts, self._reading)

    def train(self, rows: Rows, plan: Plan, validate: Validate, advance: Advance) -> Trained:
        import torch

        model = self._load()
        now = Embedding(model, *self._texts, self._reading)
        curve = [(0, validate(now))]
        best, best_step, best_dev = _copy(model), 0, curve[0][1]
        looks = plan.looks()

        def after(step: int) -> None:
            nonlocal best, best_step, best_dev
            advance(1)
            if step in looks:
                model.eval()
                with torch.no_grad():
                    curve.append((step, validate(now)))
                model.train()
                if curve[-1][1] > best_dev:
                    best, best_step, best_dev = _copy(model), step, curve[-1][1]

        arguments = {
            "warmup_steps": plan.steps // 10,
            **self._arguments,
            "max_steps": plan.steps,
            "per_device_train_batch_size": min(plan.batch_size, len(rows)),
            "learning_rate": plan.learning_rate,
            "seed": plan.seed,
        }
        if self._device == "cpu":
            arguments["use_cpu"] = True
        fine_tune(model, rows, *self._texts, self._reading, arguments, plan.temperature, after)
        model.load_state_dict(best)
        model.eval()
        return Trained(now, best_step, best_dev, tuple(curve))


class Embedding:
    """A SentenceTransformer as a ``Model``."""

    def __init__(self, model: Any, queries: Texts, passages: Texts, reading: Reading) -> None:
        self.model, self._texts, self._reading = model, (queries, passages), reading

    def queries(self, numbers: np.ndarray) -> np.ndarray:
        return self._encode(self.model.encode_query, self._texts[0](numbers), self._reading.query_prompt)

    def passages(self, numbers: np.ndarray) -> np.ndarray:
        return self._encode(self.model.encode_document, self._texts[1](numbers), self._reading.document_prompt)

    def _encode(self, encode: Callable[..., np.ndarray], texts: list[str], prompt: str | None) -> np.ndarray:
        with quiet():
            vectors = encode(
                texts,
                prompt=prompt,
                batch_size=self._reading.batch_size,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return normalised(vectors.astype(np.float32))


def fine_tune(
    model: Any,
    rows: Rows,
    queries: Texts,
    passages: Texts,
    reading: Reading,
    arguments: Mapping[str, Any],
    temperature: float = 0.05,
    after: Callable[[int], None] = lambda step: None,
) -> None:
    """Train a SentenceTransformer on rows, in place, with SentenceTransformerTrainer.

    The loss is that of ``contrastive.learn``. ``after`` is told the number of every step that was done. Nothing is
    saved, logged or reported but where ``arguments`` ask for it.
    """
    library = trainer_library()
    from datasets import Dataset
    from transformers import TrainerCallback

    class After(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            after(int(state.global_step))

    prompts = {"anchor": reading.query_prompt or _own_prompt(model, ("query",))}
    document = reading.document_prompt or _own_prompt(model, ("document", "passage", "corpus"))
    width = rows.negatives.shape[1]
    columns = ["positive", *(f"negative_{number + 1}" for number in range(width))]
    prompts |= dict.fromkeys(columns, document)
    numbers, place = np.unique(np.concatenate([rows.positive[:, None], rows.negatives], axis=1), return_inverse=True)
    table = passages(numbers[numbers != MISSING])
    if numbers[0] == MISSING:
        table = ["", *table]
    place = place.reshape(len(rows), width + 1)
    of_query, query_place = np.unique(rows.query, return_inverse=True)
    query_texts = queries(of_query)
    data = {"anchor": [query_texts[at] for at in query_place]}
    data |= {name: [table[at] for at in place[:, number]] for number, name in enumerate(columns)}
    data[_ROW] = list(range(len(rows)))
    quiet_ones = {"report_to": "none", "disable_tqdm": True, "logging_strategy": "no", "save_strategy": "no"}
    model.model_card_data.generate_widget_examples = False  # they come with a bar of their own
    with tempfile.TemporaryDirectory() as folder, quiet(), contextlib.redirect_stdout(None):
        settings = {"output_dir": folder, **quiet_ones, **arguments}
        if any(prompts.values()):
            settings.setdefault("prompts", {name: prompt for name, prompt in prompts.items() if prompt})
        trainer = library.SentenceTransformerTrainer(
            model=model,
            args=library.SentenceTransformerTrainingArguments(**settings),
            train_dataset=Dataset.from_dict(data),
            loss=masked_loss(model, rows, temperature),
            callbacks=[After()],
        )
        trainer.train()


def masked_loss(model: Any, rows: Rows, temperature: float) -> Any:
    """The loss as the trainer takes it: it is given the rows' columns, and their numbers as labels."""
    import torch

    class Loss(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, sentence_features: Sequence[Mapping[str, Any]], labels: Any) -> Any:
            embed, unit = self.model, torch.nn.functional.normalize
            query, positive, *negatives = (
                unit(embed(dict(each))["sentence_embedding"], dim=1) for each in sentence_features
            )
            passages = positive
            if negatives:
                in_rows = torch.stack(negatives, dim=1).flatten(0, 1)
                passages = torch.cat([positive, in_rows])
            allowed = torch.from_numpy(rows.batch(labels.cpu().numpy()).allowed).to(query.device)
            logits = (query @ passages.T / temperature).masked_fill(~allowed, float("-inf"))
            return torch.nn.functional.cross_entropy(logits, torch.arange(len(query), device=query.device))

    return Loss()


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Raises ConfigError for an argument that the trainer does not know."""
    if not arguments:
        return
    known = [field.name for field in fields(trainer_library().SentenceTransformerTrainingArguments)]
    for name in arguments:
        if name not in known:
            raise ConfigError(
                f"SentenceTransformerTrainingArguments has no '{name}'",
                where="train.arguments",
                hint=nearest(name, known) or None,
            )


def trainer_library() -> Any:
    """sentence_transformers with what its trainer needs. Raises MissingDependencyError."""
    try:
        import accelerate  # noqa: F401
        import datasets  # noqa: F401
        import sentence_transformers
    except ImportError as error:
        raise MissingDependencyError(
            f"the trainer of Sentence Transformers needs the package {error.name}, which is not installed",
            hint="Run: pip install 'negmine[full]'",
        ) from error
    return sentence_transformers


def _own_prompt(model: Any, names: Sequence[str]) -> str | None:
    """What encode_query or encode_document would put before a text."""
    known = model.prompts
    return next((known[name] for name in (*names, model.default_prompt_name) if known.get(name)), None)


def _copy(model: Any) -> dict[str, Any]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
