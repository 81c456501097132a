"""A sibling of a run: the same data and settings, another model, a folder and a config file of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negmine.config import Config, get
from negmine.config.changing import OUT, with_values
from negmine.config.embedding import is_local_model, is_not_on_hub
from negmine.errors import UsageError
from negmine.remote.opening import open_run
from negmine.remote.stores import is_url
from negmine.rounds.writing import beside, check_free, file_text, shown_path, text_digest, write_file
from negmine.stages.embed.encoding import encoder_identity, model_folder
from negmine.store.digests import DigestCache
from negmine.store.files import read_json, write_json
from negmine.store.manifest import digest_of

MARK = "refresh.json"
"""In a sibling's work_dir: which run it is of, with which model, and what config file was written for it."""
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


def write_config(sibling: Sibling, source: Path, overrides: Sequence[str]) -> Path:
    """Write the sibling's config beside that of the run (``source``), comments kept; its path.

    ``overrides`` were laid over ``source``, and are written into it. Raises UsageError when a file of that name is
    there that was not written here, or was changed since.
    """
    path = beside(source, sibling.suffix)
    text = _text(sibling, source, overrides)
    if not path.exists() or path.read_text("utf-8") != text:
        check_free(path, (_marked(sibling.config) or {}).get("config_digest"))
    write_file(path, text, sibling.config)
    mark(sibling, config=str(path), config_digest=text_digest(text))
    return path


def _text(sibling: Sibling, source: Path, overrides: Sequence[str]) -> str:
    config, folder = sibling.config, str(source.absolute().parent)
    values: dict[str, Any] = dict.fromkeys(_DROPPED, OUT)
    if config.embed.revision is None:
        values["embed.revision"] = OUT
    if config.engine.scratch is not None:
        values["engine.scratch"] = config.engine.scratch
    model = str(config.embed.model)
    inside = model.startswith(f"{folder}/")  # without a dot it could be the name of one on the hub
    values["embed.model"] = f"./{shown_path(model, folder)}" if inside else model
    values["work_dir"] = shown_path(config.work_dir, folder)
    said = f"Written by negmine refresh for {shown_path(sibling.old.work_dir, folder)}"
    return file_text(source, overrides, sibling.old, values, said)


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
