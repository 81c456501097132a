"""Models run by Sentence Transformers on this machine."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from negmine.encoders.load_report import load_report
from negmine.encoders.model_check import check_backend, check_device, missing_backend, own_code
from negmine.errors import ConfigError, InputError, MissingDependencyError, NegmineError

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
        self._folder = folder
        self._model = _load(folder, settings)
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

    @property
    def similarity(self) -> str:
        if self._settings.similarity != "auto":
            return self._settings.similarity
        return "cosine" if self._settings.normalize else str(self._model.similarity_fn_name or "cosine")

    @property
    def batch_size(self) -> int:
        return self._settings.batch_size or DEFAULT_BATCH

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        s = self._settings
        return self._encode(self._model.encode_query, texts, s.query_prompt, s.query_prompt_name)

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        s = self._settings
        return self._encode(self._model.encode_document, texts, s.document_prompt, s.document_prompt_name)

    def _encode(self, encode: Any, texts: Sequence[str], prompt: str | None, prompt_name: str | None) -> np.ndarray:
        try:
            with _quiet():
                encoded = encode(
                    list(texts),
                    prompt=prompt,
                    prompt_name=prompt_name,
                    batch_size=self.batch_size,
                    convert_to_numpy=True,
                    show_progress_bar=False,
                )
        except (RuntimeError, LookupError, ValueError) as error:  # out of memory, too long a text, ...
            if isinstance(error, KeyError) and error.args == ("sentence_embedding",):
                raise InputError(
                    "this model gives a vector for every token and none for a text: it has no pooling",
                    where=str(self._folder),
                    hint="Add a Pooling module with Sentence Transformers and save it again.",
                ) from error
            raise InputError(
                f"the model failed on its input ({type(error).__name__}: {_first_line(error)})",
                where=str(self._folder),
                hint="Try a smaller embed.batch_size or embed.max_seq_length.",
            ) from error
        vectors = np.ascontiguousarray(encoded, dtype=np.float32)
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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep bars, log lines and warnings of the libraries out of the tool's output, for a while."""
    from transformers.utils import logging as transformers_log

    loggers = [logging.getLogger(name) for name in ("sentence_transformers", "optimum", "torch.onnx", "nncf")]
    levels = [logger.level for logger in loggers]
    verbosity, bars = transformers_log.get_verbosity(), transformers_log.is_progress_bar_enabled()
    transformers_log.set_verbosity_error()
    transformers_log.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        transformers_log.set_verbosity(verbosity)
        if bars:
            transformers_log.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else ""


def _load(folder: Path, settings: Settings) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if settings.backend != "torch" and settings.dtype != "float32":
        raise ConfigError(
            f"the {settings.backend} backend runs in the precision of its own model file",
            where="embed.dtype",
            hint="Leave embed.dtype at float32.",
        )
    check_backend(settings.backend)
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingDependencyError(
            f"sentence-transformers cannot be imported ({error})", hint="Run: pip install sentence-transformers"
        ) from error
    check_device(settings.device, settings.backend)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    try:
        with _quiet(), load_report() as report:
            model = SentenceTransformer(
                str(folder),
                device="cpu" if settings.backend == "openvino" or settings.device == "cpu" else _device(settings),
                backend=settings.backend,
                truncate_dim=settings.truncate_dim,
                trust_remote_code=settings.trust_remote_code,
                model_kwargs=_model_kwargs(settings),
                local_files_only=True,
            )
            if report.missing:
                raise InputError(
                    f"the model's files lack {len(report.missing)} weights of its architecture"
                    f" (the first is '{report.missing[0]}')",
                    where=str(folder),
                    hint="Download or save the model again.",
                )
            if settings.backend == "torch":
                _cast(model, getattr(torch, settings.dtype))
            return model
    except NegmineError:
        raise
    except Exception as error:  # whatever a damaged or foreign model folder makes the libraries raise
        if "trust_remote_code" in str(error) and not settings.trust_remote_code:
            raise own_code(folder, _first_line(error)) from error
        if isinstance(error, ImportError) and settings.backend != "torch":
            raise missing_backend(settings.backend, _first_line(error)) from error
        raise InputError(
            f"the model cannot be loaded ({type(error).__name__}: {_first_line(error)})",
            where=str(folder),
            hint="Check embed.model, embed.backend and embed.device.",
        ) from error


def _device(settings: Settings) -> str | None:
    return None if settings.device == "auto" else settings.device


def _model_kwargs(settings: Settings) -> dict[str, Any]:
    """What each backend needs to be told so that device, precision and threads are as set."""
    import torch
    import transformers

    if settings.backend == "torch":
        # Its name changed in transformers 4.56.
        major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
        return {"dtype" if (major, minor) >= (4, 56) else "torch_dtype": getattr(torch, settings.dtype)}
    # Imported here, a package that does not fit the others shows its own message.
    try:
        importlib.import_module({"onnx": "optimum.onnxruntime", "openvino": "optimum.intel.openvino"}[settings.backend])
    except Exception as error:  # version conflicts raise all kinds
        raise missing_backend(settings.backend, _first_line(error)) from error
    if settings.backend == "openvino":
        # Left alone it computes in bfloat16 where the processor can.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if settings.threads is not None:
            options["INFERENCE_NUM_THREADS"] = settings.threads
        return {"ov_config": options}
    onnxruntime = importlib.import_module("onnxruntime")
    on_gpu = settings.device not in ("auto", "cpu") or (settings.device == "auto" and torch.cuda.is_available())
    session = onnxruntime.SessionOptions()
    session.log_severity_level = 3
    if settings.threads is not None:
        session.intra_op_num_threads = settings.threads
    provider = "CUDAExecutionProvider" if on_gpu else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        if settings.device != "auto":
            raise missing_backend("onnx", f"onnxruntime has no {provider}; install onnxruntime-gpu")
        provider = "CPUExecutionProvider"
    return {"provider": provider, "session_options": session}


def _cast(module: Any, dtype: Any) -> None:
    """Give parts that are no transformers model the precision too: they do not take it when loaded."""
    from transformers import PreTrainedModel

    for child in module.children():
        if isinstance(child, PreTrainedModel):
            continue
        if any(isinstance(part, PreTrainedModel) for part in child.modules()):
            _cast(child, dtype)
        else:
            child.to(dtype)
