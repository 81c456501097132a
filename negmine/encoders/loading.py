"""Loading a model of Sentence Transformers as the settings say, in silence."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negmine.encoders.load_report import load_report
from negmine.encoders.model_check import check_backend, check_device, missing_backend, own_code
from negmine.errors import ConfigError, InputError, MissingDependencyError, NegmineError


@dataclass(frozen=True)
class Settings:
    """How to load and call the model; names as in the ``embed`` section of the config."""

    backend: str = "torch"
    device: str | tuple[str, ...] = "auto"
    """Several: a process on each."""
    every_gpu: bool = False
    """Whether a device of ``auto`` is all graphics cards that there are."""
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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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


def first_line(error: BaseException) -> str:
    """What an error says in its first line, cut to 200 characters."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else ""


def prepare(settings: Settings) -> None:
    """Have the libraries ready to load a model.

    Raises ConfigError for settings that do not fit the machine or the backend, MissingDependencyError
    for packages that are not there.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if settings.backend != "torch" and settings.dtype != "float32":
        raise ConfigError(
            f"the {settings.backend} backend runs in the precision of its own model file",
            where="embed.dtype",
            hint="Leave embed.dtype at float32.",
        )
    check_backend(settings.backend)
    try:
        import sentence_transformers  # noqa: F401
        import torch
    except ImportError as error:
        raise MissingDependencyError(
            f"sentence-transformers cannot be imported ({error})", hint="Run: pip install sentence-transformers"
        ) from error
    check_device(settings.device, settings.backend)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)


@contextlib.contextmanager
def loading(folder: Path, settings: Settings, kind: str, hint: str) -> Iterator[None]:
    """Load a model inside, in silence.

    Raises InputError for files that cannot be loaded, or that lack weights of a ``kind`` of model
    (then with ``hint``).
    """
    try:
        with quiet(), load_report() as report:
            yield
        if report.missing:
            raise InputError(
                f"the model's files lack {len(report.missing)} weights of {kind} (the first is '{report.missing[0]}')",
                where=str(folder),
                hint=hint,
            )
    except NegmineError:
        raise
    except Exception as error:  # whatever a damaged or foreign model folder makes the libraries raise
        if "trust_remote_code" in str(error) and not settings.trust_remote_code:
            raise own_code(folder, first_line(error)) from error
        if isinstance(error, ImportError) and settings.backend != "torch":
            raise missing_backend(settings.backend, first_line(error)) from error
        raise InputError(
            f"the model cannot be loaded ({type(error).__name__}: {first_line(error)})",
            where=str(folder),
            hint="Check embed.model, embed.backend and embed.device.",
        ) from error


def load_model(folder: Path, settings: Settings, *, sparse: bool = False) -> Any:
    """The ``SentenceTransformer`` (or ``SparseEncoder``) in ``folder``; raises as ``prepare`` and ``loading`` do."""
    prepare(settings)
    with loading(folder, settings, "its architecture", "Download or save the model again."):
        import torch
        from sentence_transformers import SentenceTransformer, SparseEncoder

        model = (SparseEncoder if sparse else SentenceTransformer)(
            str(folder),
            device="cpu" if settings.backend == "openvino" or devices(settings) else _device(settings),
            backend=settings.backend,
            **({} if sparse else {"truncate_dim": settings.truncate_dim}),
            trust_remote_code=settings.trust_remote_code,
            model_kwargs=model_kwargs(settings),
            local_files_only=True,
        )
        if settings.backend == "torch":
            _cast(model, getattr(torch, settings.dtype))
    return model


def devices(settings: Settings) -> tuple[str, ...]:
    """The devices to be used at the same time; none when it is a single one."""
    if isinstance(settings.device, tuple):
        return settings.device if len(settings.device) > 1 else ()
    if settings.device != "auto" or not settings.every_gpu or settings.backend != "torch":
        return ()
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return tuple(f"cuda:{number}" for number in range(count)) if count > 1 else ()


def _device(settings: Settings) -> str | None:
    device = settings.device if isinstance(settings.device, str) else settings.device[0]
    return None if device == "auto" else device


def model_kwargs(settings: Settings) -> dict[str, Any]:
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
        raise missing_backend(settings.backend, first_line(error)) from error
    if settings.backend == "openvino":
        # Left alone it computes in bfloat16 where the processor can.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if settings.threads is not None:
            options["INFERENCE_NUM_THREADS"] = settings.threads
        return {"ov_config": options}
    onnxruntime = importlib.import_module("onnxruntime")
    device = _device(settings)
    on_gpu = device != "cpu" if device is not None else torch.cuda.is_available()
    session = onnxruntime.SessionOptions()
    session.log_severity_level = 3
    if settings.threads is not None:
        session.intra_op_num_threads = settings.threads
    provider = "CUDAExecutionProvider" if on_gpu else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        if device is not None:
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
