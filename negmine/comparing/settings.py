"""What two runs were made from, and where that differs; whether one scorer made the scores of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from negmine.store.manifest import Manifest, digest_of

# These decide how work is cut up or kept, and no score.
_NO_SCORE = {
    "embed.part_rows",
    "embed.batch_size",
    "embed.store_dtype",
    "embed.trust_remote_code",
    "rerank.part_pairs",
    "rerank.batch_size",
    "rerank.depth",
}
_DIGITS = 12


@dataclass(frozen=True)
class SettingChange:
    """Something that runs A and B were made from, and that differs; None where a run does not have it.

    ``kind`` is config, input, model, seed, version, library or what a stage calls it; inputs and models are named
    by the first digits of their digests.
    """

    kind: str
    key: str
    a: Any
    b: Any


def setting_changes(a: Mapping[str, Manifest], b: Mapping[str, Manifest]) -> tuple[SettingChange, ...]:
    """What differs between the runs whose manifests by stage these are."""
    before, after = dict(_facts(a)), dict(_facts(b))
    return tuple(
        SettingChange(*name, before.get(name), after.get(name))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    )


def _facts(manifests: Mapping[str, Manifest]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Everything that stages were made from, but for the outputs of other stages, which follow."""
    for wanted in ("config", "inputs", ""):
        for stage, manifest in manifests.items():
            for section, values in manifest.made_from.items():
                listed = isinstance(values, Mapping) and section not in ("schema", "upstream")
                if listed and (section if section in ("config", "inputs") else "") == wanted:
                    yield from _entries(stage, section, values)
    yield ("seed", "seed"), manifests["filter"].seed
    yield ("version", "negmine"), manifests["filter"].tool_version
    for name, version in sorted(manifests["filter"].libraries.items()):
        yield ("library", name), version


def _entries(stage: str, section: str, values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    if section == "model":  # digests of many files
        yield ("model", f"files of {stage}"), digest_of(values)[:_DIGITS]
        return
    names = {"inputs": "input", "card": "model"}
    for key, value in values.items():
        name = "encoder" if section == "card" and key == "model" else key
        yield (names.get(section, section), name), value if section == "config" else _short(value)


def _short(value: Any) -> Any:
    """The first digits of a digest; anything else as it is."""
    digest = isinstance(value, str) and len(value) in (32, 64) and set(value) <= set("0123456789abcdef")
    return value[:_DIGITS] if digest else value


def other_scorer(a: Mapping[str, Manifest], b: Mapping[str, Manifest]) -> str:
    """Why scores of the two runs are not in the same units; '' when one scorer made both.

    Takes the manifests of ``embed``, ``rerank`` and ``filter``, as far as a run has them.
    """
    if ("rerank" in _deciding(a)) != ("rerank" in _deciding(b)):
        return "the scores of one run are a reranker's"
    before, after = dict(_of_scorer(a)), dict(_of_scorer(b))
    differ = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    if not differ:
        return ""
    if all(name.startswith("embed.vectors.") for name in differ):
        return "the vectors are of different files, which may be of different models"
    return f"the scorers differ: {', '.join(differ[:3])}{' ...' if len(differ) > 3 else ''}"


def _deciding(manifests: Mapping[str, Manifest]) -> tuple[str, ...]:
    """Whose scores decide in the filter."""
    score = manifests["filter"].made_from["config"].get("filter.score")
    facts = manifests["filter"].facts.get("scorers")
    if facts:
        return tuple(facts)
    return ("dense",) if score in (None, "auto") else (score,) if isinstance(score, str) else tuple(score)


def _of_scorer(manifests: Mapping[str, Manifest]) -> Iterator[tuple[str, Any]]:
    deciding = _deciding(manifests)
    yield "filter.score", deciding
    stages = ["embed"] * (deciding != ("rerank",)) + ["rerank"] * ("rerank" in deciding)
    for stage in stages:
        manifest = manifests.get(stage)
        if manifest is None:
            continue
        for section, values in manifest.made_from.items():
            if section not in ("schema", "upstream") and isinstance(values, Mapping):
                prefix = "" if section in ("config", "inputs") else f"{stage} {section} "
                yield from ((f"{prefix}{key}", value) for key, value in values.items() if key not in _NO_SCORE)
