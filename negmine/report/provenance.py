"""What a run was made from: settings, model, inputs, versions and digests, as its manifests keep them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from negmine.config import Config, get
from negmine.remote.stores import redacted
from negmine.report.snapshot import Snapshot
from negmine.stages.account import recipe, reranker_name
from negmine.stages.export.describing import model_name


@dataclass(frozen=True)
class Setting:
    """A key with the value that the run has, and the config's own where that is another by now."""

    key: str
    value: str
    now: str | None
    is_set: bool


@dataclass(frozen=True)
class Provenance:
    """``model`` is None when the vectors are not those of the config's model, whose name is all that is known."""

    work_dir: str
    model: str | None
    reranker: str | None
    recipe: tuple[str, ...]
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    versions: tuple[tuple[str, str], ...]
    digests: tuple[tuple[str, str], ...]


def provenance(config: Config, snapshot: Snapshot) -> Provenance:
    """From the manifests of all finished stages. ``config`` is the one that the command was given."""
    manifests = snapshot.manifests.values()
    made = all(snapshot.state(stage) == "current" for stage in ("embed", "mine", "filter"))
    embedded = snapshot.state("embed") == "current"
    return Provenance(
        work_dir=redacted(config.work_dir),
        model=redacted(model_name(config)) if embedded else None,
        reranker=redacted(reranker_name(config)) if config.rerank and snapshot.state("rerank") == "current" else None,
        recipe=tuple(map(redacted, recipe(config, model_name(config)))) if made else (),
        settings=tuple(_settings(config, snapshot)),
        seeds=tuple(sorted({manifest.seed for manifest in manifests})),
        versions=tuple(_versions(snapshot)),
        digests=tuple(_digests(snapshot)),
    )


def _settings(config: Config, snapshot: Snapshot) -> Iterator[Setting]:
    """Keys by which the finished stages were made; the first stage that goes by a key tells its value."""
    used: dict[str, Any] = {}
    for manifest in snapshot.manifests.values():
        used |= {key: value for key, value in manifest.made_from["config"].items() if key not in used}
    written = set(_leaves(config.model_dump(mode="json", exclude_unset=True)))
    for key, value in sorted(used.items()):
        current = _now(config, key)
        changed = json.dumps(current, sort_keys=True) != json.dumps(value, sort_keys=True)
        is_set = any(key == each or each.startswith(f"{key}.") for each in written)
        yield Setting(key, _shown(value), _shown(current) if changed else None, is_set)


def _now(config: Config, key: str) -> Any:
    return json.loads(json.dumps(get(config, key), default=str))


def _shown(value: Any) -> str:
    return redacted(json.dumps(value, ensure_ascii=False))


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, entry in value.items():
        if isinstance(entry, Mapping) and entry:
            yield from _leaves(entry, f"{prefix}{name}.")
        else:
            yield prefix + name


def _versions(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """What made the stages, a line for each version that differs from stage to stage."""
    found: dict[str, dict[str, list[str]]] = {}
    for stage, manifest in snapshot.manifests.items():
        for name, version in {"negmine": manifest.tool_version, **manifest.libraries}.items():
            found.setdefault(name, {}).setdefault(version, []).append(stage)
    for name, by_version in found.items():
        for version, stages in by_version.items():
            yield name, version if len(by_version) == 1 else f"{version} ({', '.join(stages)})"


def _digests(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """SHA-256 of the user's files, of the model's, and of what each stage was made from and left."""
    for stage, manifest in snapshot.manifests.items():
        for key, digest in manifest.made_from.get("inputs", {}).items():
            yield f"input {key} ({stage})", digest
        for name, digest in manifest.made_from.get("model", {}).items():
            yield f"model {name} ({stage})", str(digest)
        yield f"{stage}: fingerprint", manifest.fingerprint
        for name, digest in manifest.outputs.items():
            yield f"{stage}: output {name}", digest
