"""The folder of a run: finished stages, work in progress, and the step from one to the other.

A stage is built in ``.pending/<stage>-<fingerprint>/`` part by part; a receipt per task says
what is done. When all tasks are, ``manifest.json`` is written there and the folder takes the
place of ``<stage>/`` by rename. So ``<stage>/`` is always whole, and whatever was finished
before an interruption is found again under the same fingerprint.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from negmine.errors import ArtifactError
from negmine.store.digests import DigestCache
from negmine.store.files import sync_folder
from negmine.store.manifest import Manifest, Part, Receipt

MANIFEST = "manifest.json"
_RECEIPTS = ".receipts"


@dataclass(frozen=True)
class Pending:
    """A stage under construction, for one fingerprint."""

    path: Path

    def receipts(self) -> dict[str, Receipt]:
        """Receipts whose files are all still there with the right size; others are ignored."""
        found = {}
        for file in sorted((self.path / _RECEIPTS).glob("*.json")):
            try:
                receipt = Receipt.load(file)
                whole = all((self.path / part.path).stat().st_size == part.bytes for part in receipt.parts)
            except (OSError, ArtifactError):
                continue
            if whole:
                found[receipt.task] = receipt
        return found

    def keep(self, receipt: Receipt) -> None:
        receipt.save(self.path / _RECEIPTS / (receipt.task.replace("/", "~") + ".json"))


class WorkDir:
    """Paths and state of one run's folder."""

    def __init__(self, root: Path, *, verify: bool = False) -> None:
        self.root = root
        self.digests = DigestCache(root / ".cache" / "digests.json", thorough=verify)
        self._manifests: dict[str, Manifest] = {}

    def stage(self, name: str) -> Path:
        return self.root / name

    def manifest(self, stage: str) -> Manifest | None:
        """The manifest of a finished stage, None when there is none.

        Raises ArtifactError when it is damaged.
        """
        path = self.stage(stage) / MANIFEST
        return Manifest.load(path) if path.exists() else None

    def pending(self, stage: str, fingerprint: str) -> Pending:
        return Pending(self.root / ".pending" / f"{stage}-{fingerprint[:16]}")

    def damage(self, manifest: Manifest) -> list[tuple[Part, str]]:
        """Files of a finished stage that are not what the manifest says, each with how."""
        found = []
        for part in manifest.parts:
            problem = self._problem(self.stage(manifest.stage) / part.path, part)
            if problem:
                found.append((part, problem))
        return found

    def _problem(self, path: Path, part: Part) -> str:
        try:
            if path.stat().st_size != part.bytes:
                return f"it has {path.stat().st_size} bytes and not {part.bytes}"
            if self.digests.digest(path) != part.digest:
                return "its content changed after it was written"
        except FileNotFoundError:
            return "it is missing"
        except OSError as error:
            return f"it cannot be read ({error.strerror})"
        return ""

    def file(self, manifest: Manifest, path: str) -> Path:
        """A finished stage's file, after its digest was checked. Raises ArtifactError."""
        part = next((part for part in manifest.parts if part.path == path), None)
        full = self.stage(manifest.stage) / path
        problem = self._problem(full, part) if part else "the manifest does not name it"
        if problem:
            raise damaged(manifest.stage, full, problem)
        return full

    def commit(self, pending: Pending, manifest: Manifest) -> None:
        """Make the pending folder the finished stage. Complete after a crash at any point."""
        manifest.save(pending.path / MANIFEST)
        self._swap(pending.path, manifest.stage)

    def settle(self) -> None:
        """Finish what a crash interrupted between manifest and rename. Call under the lock."""
        for manifest_path in sorted((self.root / ".pending").glob(f"*/{MANIFEST}")):
            self._swap(manifest_path.parent, Manifest.load(manifest_path).stage)
        for trash in sorted((self.root / ".trash").glob("*")):
            self._discard(trash, trash.name.rpartition("-")[0])

    def _swap(self, folder: Path, stage: str) -> None:
        shutil.rmtree(folder / _RECEIPTS, ignore_errors=True)
        final = self.stage(stage)
        trash = self.root / ".trash" / f"{stage}-{uuid.uuid4().hex[:8]}"
        if final.exists():
            trash.parent.mkdir(exist_ok=True)
            os.rename(final, trash)
        os.rename(folder, final)
        sync_folder(self.root)
        if trash.exists():
            self._discard(trash, stage)

    def _discard(self, trash: Path, stage: str) -> None:
        """Delete a replaced stage, but move files that are not the tool's into the new one."""
        try:
            named = {part.path for part in Manifest.load(trash / MANIFEST).parts} | {MANIFEST}
        except (OSError, ArtifactError):
            named = set()
        final = self.stage(stage)
        if named and final.is_dir():
            for path in sorted(trash.rglob("*")):
                relative = path.relative_to(trash)
                if path.is_file() and str(relative) not in named and not path.name.startswith(".tmp-"):
                    target = final / relative
                    if not target.exists():
                        target.parent.mkdir(parents=True, exist_ok=True)
                        os.rename(path, target)
        shutil.rmtree(trash)

    def leftovers(self, current: dict[str, str]) -> Iterator[Path]:
        """What no manifest names: pending folders of fingerprints other than ``current``
        (stage -> fingerprint), replaced stages, and temporary files."""
        keep = {self.pending(stage, fingerprint).path for stage, fingerprint in current.items()}
        for folder in sorted((self.root / ".pending").glob("*")):
            if folder not in keep:
                yield folder
        yield from sorted((self.root / ".trash").glob("*"))
        yield from sorted(self.root.rglob(".tmp-*"))


def damaged(stage: str, path: Path, problem: str) -> ArtifactError:
    """The error for a file of a finished stage that cannot be trusted."""
    return ArtifactError(problem, where=str(path), hint=f"Rebuild it with: negmine {stage} --repair -c CONFIG")
