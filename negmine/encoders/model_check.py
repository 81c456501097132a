"""What can be seen of a model before it is loaded: whether its files are whole and for this tool."""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from negmine.encoders.model_files import missing_shards, walk
from negmine.errors import ConfigError, InputError, MissingDependencyError

EMBEDDING, CROSS_ENCODER, SPARSE = "SentenceTransformer", "CrossEncoder", "SparseEncoder"
"""Kinds of models of Sentence Transformers."""
_NEEDED = {"onnx": ("onnxruntime", "optimum.onnxruntime"), "openvino": ("openvino", "optimum.intel")}
_POINTER = b"version https://git-lfs"
_HEADER_LIMIT = 100_000_000
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "bpe.codes",
    "tekken.json",
)
_BYTE_TOKENIZERS = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")
_WHOLE = "Download or save the model again."


def check_model(folder: Path, *, trust_remote_code: bool = False, kind: str = EMBEDDING) -> None:
    """Refuse a model folder that cannot be loaded or is not of this ``kind``, without loading it.

    Reads the JSON files and the headers of safetensors files; no pickle is opened. Raises InputError.
    """
    for name in ("config.json", "config_sentence_transformers.json", "modules.json"):
        if (folder / name).exists():
            _json(folder / name)
    usual = EMBEDDING if (folder / "modules.json").exists() else kind  # older files do not say it
    found = _entry(folder / "config_sentence_transformers.json", "model_type") or usual
    if found != kind:
        wanted = {
            EMBEDDING: "an embedding model",
            CROSS_ENCODER: "a cross-encoder",
            SPARSE: "a sparse encoder, which SparseEncoder.save_pretrained writes",
        }[kind]
        raise InputError(f"this is a {found} and not {wanted}", where=str(folder), hint="Check embed.model.")
    if not trust_remote_code:
        _refuse_own_code(folder)
    missing = missing_shards(folder)
    if missing:
        raise InputError(f"the model's weights '{missing[0]}' are missing", where=str(folder), hint=_WHOLE)
    for path in walk(folder):
        if path.suffix == ".safetensors":
            _check_safetensors(path)
    _check_tokenizer(folder)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, OSError) as error:
        raise InputError(
            f"this file of the model is no readable JSON ({error})", where=str(path), hint=_WHOLE
        ) from error


def _entry(path: Path, key: str) -> Any:
    value = _json(path) if path.exists() else None
    return value.get(key) if isinstance(value, dict) else None


def _refuse_own_code(folder: Path) -> None:
    """Refuse modules that are no part of Sentence Transformers and architectures that come as code."""
    modules = _json(folder / "modules.json") if (folder / "modules.json").exists() else []
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise InputError("this file must hold a list of modules", where=str(folder / "modules.json"), hint=_WHOLE)
    for module in modules:
        if not str(module.get("type", "")).startswith("sentence_transformers."):
            raise own_code(folder, f"its module '{module.get('type')}'")
    for path in [folder / "config.json", *(folder / str(module.get("path", "")) / "config.json" for module in modules)]:
        if _entry(path, "auto_map"):
            from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

            if _entry(path, "model_type") not in CONFIG_MAPPING_NAMES:
                raise own_code(folder, f"its architecture '{_entry(path, 'model_type')}'")


def own_code(folder: Path, what: str) -> InputError:
    """The error for a model that brings Python code of its own."""
    return InputError(
        f"this model runs Python code of its own ({what})",
        where=str(folder),
        hint="If you have read that code and trust it, set embed.trust_remote_code: true.",
    )


def _check_tokenizer(folder: Path) -> None:
    """Refuse a transformer without a vocabulary: transformers would make up one of five words."""
    modules = _json(folder / "modules.json") if (folder / "modules.json").exists() else None
    readers = (
        [folder]
        if modules is None
        else [
            folder / str(module.get("path", ""))
            for module in modules
            if str(module.get("type", "")).endswith(".Transformer")
        ]
    )
    for reader in readers:
        by_bytes = _entry(reader / "tokenizer_config.json", "tokenizer_class") in _BYTE_TOKENIZERS
        if reader.is_dir() and not by_bytes and not any((reader / name).exists() for name in _VOCABULARIES):
            raise InputError("the model has no tokenizer", where=str(reader), hint=_WHOLE)


def _check_safetensors(path: Path) -> None:
    """Refuse a file whose header is damaged or whose length is not what its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(_POINTER))
        if start == _POINTER:
            raise InputError(
                "this file is a pointer of Git LFS and not the weights", where=str(path), hint="Run: git lfs pull"
            )
        length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0
        if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
            raise InputError("the weights are damaged (their header is cut off)", where=str(path), hint=_WHOLE)
        file.seek(8)
        header = file.read(length)
    try:
        tensors = json.loads(header)
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError("the weights are damaged (their header)", where=str(path), hint=_WHOLE) from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise InputError(
            f"the weights are damaged (the file has {size} bytes and its header tells of {expected})",
            where=str(path),
            hint=_WHOLE,
        )


def check_backend(backend: str) -> None:
    """Refuse a backend whose packages are not installed. Raises MissingDependencyError."""
    for module in _NEEDED.get(backend, ()):
        try:
            there = importlib.util.find_spec(module) is not None
        except ImportError:
            there = False
        if not there:
            raise missing_backend(backend, f"there is no '{module}'")


def missing_backend(backend: str, cause: str) -> MissingDependencyError:
    """The error for a backend whose packages are missing or do not fit together."""
    versions = {
        "onnx": "sentence-transformers 5, transformers 4 and optimum-onnx 0.1",
        "openvino": "sentence-transformers 6, transformers 5.5 and optimum-intel 2.2",
    }[backend]
    return MissingDependencyError(
        f"the {backend} backend needs packages that are not installed or do not fit together ({cause})",
        hint=f"Install it in an environment of its own: pip install 'negmine[{backend}]' (seen to work: {versions}).",
    )


def check_device(device: str | Sequence[str], backend: str) -> None:
    """Refuse a device, or one of several, that this machine does not have. Raises ConfigError."""
    if not isinstance(device, str):
        for each in dict.fromkeys(device):
            check_device(each, backend)
        return
    if device in ("auto", "cpu"):
        return
    if backend == "openvino":
        raise ConfigError(
            "the openvino backend runs on the processor only", where="embed.device", hint="Set embed.device: cpu."
        )
    import torch

    try:
        kind = torch.device(device)
    except RuntimeError:
        kind = torch.device("meta")
    try:
        if kind.type == "meta":
            raise RuntimeError("torch knows none of that name")
        torch.empty(1, device=kind)
    except Exception as error:  # each kind of device fails in its own way
        found = "cpu" + "".join(f", cuda:{number}" for number in range(torch.cuda.device_count()))
        cause = str(error).strip().splitlines()[0][:160].rstrip(".") if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"there is no device '{device}' here ({cause})",
            where="embed.device",
            hint=f"This machine has: {found}. Set embed.device: auto to take the best.",
        ) from error
