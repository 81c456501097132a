"""``history.jsonl`` of a work_dir: a line for every state that its negatives and training files were in.

A line is about the last stage that a command finished, from filter on. It is written after that stage was
committed, and again looked for by every later run: one that was killed in between leaves no gap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from negmine.config import Config
from negmine.errors import ArtifactError
from negmine.remote.stores import redacted
from negmine.store.files import read_json
from negmine.store.manifest import Manifest, differences
from negmine.store.workdir import WorkDir

HISTORY = "history.jsonl"
_REPEATED = ("schema", "upstream")


@dataclass(frozen=True)
class Entry:
    """One line: ``stage`` is the last one that was finished, ``fingerprints`` those of all of them.

    ``changes`` says in words what was changed since the entry before. ``figures`` are from filter's report: yield,
    leak (None where it was not measured), means of score, margin and risk, and counts. ``config`` is every key with
    its value, ``given`` those that were set; secrets in URLs are left out. ``made_from`` is what the stages were made
    from but for each other.
    """

    time: str
    stage: str
    tool_version: str
    fingerprints: Mapping[str, str]
    changes: tuple[str, ...]
    figures: Mapping[str, Any]
    counts: Mapping[str, int]
    config: Mapping[str, Any]
    given: Mapping[str, Any]
    made_from: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdicts(self) -> str | None:
        """The fingerprint of the stage that had the final verdicts."""
        return self.fingerprints.get("judge", self.fingerprints.get("filter"))


def history(work: WorkDir) -> list[Entry]:
    """All entries, the oldest first. Raises ArtifactError for a line that is none."""
    entries = []
    for number, line in enumerate((work.read_beside(HISTORY) or b"").splitlines(), 1):
        try:
            entries.append(_parsed(line))
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(
                "this line is no entry of a history",
                where=f"{work.shown('', HISTORY)}:{number}",
                hint="Delete the line; entries are numbered by their lines.",
            ) from error
    return entries


def record(work: WorkDir, config: Config, manifests: Mapping[str, Manifest]) -> None:
    """Add an entry for the last of the stages, when that is filter or a later one and the last entry is about another
    state. Call under the lock; ``manifests`` are those of the stages in order."""
    if "filter" not in manifests:
        return
    last = list(manifests.values())[-1]
    content = work.read_beside(HISTORY) or b""
    before = _last(content)
    if before is not None and before.fingerprints.get(last.stage) == last.fingerprint:
        return
    made_from = {
        stage: {kind: values for kind, values in manifest.made_from.items() if kind not in _REPEATED}
        for stage, manifest in manifests.items()
    }
    entry = Entry(
        time=last.created,
        stage=last.stage,
        tool_version=last.tool_version,
        fingerprints={stage: manifest.fingerprint for stage, manifest in manifests.items()},
        changes=_changes(before.made_from, made_from) if before is not None else (),
        figures=_figures(read_json(work.file(manifests.get("judge", manifests["filter"]), "report.json"))),
        counts=last.counts,
        config=_without_secrets(config.model_dump(mode="json")),
        given=_without_secrets(config.model_dump(mode="json", exclude_unset=True)),
        made_from=made_from,
    )
    line = json.dumps(asdict(entry), ensure_ascii=False, allow_nan=False).encode()
    if content and not content.endswith(b"\n"):
        content += b"\n"
    work.write_beside(HISTORY, content + line + b"\n")


def _parsed(line: bytes) -> Entry:
    record_ = json.loads(line)
    return Entry(**{**record_, "changes": tuple(record_["changes"])})


def _last(content: bytes) -> Entry | None:
    """The last entry; None when there is none that can be read: a run does not fail for it."""
    try:
        return _parsed(content.splitlines()[-1])
    except (IndexError, ValueError, TypeError, KeyError):
        return None


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs, stage by stage, each thing once."""
    found: list[str] = []
    for stage, made_from in now.items():
        if stage in before:
            kinds = {**before[stage], **made_from}
            found += differences(*({kind: each.get(kind, {}) for kind in kinds} for each in (before[stage], made_from)))
        elif before:
            found.append(f"{stage} is new")
    found += [f"{stage} is gone" for stage in before if stage not in now and stage != "export"]
    return tuple(dict.fromkeys(found))


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    leak = report["leak"]
    names = ("queries", "num_negatives", "negatives", "yield", "queries_with_all", "queries_without_any")
    return {
        **{name: report[name] for name in names},
        "leak": {name: leak[name] for name in ("rate", "interval", "exposed", "queries")} if leak else None,
        **{name: report[name]["mean"] for name in ("score", "margin", "risk")},
    }


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return redacted(value) if isinstance(value, str) and "://" in value else value
