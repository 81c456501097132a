"""A sibling of a run: the same data and settings, another model, a folder and a config file of its own."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negmine.config import PATH_KEYS, Config, get, load_config
from negmine.config.changing import with_values, written_with
from negmine.config.embedding import is_local_model, is_not_on_hub
from negmine.config.source import parse
from negmine.errors import UsageError
from negmine.stages.embed.encoding import encoder_identity, model_folder
from negmine.store.digests import DigestCache
from negmine.store.files import read_json, replacing, write_json
from negmine.store.manifest import digest_of
from negmine.store.opening import open_run
from negmine.store.remote import is_url

MARK = "refresh.json"
"""In a sibling's work_dir: which run it is of, with which model, and what config file was written for it."""
_SAID = "# Written by negmine {command} for {work_dir}"
_DROPPED = ("embed.endpoint", "embed.vectors", "publish")


@dataclass(frozen=True)
class Sibling:
    """``config`` is that of ``old`` with another model and work_dir; ``suffix`` is what its names end in."""

    old: Config
    config: Config
    suffix: str


def sibling_of(old: Config, model: str, into: str | None = None) -> Sibling:
    """The sibling of a run for a model, given as ``embed.model`` takes it; nothing is written.

    Its work_dir is ``into``, or that of the run, a hyphen and the name of the model (the beginning of the digest of
    its files, where that name is taken by another one). Ready-made vectors and endpoints give way to the model, and
    nothing is published. Raises InputError when there is no such model, UsageError when it is the run's own or
    ``into`` holds something else.
    """
    name = os.path.abspath(os.path.expanduser(model)) if is_local_model(model) else model  # noqa: PTH100, PTH111
    values: dict[str, Any] = {key: None for key in _DROPPED if get(old, key) is not None}
    values["embed.model"] = name
    if is_not_on_hub(name) and old.embed.revision is not None:
        values["embed.revision"] = None
    new = with_values(old, values)
    model_folder(new)
    digests = DigestCache()
    identity = encoder_identity(new, digests)
    if old.embed.model is not None and encoder_identity(old, digests) == identity:
        raise UsageError(
            "it holds the very files of the model that the run was mined with",
            where=f"--model {model}",
            hint="Give the model that you trained.",
        )
    if into is not None:
        place = into if is_url(into) else str(Path(into).expanduser().absolute())
        found = _placed(new, place)
        if _refused(found, old) or place.rstrip("/") == old.work_dir.rstrip("/"):
            raise UsageError("there is something else in this folder", where=place, hint="Name another with --into.")
        return Sibling(old, found, _plain(place.rstrip("/").rpartition("/")[2]))
    for suffix in (_name_of(name), digest_of(identity)[:8]):
        found = _placed(new, f"{old.work_dir.rstrip('/')}-{suffix}")
        if not _refused(found, old):
            return Sibling(old, found, suffix)
    raise UsageError("its folder holds something else", where=found.work_dir, hint="Name another with --into.")


def mark(sibling: Sibling, **more: Any) -> None:
    """Say in the sibling's folder what it is, so that the next call goes on with it."""
    _, work = open_run(sibling.config)
    work.root.mkdir(parents=True, exist_ok=True)
    known = _marked(sibling.config) or {}
    said = {"from": sibling.old.work_dir, "model": sibling.config.embed.model}
    write_json(work.root / MARK, {**known, **said, **more})


def write_config(sibling: Sibling, source: Path, overrides: Sequence[str], *, command: str = "refresh") -> Path:
    """Write the sibling's config beside that of the run (``source``), comments kept; its path.

    ``overrides`` were laid over ``source``, and are written into it. Raises UsageError when a file of that name is
    there that was not written here, or was changed since.
    """
    path = source.with_name(f"{source.stem}-{sibling.suffix}{source.suffix}")
    text = _text(sibling, source, overrides, command)
    if path.exists() and path.read_text("utf-8") != text:
        written = (_marked(sibling.config) or {}).get("config_digest")
        if written != _digest(path.read_text("utf-8")):
            raise UsageError(
                "this file is in the way: it was not written here, or was changed since",
                where=str(path),
                hint=f"Go on with it by: negmine run -c {path}, or delete it.",
            )
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")
    mark(sibling, config=str(path), config_digest=_digest(text))
    if load_config(path).model_dump() != sibling.config.model_dump():
        raise UsageError("the config cannot be written so that it reads the same", where=str(path))
    return path


def _text(sibling: Sibling, source: Path, overrides: Sequence[str], command: str) -> str:
    values: dict[str, Any] = {}
    for override in overrides:
        key, _, text = override.partition("=")
        values[key.strip()] = parse(text).value
    for key in (*PATH_KEYS, "mine.retrievers"):  # a path of an option is relative to another folder
        if any(key == given or key.startswith(f"{given}.") for given in values):
            values[key] = get(sibling.old, key)
    config, folder = sibling.config, str(source.absolute().parent)
    values |= dict.fromkeys((*_DROPPED, *(["embed.revision"] if config.embed.revision is None else [])))
    if config.engine.scratch is not None:
        values["engine.scratch"] = config.engine.scratch
    model = str(config.embed.model)
    inside = model.startswith(f"{folder}/")  # without a dot it could be the name of one on the hub
    values["embed.model"] = f"./{_written(model, folder)}" if inside else model
    values["work_dir"] = _written(config.work_dir, folder)
    text = written_with(source.read_text("utf-8-sig"), values)
    return f"{_SAID.format(command=command, work_dir=_written(sibling.old.work_dir, folder))}\n{text}"


def _written(place: str, folder: str) -> str:
    """A path as a config in ``folder`` has it: relative where it is inside."""
    return os.path.relpath(place, folder) if place.startswith(f"{folder}/") else place


def _placed(config: Config, work_dir: str) -> Config:
    scratch = config.engine.scratch
    more = {} if scratch is None else {"engine.scratch": f"{scratch}-{_plain(work_dir.rpartition('/')[2])}"}
    return with_values(config, {"work_dir": work_dir, **more})


def _refused(new: Config, old: Config) -> bool:
    """Whether the folder of ``new`` holds anything but a sibling of ``old`` with that model."""
    said = _marked(new)
    if said is None:
        root = open_run(new)[1].root
        return root.is_dir() and any(path.name[:1] != "." for path in root.iterdir())
    return (said.get("from"), said.get("model")) != (old.work_dir, new.embed.model)


def _marked(config: Config) -> Mapping[str, Any] | None:
    path = open_run(config)[1].root / MARK
    found: Mapping[str, Any] | None = read_json(path) if path.is_file() else None
    return found


def _name_of(model: str) -> str:
    return _plain(model.rstrip("/").rpartition("/")[2] if "package://" not in model else model.partition("://")[2])


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.") or "new"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
