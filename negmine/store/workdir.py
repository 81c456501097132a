"""The folder of a run: finished stages, work in progress, and the step from one to the other.

A stage is built in ``.pending/<stage>-<fingerprint>/`` part by part; a receipt per task says
what is done. When all tasks are, ``manifest.json`` is written there and the folder takes the
place of ``<stage>/`` by rename. So ``<stage>/`` is always whole, and whatever was finished
before an interruption is found again under the same fingerprint.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negmine.errors import ArtifactError
from negmine.store.digests import DigestCache
from negmine.store.files import replacing, sync_folder
from negmine.store.lock import writing
from negmine.store.manifest import Manifest, Part, Receipt

MANIFEST = "manifest.json"
RECEIPTS = ".receipts"
_EMPTIED = "emptied"


@dataclass(frozen=True)
class Pending:
    """A stage under construction, for one fingerprint."""

    path: Path
    digests: DigestCache

    def receipts(self) -> dict[str, Receipt]:
        """Receipts whose files are all still what the task published; others are ignored."""
        found = {}
        for file in sorted((self.path / RECEIPTS).glob("*.json")):
            try:
                receipt = Receipt.load(file)
            except (OSError, ArtifactError):
                continue
            if not any(problem(self.path / part.path, part, self.digests) for part in receipt.parts):
                found[receipt.task] = receipt
        return found

    def keep(self, receipt: Receipt) -> None:
        receipt.save(self.path / self.receipt_name(receipt.task))

    @staticmethod
    def receipt_name(task: str) -> str:
        """The path of a receipt in the folder."""
        return f"{RECEIPTS}/{task.replace('/', '~')}.json"

    def drop(self) -> None:
        """Give up what was done: it was made from something else than the fingerprint says."""
        shutil.rmtree(self.path, ignore_errors=True)

    def sweep(self, parts: Sequence[Part]) -> None:
        """Delete what ended tasks and killed processes left here beside ``parts`` and receipts."""
        named = {part.path for part in parts}
        for path in list(self.path.rglob("*")):
            relative = path.relative_to(self.path)
            if relative.parts[0] != RECEIPTS and relative.as_posix() not in named and not path.is_dir():
                path.unlink()


class WorkDir:
    """Paths and state of one run's folder."""

    def __init__(self, root: Path, *, verify: bool = False) -> None:
        self.root = root
        self.digests = DigestCache(root / ".cache" / "digests.json", thorough=verify)
        self._manifests: dict[str, Manifest] = {}

        self.name = str(root)
        """What the run's place is called."""

    def stage(self, name: str) -> Path:
        return self.root / name

    def shown(self, stage: str, path: str) -> Path:
        """A finished stage's file under the name that it is told by."""
        return self.stage(stage) / path

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one that writes to the run. Raises LockedError."""
        with writing(self.root):
            yield

    def manifest(self, stage: str) -> Manifest | None:
        """The manifest of a finished stage, None when there is none.

        Raises ArtifactError when it is damaged, or missing from a folder that has other files:
        a stage's folder appears with its manifest in it.
        """
        folder = self.stage(stage)
        for wait in (0.0, 0.01, 0.1):  # a run may be putting a new folder in place of the old one
            time.sleep(wait)
            try:
                manifest = Manifest.load(folder / MANIFEST)
            except FileNotFoundError:
                if not folder.is_dir() or not any(folder.iterdir()):
                    return None
                continue
            if manifest.stage != stage:
                raise ArtifactError(f"this is the manifest of {manifest.stage}", where=str(folder / MANIFEST))
            return manifest
        raise ArtifactError("it is missing", where=str(folder / MANIFEST))

    def pending(self, stage: str, fingerprint: str) -> Pending:
        return Pending(self.root / ".pending" / f"{stage}-{fingerprint[:16]}", self.digests)

    def damage(self, manifest: Manifest) -> list[tuple[Part, str]]:
        """Files of a finished stage that are not what the manifest says, each with how."""
        found = []
        for part in manifest.parts:
            how = problem(self.stage(manifest.stage) / part.path, part, self.digests)
            if how:
                found.append((part, how))
        return found

    def file(self, manifest: Manifest, path: str) -> Path:
        """A finished stage's file, after its digest was checked. Raises ArtifactError."""
        part = next((part for part in manifest.parts if part.path == path), None)
        full = self.stage(manifest.stage) / path
        how = problem(full, part, self.digests) if part else "the manifest does not name it"
        if how:
            raise damaged(manifest.stage, full, how)
        return full

    def files(self, manifest: Manifest, prefix: str = "") -> list[Path]:
        """The files of a finished stage whose path starts with ``prefix``, in order, as ``file`` gives them."""
        return [WorkDir.file(self, manifest, part.path) for part in manifest.parts if part.path.startswith(prefix)]

    def read_beside(self, name: str) -> bytes | None:
        """The content of a small file beside the stages; None when it is not there."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write_beside(self, name: str, content: bytes) -> None:
        """Publish a small file beside the stages. Call under the lock."""
        with replacing(self.root / name) as temporary:
            temporary.write_bytes(content)

    def resume(self, pending: Pending) -> None:
        """Have what was finished of a stage on this machine."""

    def share(self, pending: Pending, receipt: Receipt) -> None:
        """Have what a task finished where other machines find it."""

    def bring(self, stages: Iterable[str]) -> None:
        """Have all files of finished stages on this machine."""

    def commit(self, pending: Pending, manifest: Manifest) -> None:
        """Make the pending folder the finished stage. Complete after a crash at any point."""
        pending.sweep(manifest.parts)
        manifest.save(pending.path / MANIFEST)
        self._swap(pending.path, manifest.stage)

    def settle(self) -> None:
        """Finish what a crash interrupted between manifest and rename. Call under the lock."""
        for path in sorted((self.root / ".pending").glob(f"*/{MANIFEST}")):
            try:
                manifest = Manifest.load(path)
            except ArtifactError:
                path.unlink()  # not committed: the stage goes on from its receipts
                continue
            if any(problem(path.parent / part.path, part, self.digests) for part in manifest.parts):
                path.unlink()
            else:
                self._swap(path.parent, manifest.stage)
        for trash in sorted((self.root / ".trash").glob("*")):
            self._discard(trash, trash.name.split("-")[0])
        # Beside the stages, lines of JSON are written under the lock alone; a page may be in the making without it.
        for temporary in [*(self.root / ".cache").glob(".tmp-*"), *self.root.glob(".tmp-*.jsonl")]:
            temporary.unlink(missing_ok=True)

    def _swap(self, folder: Path, stage: str) -> None:
        shutil.rmtree(folder / RECEIPTS, ignore_errors=True)
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
        """Delete a replaced stage, but move files that are not the tool's into the new one.

        Without a readable manifest nobody knows which those are: then all of them are moved.
        """
        final = self.stage(stage)
        if stage != _EMPTIED:
            if not final.is_dir():
                return  # there is nowhere to move them yet
            _move_others(trash, final)
            # From here on a file found in it is a remainder of the deletion.
            emptied = trash.with_name(f"{_EMPTIED}-{trash.name}")
            os.rename(trash, emptied)
            trash = emptied
        shutil.rmtree(trash)

    def remove(self, leftover: Any) -> None:
        """Delete one of ``leftovers``."""
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)

    def leftovers(self, current: dict[str, str]) -> Iterator[Any]:
        """What no manifest names: pending folders of fingerprints other than ``current``
        (stage -> fingerprint), replaced stages, and temporary files."""
        keep = {self.pending(stage, fingerprint).path for stage, fingerprint in current.items()}
        for folder in sorted((self.root / ".pending").glob("*")):
            if folder not in keep:
                yield folder
        yield from sorted((self.root / ".trash").glob("*"))
        yield from sorted(self.root.rglob(".tmp-*"))


def problem(path: Path, part: Part, digests: DigestCache) -> str:
    """How a file differs from what was published; '' when it does not."""
    try:
        size = path.stat().st_size
        if size != part.bytes:
            return f"it has {size} bytes and not {part.bytes}"
        if digests.digest(path) != part.digest:
            return "its content changed after it was written"
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return ""


def _move_others(old: Path, new: Path) -> None:
    """Move the files that the manifest of ``old`` does not name, unless ``new`` has their like."""
    named = {MANIFEST}
    with contextlib.suppress(OSError, ArtifactError):
        named |= {part.path for part in Manifest.load(old / MANIFEST).parts}
    for path in sorted(old.rglob("*")):
        relative = path.relative_to(old)
        others = path.is_symlink() or not path.is_dir()
        if others and relative.as_posix() not in named and not path.name.startswith(".tmp-"):
            target = new / relative
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(path, target)


def damaged(stage: str, path: Path, problem: str) -> ArtifactError:
    """The error for a file of a finished stage that cannot be trusted."""
    return ArtifactError(problem, where=str(path), hint=f"Rebuild it with: negmine {stage} --repair -c CONFIG")
