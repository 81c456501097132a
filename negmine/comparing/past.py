"""What the negatives of a work_dir were before: its history, read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from negmine.config import Config, config_from_dict
from negmine.errors import ArtifactError, ConfigError, UsageError
from negmine.pipeline.recording import HISTORY, Entry, history
from negmine.remote.objects import Objects
from negmine.remote.opening import open_run
from negmine.remote.stores import is_url, redacted
from negmine.stages.final import final_stage
from negmine.store.manifest import Manifest
from negmine.store.workdir import MANIFEST

_EVALUATION = "evaluate/result.json"
_ARMS = ("run", "in_batch")
_NEVER = "A line is added whenever filter or export finish with another result. Run: negmine run -c CONFIG"


@dataclass(frozen=True)
class Uplift:
    """What training on the negatives gained over in-batch negatives alone: nDCG@10 with a 95% interval, in words, and
    the kind of student."""

    effect: float
    interval: tuple[float, float]
    verdict: str
    student: str


@dataclass(frozen=True)
class Past:
    """The entries of a work_dir, the oldest first. Numbers count from 1: ``negatives`` is that of the entry which the
    verdicts in the work_dir are of now, ``files`` that of its training files; None when they are of none."""

    work_dir: str
    entries: tuple[Entry, ...]
    negatives: int | None
    files: int | None
    uplift: Mapping[int, Uplift] = field(default_factory=dict)
    """By number, for the entries whose negatives ``evaluate`` was about last."""

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values, without what the changes were told from."""
        rows = [self.row(number) for number in range(1, len(self.entries) + 1)]
        return {"work_dir": self.work_dir, "negatives": self.negatives, "files": self.files, "entries": rows}

    def row(self, number: int) -> dict[str, Any]:
        """One entry as JSON values."""
        row = asdict(self.entry(number))
        del row["made_from"]
        uplift = self.uplift.get(number)
        return {"number": number, **row, "uplift": asdict(uplift) if uplift is not None else None}

    def entry(self, number: int) -> Entry:
        """The entry of a number. Raises UsageError when there is none."""
        if not 1 <= number <= len(self.entries):
            raise UsageError(
                f"there is no entry {number}",
                where=self.work_dir,
                hint=f"Entries are 1 to {len(self.entries)}." if self.entries else _NEVER,
            )
        return self.entries[number - 1]

    def of(self, folder: str) -> int:
        """The number of the entry that an export folder (path or URL) is of, the latest one.

        Raises UsageError when there is none, or no export in the folder; ArtifactError when its manifest is damaged.
        """
        manifest = _exported(folder)
        number = _latest(self.entries, "export", manifest)
        if number is not None:
            return number
        raise UsageError(
            f"this export (fingerprint {manifest.fingerprint[:12]}) is of no entry of {self.work_dir}",
            where=redacted(folder),
            hint="Is it from another work_dir? Its README.md says how it was made.",
        )


def past(config: Config) -> Past:
    """The history of the config's work_dir. Raises ArtifactError for a damaged line."""
    _, work = open_run(config, fetch=False)
    entries = tuple(history(work))
    negatives, files = (_latest(entries, stage, work.manifest(stage)) for stage in (final_stage(config), "export"))
    evaluated, uplift = _uplift(work.read_beside(_EVALUATION))
    numbers = [n for n, entry in enumerate(entries, 1) if uplift and entry.verdicts == evaluated]
    return Past(work.name, entries, negatives, files, {number: uplift for number in numbers if uplift})


def _uplift(content: bytes | None) -> tuple[str, Uplift | None]:
    """What the last evaluation says of the run against in-batch negatives, and the fingerprint of the verdicts that it
    is about; None without one that says so."""
    with contextlib.suppress(ValueError, TypeError, KeyError, StopIteration):
        found = json.loads(content or b"")
        row = next(each for each in found["comparisons"] if (each["arm"], each["against"]) == _ARMS)
        low, high = row["interval"]
        uplift = Uplift(float(row["effect"]), (float(low), float(high)), str(row["verdict"]), str(found["student"]))
        return str(found["state"]["verdicts"]["fingerprint"]), uplift
    return "", None


def _latest(entries: Sequence[Entry], stage: str, manifest: Manifest | None) -> int | None:
    """The number of the latest entry that a finished stage is of."""
    fingerprint = manifest.fingerprint if manifest is not None else None
    for number in range(len(entries), 0, -1):
        if fingerprint is not None and entries[number - 1].fingerprints.get(stage) == fingerprint:
            return number
    return None


def config_text(entry: Entry, number: int) -> str:
    """The config of an entry as YAML that gives the same run again: what was set then, and what has other defaults
    in this version."""
    from ruamel.yaml import YAML

    given = dict(entry.given)
    try:
        now = config_from_dict(given).model_dump(mode="json")
    except ConfigError:  # this version has other keys: what was set says the most
        now = dict(entry.config)
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # its stub says None
    out = StringIO()
    yaml.dump(_merged(given, entry.config, now), out)
    return f"# entry {number} of {HISTORY}: {entry.time}, negmine {entry.tool_version}\n{out.getvalue()}"


def _merged(given: Mapping[str, Any], then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` with those values of ``then`` that would be others ``now``."""
    merged = dict(given)
    for key, value in then.items():
        if key not in now or now[key] == value:
            continue
        if isinstance(value, dict) and isinstance(now[key], dict):
            merged[key] = _merged(merged.get(key) or {}, value, now[key])
        else:
            merged[key] = value
    return merged


def _exported(folder: str) -> Manifest:
    """The manifest of the export in a folder, or of that which one of its files belongs to."""
    if is_url(folder):
        place = Objects(folder, lambda text: None)
        content, where = place.read([MANIFEST]).get(MANIFEST), place.url(MANIFEST)
    else:
        path = Path(folder)
        path = (path.parent if path.is_file() else path) / MANIFEST
        content, where = path.read_bytes() if path.is_file() else None, str(path)
    if content is None:
        raise UsageError(
            "there are no training files with a manifest.json",
            where=redacted(folder),
            hint="Name an export folder, or a copy of one.",
        )
    manifest = Manifest.parse(content, where)
    if manifest.stage != "export":
        raise ArtifactError(f"this is the manifest of {manifest.stage}, and not of training files", where=where)
    return manifest
