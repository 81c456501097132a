"""Where a model lies on disk, and which of its files decide its vectors."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from negmine.errors import InputError, MissingDependencyError

# Folders that only one backend reads.
_BACKEND_FOLDERS = {"onnx": "onnx", "openvino": "openvino"}
# Weights of other frameworks, and what training leaves behind: they never change a vector.
_UNUSED = {
    "tf_model.h5",
    "flax_model.msgpack",
    "rust_model.ot",
    "training_args.bin",
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
    "rng_state.pth",
    "trainer_state.json",
}


def resolve_model(model: str, revision: str | None = None, *, download: bool = True) -> Path:
    """The local folder of a model given as folder, ``package://module/path`` or hub name.

    A hub model is looked up in the local cache and, if ``download``, fetched from the hub.
    Raises InputError when there is no such model.
    """
    if model.startswith("package://"):
        return _in_package(model)
    folder = Path(model)
    if folder.is_absolute():
        return _checked(folder, model)
    return _from_hub(model, revision, download)


def _in_package(model: str) -> Path:
    module, _, rest = model.removeprefix("package://").partition("/")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            f"the Python package '{module}' of embed.model '{model}' is not installed",
            hint=f"Install it with: pip install {module.replace('_', '-')}",
        )
    return _checked(Path(next(iter(spec.submodule_search_locations))) / rest, model)


def _checked(folder: Path, model: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"the model folder of embed.model '{model}' does not exist", where=str(folder))
    if not (folder / "modules.json").exists() and not (folder / "config.json").exists():
        raise InputError(
            "this folder holds no model: it has neither modules.json nor config.json",
            where=str(folder),
            hint="Set embed.model to a folder written by SentenceTransformer.save_pretrained.",
        )
    return folder


def _from_hub(model: str, revision: str | None, download: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    ignored = [*sorted(_UNUSED), "*.ot", "*.h5", "*.msgpack", "coreml/*"]
    try:
        return Path(snapshot_download(model, revision=revision, local_files_only=True, ignore_patterns=ignored))
    except (LocalEntryNotFoundError, ValueError, OSError):
        if not download:
            raise InputError(f"the model '{model}' has not been downloaded yet") from None
    try:
        return Path(snapshot_download(model, revision=revision, ignore_patterns=ignored))
    except RepositoryNotFoundError as error:
        raise InputError(
            f"there is no model '{model}' on the hub", hint="Check embed.model; a local folder starts with './' or '/'."
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise InputError(
            f"the model '{model}' is not in the local cache and cannot be downloaded"
            f" ({type(error).__name__}: {str(error).splitlines()[0][:160]})",
            hint="Check the name and the connection, or set embed.model to a local folder.",
        ) from error


def model_digests(folder: Path, backend: str, digest: Callable[[Path], str]) -> dict[str, str]:
    """Digest of every file that can change a vector, by path inside the model's folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        top = relative.parts[0]
        skipped = (
            any(part.startswith(".") for part in relative.parts)
            or path.suffix.lower() in {".md", ".png", ".gitattributes"}
            or path.name in _UNUSED
            or path.name.upper().startswith("LICENSE")
            or (top in _BACKEND_FOLDERS and _BACKEND_FOLDERS[top] != backend)
            or "__pycache__" in relative.parts
        )
        if not skipped and path.is_file():
            found[relative.as_posix()] = digest(path)
    return found
