"""Where a model lies on disk, and which of its files decide its vectors."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from negmine.errors import InputError, MissingDependencyError

# Folders that only one backend reads, and the weights of others that lie beside its own.
_BACKEND_FOLDERS = ("onnx", "openvino", "coreml")
_FOREIGN_WEIGHTS = {
    "torch": ("*.onnx", "*.onnx_data", "openvino_*"),
    "onnx": ("openvino_*",),
    "openvino": ("*.onnx", "*.onnx_data"),
}
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
_TRAINING_FOLDER = re.compile(r"checkpoint-\d+|runs|eval|__pycache__|\..*")
_LOOK = "Check the name and the connection, or set embed.model to a local folder."


def resolve_model(model: str, revision: str | None = None, *, download: bool = True, backend: str = "torch") -> Path:
    """The local folder of a model given as folder, ``package://module/path`` or hub name.

    A hub model is looked up in the local cache and, if ``download``, fetched from the hub. As in
    Sentence Transformers a name without organisation is first one of ``sentence-transformers/``,
    and SENTENCE_TRANSFORMERS_HOME may name the cache. Raises InputError when there is no such model.
    """
    if model.startswith("package://"):
        return _in_package(model)
    folder = Path(model)
    if folder.is_absolute():
        return _checked(folder, model)
    return _from_hub(model, revision, download, backend)


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
        cause = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InputError(f"the model folder of embed.model '{model}' {cause}", where=str(folder))
    if not (folder / "modules.json").exists() and not (folder / "config.json").exists():
        raise InputError(
            "this folder holds no model: it has neither modules.json nor config.json",
            where=str(folder),
            hint="Set embed.model to a folder written by SentenceTransformer.save_pretrained.",
        )
    return folder


def _from_hub(model: str, revision: str | None, download: bool, backend: str) -> Path:
    names = [model] if "/" in model else [f"sentence-transformers/{model}", model]
    for name in names:
        folder = _cached(name, revision, backend)
        if folder is not None:
            return folder
    if not download:
        raise InputError(f"the model '{model}' has not been downloaded yet", hint="The next run downloads it.")
    return _downloaded(model, names, revision, backend)


def _ignored(backend: str) -> list[str]:
    """Patterns of files on the hub that this backend does not read."""
    patterns = [*sorted(_UNUSED), "*.ot", "*.h5", "*.msgpack", *_FOREIGN_WEIGHTS[backend]]
    patterns += [f"*{folder}/*" for folder in _BACKEND_FOLDERS if folder != backend]
    # Besides the model itself, repositories keep optimised and quantised copies of it.
    return patterns + {"torch": [], "onnx": ["onnx/model_*"], "openvino": ["openvino/openvino_model_*"]}[backend]


def _cached(name: str, revision: str | None, backend: str) -> Path | None:
    """The snapshot in the local cache when it has all that is needed; no network is touched."""
    from huggingface_hub import snapshot_download

    # Which weights a repository has is judged by the weights themselves; of the rest, a snapshot
    # that another program fetched may lack files that no model needs.
    for patterns in (None, ["modules.json", "config.json"]):
        try:
            folder = Path(
                snapshot_download(
                    name,
                    revision=revision,
                    cache_dir=os.environ.get("SENTENCE_TRANSFORMERS_HOME"),
                    local_files_only=True,
                    allow_patterns=patterns,
                    ignore_patterns=[*_ignored(backend), "*pytorch_model*.bin"],
                )
            )
        except (ValueError, OSError):
            continue
        if _has_weights(folder):
            return folder
    return None


def _has_weights(folder: Path) -> bool:
    """Whether every weight file is there that an index of shards names, and at least one."""
    shards = [folder / name for name in missing_shards(folder)]
    weights = (path for path in walk(folder) if path.suffix in {".safetensors", ".bin", ".onnx"})
    return not shards and any(path.name not in _UNUSED for path in weights)


def missing_shards(folder: Path) -> list[str]:
    """Weight files that an index names and that are not there, by path inside the folder."""
    missing: set[str] = set()
    for index in walk(folder):
        if not index.name.endswith((".safetensors.index.json", ".bin.index.json")):
            continue
        try:
            named = set(json.loads(index.read_bytes())["weight_map"].values())
        except (ValueError, KeyError, AttributeError, OSError) as error:
            raise InputError(f"this list of weight files cannot be read ({error})", where=str(index)) from error
        lacking = {name for name in named if not (index.parent / name).is_file()}
        whole = (index.parent / "model.safetensors").is_file()
        missing |= set() if whole else {(index.parent / name).relative_to(folder).as_posix() for name in lacking}
    return sorted(missing)


def _downloaded(model: str, names: list[str], revision: str | None, backend: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bars()
    for name in names:
        try:
            ignored = _ignored(backend)
            if any(file.endswith(".safetensors") for file in HfApi().list_repo_files(name, revision=revision)):
                ignored.append("*pytorch_model*")
            return Path(
                snapshot_download(
                    name,
                    revision=revision,
                    cache_dir=os.environ.get("SENTENCE_TRANSFORMERS_HOME"),
                    ignore_patterns=ignored,
                )
            )
        except RevisionNotFoundError as error:
            raise InputError(
                f"the model '{name}' has no revision '{revision}'", hint="Check embed.revision."
            ) from error
        except RepositoryNotFoundError as error:
            if name == names[-1]:
                raise InputError(
                    f"there is no model '{model}' on the hub",
                    hint="Check embed.model; a local folder starts with './' or '/'.",
                ) from error
        except Exception as error:  # the HTTP library of the hub client is its own affair
            cause = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
            raise InputError(
                f"the model '{model}'{f' at revision {revision}' if revision else ''} is not in the local cache"
                f" and cannot be downloaded ({type(error).__name__}: {cause})",
                hint=_LOOK,
            ) from error
    raise AssertionError("names is not empty")


def walk(folder: Path) -> Iterator[Path]:
    """Every file below ``folder`` in a fixed order, through links, without hidden and training folders."""
    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        folders[:] = sorted(name for name in folders if not _TRAINING_FOLDER.fullmatch(name))
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(root) / name for name in sorted(files) if not name.startswith("."))


def model_digests(folder: Path, backend: str, digest: Callable[[Path], str]) -> dict[str, str]:
    """Digest of every file that can change a vector, by path inside the model's folder."""
    found = {}
    for path in walk(folder):
        relative = path.relative_to(folder)
        skipped = (
            path.suffix.lower() in {".md", ".png", ".jpg", ".svg", ".h5", ".msgpack", ".ot"}
            or path.name in _UNUSED
            or path.name.upper().startswith(("LICENSE", "NOTICE"))
            or any(path.match(pattern) for pattern in _FOREIGN_WEIGHTS[backend])
            or any(part in _BACKEND_FOLDERS and part != backend for part in relative.parts[:-1])
            or (path.match("pytorch_model*") and _has_safetensors(path.parent))
        )
        if not skipped:
            found[relative.as_posix()] = digest(path)
    return dict(sorted(found.items()))


def _has_safetensors(folder: Path) -> bool:
    """Whether the safer of two formats is there: then the other is not read."""
    return (folder / "model.safetensors").exists() or (folder / "model.safetensors.index.json").exists()
