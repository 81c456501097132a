"""Models run by Sentence Transformers on this machine."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from negmine.errors import ConfigError, InputError, MissingDependencyError

DEFAULT_BATCH = 32


@dataclass(frozen=True)
class Settings:
    """How to load and call the model; names as in the ``embed`` section of the config."""

    backend: str = "torch"
    device: str = "auto"
    dtype: str = "float32"
    query_prompt: str | None = None
    query_prompt_name: str | None = None
    document_prompt: str | None = None
    document_prompt_name: str | None = None
    max_seq_length: int | None = None
    truncate_dim: int | None = None
    normalize: bool = True
    similarity: str = "auto"
    batch_size: int | None = None
    trust_remote_code: bool = False
    threads: int | None = None


class SentenceTransformerEncoder:
    """An ``Encoder`` over ``SentenceTransformer.encode_query`` and ``encode_document``.

    Those apply the model's own prompts and Router tasks unless a prompt is set.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._settings = settings
        self._model = _load(folder, settings)
        if settings.max_seq_length is not None:
            self._model.max_seq_length = settings.max_seq_length
        for key in ("query_prompt_name", "document_prompt_name"):
            name = getattr(settings, key)
            if name is not None and name not in self._model.prompts:
                known = ", ".join(sorted(self._model.prompts)) or "none"
                raise ConfigError(
                    f"the model has no prompt named '{name}' (it has: {known})",
                    where=f"embed.{key}",
                    hint=f"Set embed.{key.removesuffix('_name')} to the text of the prompt instead.",
                )

    @property
    def similarity(self) -> str:
        if self._settings.similarity != "auto":
            return self._settings.similarity
        return "cosine" if self._settings.normalize else str(self._model.similarity_fn_name or "cosine")

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        s = self._settings
        return self._encode(self._model.encode_query, texts, s.query_prompt, s.query_prompt_name)

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        s = self._settings
        return self._encode(self._model.encode_document, texts, s.document_prompt, s.document_prompt_name)

    def _encode(self, encode: Any, texts: Sequence[str], prompt: str | None, prompt_name: str | None) -> np.ndarray:
        vectors = encode(
            list(texts),
            prompt=prompt,
            prompt_name=prompt_name,
            batch_size=self._settings.batch_size or DEFAULT_BATCH,
            normalize_embeddings=self._settings.normalize,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def _load(folder: Path, settings: Settings) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import torch
        import transformers
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingDependencyError(
            f"sentence-transformers cannot be imported ({error})", hint="Run: pip install sentence-transformers"
        ) from error
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    model_kwargs: dict[str, Any] = {}
    if settings.backend == "torch":
        model_kwargs["dtype"] = getattr(torch, settings.dtype)
    elif settings.dtype != "float32":
        raise ConfigError(
            f"the {settings.backend} backend runs in the precision of its own model file",
            where="embed.dtype",
            hint="Leave embed.dtype at float32.",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return SentenceTransformer(
                str(folder),
                device=None if settings.device == "auto" else settings.device,
                backend=settings.backend,
                truncate_dim=settings.truncate_dim,
                trust_remote_code=settings.trust_remote_code,
                model_kwargs=model_kwargs,
                local_files_only=True,
            )
    except ImportError as error:
        extra = "" if settings.backend == "torch" else f" with: pip install 'negmine[{settings.backend}]'"
        raise MissingDependencyError(
            f"the {settings.backend} backend needs a package that is not installed ({error})",
            hint=f"Install it{extra}.",
        ) from error
    except Exception as error:  # whatever a damaged or foreign model folder makes the libraries raise
        cause = str(error).splitlines()[0][:200] if str(error) else ""
        raise InputError(
            f"the model cannot be loaded ({type(error).__name__}: {cause})",
            where=str(folder),
            hint="Check embed.model, embed.backend and embed.device.",
        ) from error
