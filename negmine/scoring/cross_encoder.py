"""Cross-encoders run by Sentence Transformers on this machine.

All pairs of a part are brought into tokens once, and those of equal length go through the model
together: nothing is padded, and a pair's score does not depend on the pairs scored with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from negmine.encoders.batches import by_characters, copies, equal_length
from negmine.encoders.loading import Settings as LoadSettings
from negmine.encoders.loading import first_line, loading, model_kwargs, prepare, quiet
from negmine.encoders.streams import independent, side_by_side
from negmine.errors import ConfigError, InputError
from negmine.scoring.base import PairError, of_rerank, sigmoid

ROWS = 16
"""Layers behind the pooling get a multiple of so many rows, one per pair. The last one turns a row into one number:
with other numbers of rows, the libraries of matrix products take paths that round otherwise."""
_READ = 256
"""Pairs that are brought into tokens at once."""
_BATCH = 32


@dataclass(frozen=True)
class Settings:
    """How to load and call the model; names as in the ``rerank`` section of the config."""

    backend: str = "torch"
    device: str = "auto"
    dtype: str = "float32"
    max_length: int | None = None
    batch_size: int | None = None
    query_prompt: str | None = None
    sigmoid: bool = True
    trust_remote_code: bool = False
    threads: int | None = None


class CrossEncoderScorer:
    """A ``Scorer`` over a ``CrossEncoder`` with one output."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._settings, self._folder = settings, folder
        with of_rerank():
            self._model = _load(folder, settings)
        outputs = int(getattr(self._model, "num_labels", 1))
        if outputs != 1:
            raise InputError(
                f"this model gives {outputs} numbers for a pair, and a reranker gives one",
                where=str(folder),
                hint="Check rerank.model.",
            )
        if settings.max_length is not None:
            self._limit(settings.max_length)
        if settings.backend == "torch":
            _steady_rows(self._model)

    def score(
        self,
        queries: Sequence[str],
        passages: Sequence[str],
        of_query: np.ndarray,
        of_passage: np.ndarray,
        progress: Callable[[int], None],
    ) -> np.ndarray:
        start = self._settings.query_prompt or ""
        pairs = [(start + queries[q], passages[p]) for q, p in zip(of_query, of_passage, strict=True)]
        with self._failures(), quiet():
            by_tokens = self._settings.backend == "torch" and self._model.device.type == "cpu"
            known = self._by_tokens(pairs, progress) if by_tokens and hasattr(self._model, "preprocess") else None
            logits = self._predicted(pairs, progress) if known is None else known
        if not np.isfinite(logits).all():
            raise PairError(
                "got NaN or Infinity from the model",
                int(np.flatnonzero(~np.isfinite(logits))[0]),
                hint="Try rerank.dtype: float32.",
            )
        return sigmoid(logits) if self._settings.sigmoid else logits

    def _by_tokens(self, pairs: list[tuple[str, str]], progress: Callable[[int], None]) -> np.ndarray | None:
        """Logits float64 (n,) by batches of equal length; None when the model reads something else than tokens."""
        import torch

        tokens = _Tokens.of(self._model, pairs)
        if tokens is None:
            return None
        logits = np.empty(len(pairs))
        self._model.eval()

        def scored(rows: np.ndarray) -> np.ndarray:
            times = copies(len(rows), int(tokens.lengths[rows[0]]))
            with torch.inference_mode():
                found = self._model(tokens.features(np.tile(rows, times)))["scores"]
            values: np.ndarray = found.reshape(-1)[: len(rows)].double().numpy()
            return values

        batches = list(equal_length(tokens.lengths, self._settings.batch_size))
        together = independent(self._model, own_code=self._settings.trust_remote_code)
        done = side_by_side(scored, batches) if together else ((rows, scored(rows)) for rows in batches)
        for rows, found in done:
            logits[rows] = found
            progress(len(rows))
        return logits

    def _predicted(self, pairs: list[tuple[str, str]], progress: Callable[[int], None]) -> np.ndarray:
        """Logits float64 (n,) by the model's own batches: on a graphics card, and with other backends."""
        import torch

        logits = np.empty(len(pairs))
        batch = self._settings.batch_size or _BATCH
        characters = np.array([len(query) + len(passage) for query, passage in pairs])
        for rows in by_characters(characters, batch * -(-_READ // batch)):
            logits[rows] = self._model.predict(
                [pairs[row] for row in rows],
                batch_size=batch,
                activation_fn=torch.nn.Identity(),
                convert_to_numpy=True,
                show_progress_bar=False,
            )
            progress(len(rows))
        return logits

    def _limit(self, tokens: int) -> None:
        inner = getattr(self._model, "model", None)
        positions = getattr(getattr(inner, "config", None), "max_position_embeddings", None)
        if isinstance(positions, int) and 0 < positions < tokens:
            raise ConfigError(
                f"it is {tokens} but the model has positions for {positions} tokens", where="rerank.max_length"
            )
        name = "max_seq_length" if hasattr(self._model, "max_seq_length") else "max_length"
        setattr(self._model, name, tokens)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, LookupError, ValueError) as error:  # out of memory, too long a text, ...
            raise InputError(
                f"the model failed on a batch of pairs ({first_line(error)})",
                where=str(self._folder),
                hint="Try a smaller rerank.batch_size or rerank.max_length.",
            ) from error


def _steady_rows(model: Any) -> None:
    """Let every layer behind the pooling see a multiple of ``ROWS`` rows: those of its batch, and then zeros."""
    import torch

    def steady(plain: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def forward(values: Any) -> Any:
            if values.ndim != 2:
                return plain(values)
            rows = len(values)
            return plain(torch.nn.functional.pad(values, (0, 0, 0, -rows % ROWS)))[:rows]

        return forward

    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.forward = steady(layer.forward)


class _Tokens:
    """What a model reads of pairs: per name of an input one number for every token, pair after pair."""

    def __init__(self, lengths: np.ndarray, values: dict[str, np.ndarray], others: dict[str, Any]) -> None:
        self.lengths = lengths
        self._values, self._others = values, others
        self._starts = np.cumsum(lengths) - lengths

    @classmethod
    def of(cls, model: Any, pairs: list[tuple[str, str]]) -> _Tokens | None:
        """None when the model's inputs are not one number per token and a mask."""
        found: dict[str, list[np.ndarray]] = {}
        order = np.argsort([len(query) + len(passage) for query, passage in pairs], kind="stable")  # little padding
        lengths = np.empty(len(pairs), np.int64)
        others: dict[str, Any] = {}
        for low in range(0, len(order), _READ):
            rows = order[low : low + _READ]
            read = model.preprocess([pairs[row] for row in rows])
            mask = read.get("attention_mask")
            if mask is None:
                return None
            held = mask.numpy().astype(bool)
            lengths[rows] = held.sum(axis=1)
            for name, value in read.items():
                if not hasattr(value, "numpy"):
                    others[name] = value
                elif value.shape != mask.shape:
                    return None
                else:
                    found.setdefault(name, []).append(value.numpy()[held].astype(np.int32))
        values = {name: np.concatenate(pieces) for name, pieces in found.items()}
        tokens = cls(lengths[order], values, others)
        tokens._starts = tokens._starts[np.argsort(order)]
        tokens.lengths = lengths
        return tokens

    def features(self, rows: np.ndarray) -> dict[str, Any]:
        """Inputs of the model for pairs of one length: int64 (b, length) each."""
        import torch

        places = self._starts[rows][:, None] + np.arange(self.lengths[rows[0]])
        return {
            **self._others,
            **{name: torch.from_numpy(v[places].astype(np.int64)) for name, v in self._values.items()},
        }


def _load(folder: Path, settings: Settings) -> Any:
    """The ``CrossEncoder`` in ``folder``; raises as ``encoders.loading.load_model`` does."""
    how = LoadSettings(
        backend=settings.backend,
        device=settings.device,
        dtype=settings.dtype,
        trust_remote_code=settings.trust_remote_code,
        threads=settings.threads,
    )
    prepare(how)
    on_cpu = settings.backend == "openvino"
    with loading(folder, how, "a cross-encoder", "Is it an embedding model? Check rerank.model."):
        from sentence_transformers import CrossEncoder

        return CrossEncoder(
            str(folder),
            device="cpu" if on_cpu else None if settings.device == "auto" else settings.device,
            backend=settings.backend,
            trust_remote_code=settings.trust_remote_code,
            model_kwargs=model_kwargs(how),
            local_files_only=True,
        )
