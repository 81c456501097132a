"""What an earlier run made with the same model, so that it need not be made again."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from negmine.config import get
from negmine.errors import ArtifactError
from negmine.stages.base import Job
from negmine.store.manifest import Manifest

_LIBRARIES = ("sentence-transformers", "transformers", "torch")


def made_alike(
    job: Job, stage: str, keys: Sequence[str], identity: Callable[[], Mapping[str, Any] | None]
) -> Manifest | None:
    """The manifest of the finished stage, when its model is the one that the config asks for now.

    ``keys`` decide what the model makes of a text; ``identity`` tells the digests of its files, None for
    a server, which has libraries and files of its own.
    """

    def same(before: Mapping[str, Any], model: Mapping[str, Any] | None) -> bool:
        then = {key: before.get("config", {}).get(key) for key in keys}
        return before.get("model") == model and then == {key: get(job.config, key) for key in keys}

    return made_by(job, stage, identity, same)


def made_by(
    job: Job,
    stage: str,
    identity: Callable[[], Mapping[str, Any] | None],
    same: Callable[[Mapping[str, Any], Mapping[str, Any] | None], bool],
) -> Manifest | None:
    """The manifest of the finished stage, when what it was made from is the ``same`` as what the model of this
    ``identity`` makes now, with the same libraries."""
    try:
        manifest = job.work.manifest(stage)
    except ArtifactError:
        return None  # a damaged manifest vouches for nothing
    if manifest is None:
        return None
    model = identity()
    libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES} if model is not None else {}
    alike = all(manifest.libraries.get(name) == version for name, version in libraries.items())
    return manifest if alike and same(manifest.made_from, model) else None
