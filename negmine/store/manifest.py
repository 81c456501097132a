"""What a finished stage says of itself: the files it left, what they were made from, what it cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from negmine.errors import ArtifactError
from negmine.store.files import write_json


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value in its canonical form."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class Part:
    """One published file: its path inside the stage's folder, the task that wrote it, its digest."""

    path: str
    rows: int
    bytes: int
    digest: str
    task: str


@dataclass(frozen=True)
class Receipt:
    """Proof that a task finished: what it published, what it counted, what it cost."""

    task: str
    parts: tuple[Part, ...]
    counts: Mapping[str, int]
    facts: Mapping[str, Any]
    cpu_seconds: float
    wall_seconds: float
    peak_rss_bytes: int

    def save(self, path: Path) -> None:
        _save(self, path)

    @classmethod
    def load(cls, path: Path) -> Receipt:
        """Read and check a receipt. Raises ArtifactError when its own digest does not hold."""
        return cls.parse(path.read_bytes(), str(path))

    @classmethod
    def parse(cls, content: bytes, where: str) -> Receipt:
        """The receipt that the bytes of a file are. Raises ArtifactError, as ``load`` does."""
        record = _parsed(content, where, "receipt")
        try:
            return cls(**{**record, "parts": tuple(Part(**part) for part in record["parts"])})
        except (KeyError, TypeError) as error:
            raise ArtifactError("this receipt is damaged", where=where) from error


@dataclass(frozen=True)
class Manifest:
    """``manifest.json`` of a stage; ``fingerprint`` is the digest of ``made_from``."""

    stage: str
    fingerprint: str
    made_from: Mapping[str, Any]
    parts: tuple[Part, ...]
    outputs: Mapping[str, str]
    tasks: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, int]
    facts: Mapping[str, Any]
    seed: int
    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    tool_version: str
    libraries: Mapping[str, str] = field(default_factory=dict)
    created: str = ""

    def save(self, path: Path) -> None:
        _save(self, path)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read and check a manifest. Raises ArtifactError when its own digest does not hold."""
        return cls.parse(path.read_bytes(), str(path))

    @classmethod
    def parse(cls, content: bytes, where: str) -> Manifest:
        """The manifest that the bytes of a file are. Raises ArtifactError, as ``load`` does."""
        record = _parsed(content, where, "manifest")
        try:
            return cls(**{**record, "parts": tuple(Part(**part) for part in record["parts"])})
        except (KeyError, TypeError) as error:
            raise ArtifactError("this manifest is damaged: it lacks a part of what it says", where=where) from error


def _save(value: Receipt | Manifest, path: Path) -> None:
    """Publish a record together with the digest of its content."""
    record = asdict(value)
    write_json(path, {**record, "digest": digest_of(json.loads(json.dumps(record)))})


def _parsed(content: bytes, where: str, noun: str) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except ValueError as error:
        raise ArtifactError(f"this file is damaged ({error})", where=where) from error
    if not isinstance(record, dict) or record.pop("digest", None) != digest_of(record):
        raise ArtifactError(f"this {noun} is damaged: its digest does not match its content", where=where)
    return record


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What changed between two ``made_from`` records, one short sentence each."""
    if before.get("schema") != now.get("schema"):
        return ["a version of negmine made it whose files are laid out otherwise"]
    found: list[str] = []
    for kind in sorted(set(before) | set(now)):
        old, new = before.get(kind), now.get(kind)
        if old == new:
            continue
        if not isinstance(old, Mapping) or not isinstance(new, Mapping):
            found.append(f"{kind} changed: {_short(old)} -> {_short(new)}")
            continue
        for key in sorted(set(old) | set(new)):
            was, now_is = old.get(key), new.get(key)
            if was == now_is and key in old and key in new:
                continue
            if was == now_is:  # a key that is null here and unknown to the version that wrote the other
                found.append(f"{key} is {'new' if key in new else 'gone'} in this version")
            elif kind == "config" and any(isinstance(value, dict | list) for value in (was, now_is)):
                found.append(f"{key} changed")
            elif kind == "config":
                found.append(f"{key} changed: {_short(was)} -> {_short(now_is)}")
            elif kind == "inputs":
                what = "changed" if key in old and key in new else "is new" if key in new else "is gone"
                found.append(f"the file of {key} {what}")
            elif kind == "upstream":
                stage, _, output = key.partition(" ")
                what = "output" if output == "all" else output.replace("_", " ")
                found.append(f"the {what} of {stage} changed")
            else:
                found.append(f"{kind} {key} changed")
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def output_digest(parts: Sequence[Part]) -> str:
    """One digest for a list of files: their names and contents, in order."""
    return digest_of([[part.path, part.digest] for part in parts])
