"""Embedding models run by Sentence Transformers on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from negmine.encoders.batches import TOKENS, by_characters, copies, equal_length
from negmine.encoders.lengths import cut_off
from negmine.encoders.loading import Settings, devices, first_line, load_model, quiet
from negmine.encoders.streams import at_once, independent, reading_in_turn, side_by_side
from negmine.encoders.workers import Workers
from negmine.errors import ConfigError, InputError

__all__ = ["LocalModel", "SentenceTransformerEncoder", "Settings"]

_BATCH = 32
_STATIC_BATCH = 1024
_CALL = 256
"""Texts per call of the model, in whole batches: after each there is progress to tell."""
_Call = tuple[np.ndarray, int, int]
"""Positions of texts, how often they are given, texts per batch."""


class LocalModel:
    """A model that reads texts: how they are cut into batches, prompts, devices.

    With several devices the first texts start a process for each; ``close`` ends them.
    """

    tokens = TOKENS
    """Of a batch on a processor."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._settings = settings
        self._folder = folder
        self._model = self._loaded(folder, settings)
        if settings.max_seq_length is not None:
            _limit_length(self._model, settings.max_seq_length)
        for key in ("query_prompt_name", "document_prompt_name"):
            name = getattr(settings, key)
            if name is not None and name not in self._model.prompts:
                known = ", ".join(sorted(self._model.prompts)) or "none"
                raise ConfigError(
                    f"the model has no prompt named '{name}' (it has: {known})",
                    where=f"embed.{key}",
                    hint=f"Set embed.{key.removesuffix('_name')} to the text of the prompt instead.",
                )
        self._devices = devices(settings)
        self._workers: Workers | None = None
        if self._devices and self._is_sum("query") and self._is_sum("document"):
            if isinstance(settings.device, tuple):
                raise ConfigError(
                    "a model of static embeddings takes longer to be sent texts than to embed them",
                    where="embed.device",
                    hint=f"Name a single device, such as {self._devices[0]}.",
                )
            self._model.to(self._devices[0])
            self._devices = ()

    def _loaded(self, folder: Path, settings: Settings) -> Any:
        return load_model(folder, settings)

    def close(self) -> None:
        """End the processes of several devices; the next texts would start them again."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def cut_off_queries(self, texts: Sequence[str]) -> np.ndarray:
        s = self._settings
        return self._cut_off("query", texts, s.query_prompt, s.query_prompt_name)

    def cut_off_passages(self, texts: Sequence[str]) -> np.ndarray:
        s = self._settings
        return self._cut_off("document", texts, s.document_prompt, s.document_prompt_name)

    def passage_tokens(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens that a transformer reads of each passage, its prompt included: int64 (n,)."""
        s = self._settings
        start = self._resolved("document", s.document_prompt, s.document_prompt_name)
        with self._failures(), quiet():
            return self._token_counts([start + text for text in texts], "document")

    def _cut_off(self, task: str, texts: Sequence[str], prompt: str | None, prompt_name: str | None) -> np.ndarray:
        start = self._resolved(task, prompt, prompt_name)
        with self._failures(), quiet():
            return cut_off(self._model, task, [start + text for text in texts])

    def _spread(
        self, encoded_by: Callable[[Any, _Call], np.ndarray], calls: Iterator[_Call], task: str
    ) -> Iterator[tuple[_Call, np.ndarray]]:
        """Each call with its vectors, as they get done."""
        if self._side_by_side(task):
            with reading_in_turn(self._model, self._reader):
                yield from side_by_side(partial(encoded_by, None), list(calls))
            return
        if not self._devices or self._is_sum(task):
            yield from ((call, encoded_by(None, call)) for call in calls)
            return
        listed = list(calls)
        if self._workers is None:
            self._workers = Workers(self._model, self._devices)
        try:
            yield from self._workers.map(encoded_by, listed)
        except BaseException:
            self.close()
            raise

    @property
    def at_once(self) -> int:
        """How many batches of passages are computed at the same time in this process."""
        import torch

        return at_once(torch.get_num_threads()) if self._side_by_side("document") else 1

    def _side_by_side(self, task: str) -> bool:
        """Whether calls may run at the same time in this process."""
        s = self._settings
        one = not self._devices and s.backend == "torch" and self._on_processor and not self._is_sum(task)
        return one and independent(self._model, own_code=s.trust_remote_code)

    def _is_sum(self, task: str) -> bool:
        """Whether a vector is a sum over the tokens of a text, looked up in a table."""
        kind = self._inputs(["a"], task)
        return "attention_mask" not in kind and "offsets" in kind

    @property
    def _on_processor(self) -> bool:
        kind = self._devices[0].partition(":")[0] if self._devices else self._model.device.type
        return bool(kind == "cpu")

    def _calls(self, task: str, texts: Sequence[str], prompt: str | None, prompt_name: str | None) -> Iterator[_Call]:
        """Each call of the model: positions of its texts, how often they are given, texts per batch."""
        given = self._settings.batch_size
        start = self._resolved(task, prompt, prompt_name)
        kind = self._inputs([start + texts[0]], task)
        if "attention_mask" not in kind and "offsets" in kind:  # a sum over tokens: no batch is too large
            for low in range(0, len(texts), _STATIC_BATCH):
                rows = np.arange(low, min(low + _STATIC_BATCH, len(texts)))
                yield rows, 1, given or len(rows)
            return
        if self._settings.backend == "torch" and self._on_processor and "attention_mask" in kind:
            lengths = self._token_counts([start + text for text in texts], task)
            for rows in equal_length(lengths, given, self.tokens):
                times = copies(len(rows), int(lengths[rows[0]]))
                yield rows, times, len(rows) * times
            return
        batch = given or _BATCH
        for rows in by_characters(np.array([len(text) for text in texts]), batch * -(-_CALL // batch)):
            yield rows, 1, batch

    def _resolved(self, task: str, prompt: str | None, prompt_name: str | None) -> str:
        """The prompt that ``encode_query`` or ``encode_document`` puts before every text."""
        if prompt is not None:
            return prompt
        prompts = self._model.prompts
        names = ["query"] if task == "query" else ["document", "passage", "corpus"]
        names = [prompt_name] if prompt_name else [*names, self._model.default_prompt_name]
        return next((prompts[name] or "" for name in names if name in prompts), "")

    def _token_counts(self, texts: list[str], task: str) -> np.ndarray:
        """Tokens that the model reads of each text: int64 (n,)."""
        masks = (self._inputs(texts[low : low + _CALL], task)["attention_mask"] for low in range(0, len(texts), _CALL))
        return np.concatenate([np.asarray(mask).sum(axis=1, dtype=np.int64) for mask in masks])

    def _inputs(self, texts: list[str], task: str) -> dict[str, Any]:
        """What the model's first module makes of texts: arrays of tokens."""
        found: dict[str, Any] = getattr(self._model, self._reader)(texts, task=task)
        return found

    @property
    def _reader(self) -> str:
        """The method of the model that reads texts; its name has changed."""
        return "preprocess" if hasattr(self._model, "preprocess") else "tokenize"

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, LookupError, ValueError) as error:  # out of memory, too long a text, ...
            if isinstance(error, KeyError) and error.args == ("sentence_embedding",):
                raise InputError(
                    "this model gives a vector for every token and none for a text: it has no pooling",
                    where=str(self._folder),
                    hint="Add a Pooling module with Sentence Transformers and save it again.",
                ) from error
            raise InputError(
                f"the model failed on its input ({type(error).__name__}: {first_line(error)})",
                where=str(self._folder),
                hint="Try a smaller embed.batch_size or embed.max_seq_length.",
            ) from error


class SentenceTransformerEncoder(LocalModel):
    """An ``Encoder`` over ``SentenceTransformer.encode_query`` and ``encode_document``.

    Those apply the model's own prompts and Router tasks unless a prompt is set.
    """

    @property
    def similarity(self) -> str:
        if self._settings.similarity != "auto":
            return self._settings.similarity
        if self._settings.normalize:
            return "cosine"
        own = str(self._model.similarity_fn_name or "cosine")
        return "dot" if own == "cosine" else own  # cosine is the product of vectors of length 1

    def encode_queries(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        s = self._settings
        return self._encode("query", texts, s.query_prompt, s.query_prompt_name, progress)

    def encode_passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        s = self._settings
        return self._encode("document", texts, s.document_prompt, s.document_prompt_name, progress)

    def _encode(
        self,
        task: str,
        texts: Sequence[str],
        prompt: str | None,
        prompt_name: str | None,
        progress: Callable[[int], None] | None,
    ) -> np.ndarray:
        encode = getattr(self._model, f"encode_{task}")

        def encoded_by(pool: Any, call: _Call) -> np.ndarray:
            rows, times, batch = call
            given = [texts[row] for row in rows] * times
            vectors: np.ndarray = encode(
                given,
                prompt=prompt,
                prompt_name=prompt_name,
                batch_size=batch,
                convert_to_numpy=True,
                show_progress_bar=False,
                **({} if pool is None else {"pool": pool, "chunk_size": len(given)}),
            )
            return vectors

        vectors: np.ndarray | None = None
        with self._failures(), quiet():
            calls = self._calls(task, texts, prompt, prompt_name)
            for (rows, _, _), encoded in self._spread(encoded_by, calls, task):
                if vectors is None:
                    vectors = np.empty((len(texts), encoded.shape[1]), np.float32)
                vectors[rows] = encoded[: len(rows)]
                if progress is not None:
                    progress(len(rows))
        assert vectors is not None
        cut = self._settings.truncate_dim
        if cut is not None and vectors.shape[1] < cut:
            raise ConfigError(
                f"it is {cut} but the model's vectors have {vectors.shape[1]} dimensions", where="embed.truncate_dim"
            )
        return _normalised(vectors) if self._settings.normalize else vectors


def _normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows of float32 (n, d) at length 1, exactly so whatever precision the model computes in."""
    # Like torch.nn.functional.normalize, a row of zeros stays one.
    norms = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    scaled: np.ndarray = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return scaled


def _limit_length(model: Any, tokens: int) -> None:
    """Set the limit on every module that reads tokens; a Router has one per route."""
    routes = getattr(model[0], "sub_modules", None)
    readers = [next(iter(route.children())) for route in routes.values()] if routes else [model[0]]
    limited = False
    for reader in readers:
        inner = getattr(reader, "model", None) or getattr(reader, "auto_model", None)
        positions = getattr(getattr(inner, "config", None), "max_position_embeddings", None)
        if isinstance(positions, int) and 0 < positions < tokens:
            raise ConfigError(
                f"it is {tokens} but the model has positions for {positions} tokens", where="embed.max_seq_length"
            )
        if hasattr(reader, "max_seq_length"):
            with contextlib.suppress(AttributeError):  # static embeddings read all of a text
                reader.max_seq_length = tokens
                limited = True
    if not limited:
        raise ConfigError(
            "this model reads texts of any length and has no limit to set",
            where="embed.max_seq_length",
            hint="Remove it.",
        )
