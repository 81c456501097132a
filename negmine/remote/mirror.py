"""A run whose work_dir is a URL, worked on in a folder of this machine.

The folder holds the manifests that the store has, and of their files those that this machine made or needed. It
is never believed: a file is used when its digest is the one in the manifest, else it is fetched.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from negmine.errors import ArtifactError, ConfigError, InputError, LockedError
from negmine.remote.held import HeldLock, holding
from negmine.remote.objects import Objects
from negmine.remote.shelf import PENDING, RemoteFolder, Shelf, stage_of
from negmine.remote.stores import Fetched, Tell, size_of, without_password
from negmine.store.files import read_json, replacing, write_json
from negmine.store.lock import writing
from negmine.store.manifest import Manifest, Part, Receipt
from negmine.store.workdir import MANIFEST, Pending, WorkDir, damaged, problem

_MARK = ".mirror.json"
_MUCH = 10**7
"""Bytes whose transfer is told."""


@dataclass(frozen=True)
class _SharedPending(Pending):
    """A stage under construction that another machine may have begun."""

    shelf: Shelf

    def receipts(self) -> dict[str, Receipt]:
        """Also those whose files are on the store with their sizes; ``WorkDir.resume`` fetches these."""
        found = super().receipts()
        missing = {task: receipt for task, receipt in self.there().items() if task not in found}
        sizes = self.shelf.sizes(self.path.name) if missing else {}
        for task, receipt in missing.items():
            if all(sizes.get(part.path) == part.bytes for part in receipt.parts):
                found[task] = receipt
        return found

    def here(self) -> dict[str, Receipt]:
        """Receipts whose files are on this machine."""
        return super().receipts()

    def there(self) -> dict[str, Receipt]:
        """Receipts that are on the store."""
        return self.shelf.receipts(self.path.name)

    def drop(self) -> None:
        super().drop()
        self.shelf.drop(self.path.name)


class MirroredWorkDir(WorkDir):
    """``root`` is the folder of this machine for the run at ``url``."""

    def __init__(self, root: Path, url: str, *, verify: bool, fetch: bool, tell: Tell) -> None:
        """Raises InputError when the bucket is not there, ConfigError when ``root`` belongs to something else."""
        super().__init__(root, verify=verify)
        objects = Objects(url, tell)
        objects.store.check_bucket()
        self.name, self._shelf = objects.name, Shelf(objects, root / ".cache")
        self._tell, self._verify, self._fetches = tell, verify, fetch
        self._claim(without_password(url.rstrip("/")))
        self._lock: HeldLock | None = None
        self._is_fresh = False
        self._sent: set[tuple[str, str, str]] = set()
        """Pending folder, path and digest of the files that were seen on the store."""
        self._announced: set[str] = set()

    def shown(self, stage: str, path: str) -> Path:
        return Fetched.of(self.stage(stage) / path, self._shelf.objects.url(f"{stage}/{path}"))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        try:
            with writing(self.root), holding(self._shelf.objects) as self._lock:
                self._is_fresh = False  # what was seen before the lock was held may be old
                yield
        except LockedError as error:
            raise LockedError(error.cause, where=self.name, hint=error.hint) from error
        finally:
            self._lock = None

    def manifest(self, stage: str) -> Manifest | None:
        if not self._is_fresh:
            self._refresh()
        try:
            return super().manifest(stage)
        except ArtifactError as error:
            raise ArtifactError(error.cause, where=str(self.shown(stage, MANIFEST))) from error

    def damage(self, manifest: Manifest) -> list[tuple[Part, str]]:
        """By what the store tells of the files: their content is looked at when they are fetched, or all is read."""
        return self._shelf.damage(manifest, thorough=self._verify)

    def file(self, manifest: Manifest, path: str) -> Path:
        self._need(manifest, [part for part in manifest.parts if part.path == path])
        return super().file(manifest, path)

    def files(self, manifest: Manifest, prefix: str = "") -> list[Path]:
        self._need(manifest, [part for part in manifest.parts if part.path.startswith(prefix)])
        return super().files(manifest, prefix)

    def read_beside(self, name: str) -> bytes | None:
        return self._shelf.objects.read([name]).get(name)

    def write_beside(self, name: str, content: bytes) -> None:
        assert self._lock is not None
        self._lock.check()
        self._shelf.objects.write(name, content)

    def pending(self, stage: str, fingerprint: str) -> Pending:
        local = super().pending(stage, fingerprint)
        return _SharedPending(local.path, local.digests, self._shelf)

    def resume(self, pending: Pending) -> None:
        """Fetch what is finished and not here, send what is not there. What is damaged there is done again."""
        assert isinstance(pending, _SharedPending)
        folder = pending.path.name
        here, there = pending.here(), pending.there()
        missing = [receipt for task, receipt in there.items() if task not in here]
        self._announce(f"what is finished of {stage_of(folder)}", [part for each in missing for part in each.parts])

        def fetch(receipt: Receipt) -> None:
            if self._shelf.fetch_pending(folder, receipt, pending.path):
                pending.keep(receipt)

        self._shelf.objects.each(fetch, missing)
        here = pending.here()
        self._shelf.forget(folder, [pending.receipt_name(task) for task in there if task not in here])
        for task, receipt in here.items():
            if task in there and there[task].parts == receipt.parts:
                self._sent |= {(folder, part.path, part.digest) for part in receipt.parts}
            else:
                self.share(pending, receipt)

    def share(self, pending: Pending, receipt: Receipt) -> None:
        """Have what a task made on the store too, the receipt last."""
        self._send(pending, receipt.parts)
        self._shelf.send(pending.path.name, pending.path, [pending.receipt_name(receipt.task)])

    def commit(self, pending: Pending, manifest: Manifest) -> None:
        """Commit on the store first: it decides."""
        assert self._lock is not None
        folder = pending.path.name
        sizes = self._shelf.sizes(folder)
        self._sent = {each for each in self._sent if each[0] == folder and each[1] in sizes}
        self._send(pending, manifest.parts)
        draft = self.root / ".cache" / f"{manifest.stage}.{MANIFEST}"
        manifest.save(draft)
        self._lock.check()
        self._shelf.commit(folder, manifest, draft.read_bytes())
        with self._alone():
            super().commit(pending, manifest)
        draft.unlink()

    def settle(self) -> None:
        super().settle()
        self._shelf.settle()
        self._refresh()
        for path in sorted((self.root / PENDING).glob("*")):
            manifest = None
            with contextlib.suppress(ArtifactError):
                manifest = super().manifest(stage_of(path.name))
            if manifest is not None and path == super().pending(manifest.stage, manifest.fingerprint).path:
                self._take_over(path, manifest)

    def leftovers(self, current: dict[str, str]) -> Iterator[Path | RemoteFolder]:
        yield from super().leftovers(current)
        keep = {self.pending(stage, fingerprint).path.name for stage, fingerprint in current.items()}
        yield from self._shelf.leftovers(keep)

    def remove(self, leftover: Path | RemoteFolder) -> None:
        if isinstance(leftover, RemoteFolder):
            self._shelf.drop(leftover.name)
        else:
            super().remove(leftover)

    def bring(self, stages: Iterable[str]) -> None:
        for stage in stages:
            with contextlib.suppress(ArtifactError):  # who reads it says so
                manifest = self.manifest(stage)
                if manifest is not None:
                    self.files(manifest)

    def _claim(self, url: str) -> None:
        """Make the folder, and mark whose it is: what the store does not have is deleted in it."""
        mark = self.root / _MARK
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if not mark.exists() and not any(self.root.iterdir()):
                write_json(mark, {"url": url})
            if mark.exists() and read_json(mark).get("url") == url:
                return
        except OSError as error:
            raise InputError(
                f"the local folder of this run cannot be written to ({error.strerror})",
                where=str(self.root),
                hint="Set engine.scratch, or NEGMINE_CACHE_DIR.",
            ) from error
        raise ConfigError(
            "this folder is for the local copy of a run, and holds something else",
            where=str(self.root),
            hint="Delete it, or set engine.scratch to another folder.",
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Commands on this machine change the manifests here one after the other."""
        with (self.root / _MARK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _refresh(self) -> None:
        """Have the manifests that the store has, and no others."""
        with self._alone():
            manifests = self._shelf.manifests()
            for folder in self.root.iterdir():
                if folder.is_dir() and not folder.name.startswith(".") and folder.name not in manifests:
                    shutil.rmtree(folder)
            for stage, content in manifests.items():
                self._adopt(stage, content)
        self._is_fresh = True

    def _adopt(self, stage: str, content: bytes) -> None:
        path = self.stage(stage) / MANIFEST
        with contextlib.suppress(OSError):
            if path.read_bytes() == content:
                return
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        manifest = self._shelf.parsed(f"{stage}/{MANIFEST}", content)
        named = {part.path for part in manifest.parts} if manifest else set()
        for file in list(path.parent.rglob("*")):
            if file != path and not file.is_dir() and file.relative_to(path.parent).as_posix() not in named:
                file.unlink(missing_ok=True)

    def _take_over(self, pending: Path, manifest: Manifest) -> None:
        """Move the files of a stage that was committed on the store and, by a crash, not here."""
        for part in manifest.parts:
            if not problem(pending / part.path, part, self.digests):
                target = self.stage(manifest.stage) / part.path
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(pending / part.path, target)
        shutil.rmtree(pending)

    def _need(self, manifest: Manifest, parts: Sequence[Part]) -> None:
        """Have these files here. Raises ArtifactError when the store has others than the manifest says."""
        folder = self.stage(manifest.stage)
        missing = [part for part in parts if problem(folder / part.path, part, self.digests)]
        if missing and not self._fetches:
            raise ArtifactError("this file is not on this machine", where=str(folder / missing[0].path))
        self._announce(f"files of {manifest.stage}", missing)

        def fetch(part: Part) -> None:
            how = self._shelf.fetch(manifest, part, folder / part.path)
            if how:
                raise damaged(manifest.stage, self.shown(manifest.stage, part.path), how)

        self._shelf.objects.each(fetch, missing)

    def _announce(self, what: str, parts: Sequence[Part]) -> None:
        total = sum(part.bytes for part in parts)
        if total >= _MUCH and what not in self._announced:
            self._announced.add(what)
            self._tell(f"fetching {what} from {self.name} ({len(parts)} files, {size_of(total)})")

    def _send(self, pending: Pending, parts: Iterable[Part]) -> None:
        """Have these files on the store, in the pending folder."""
        folder = pending.path.name
        missing = [part for part in parts if (folder, part.path, part.digest) not in self._sent]
        self._shelf.send(folder, pending.path, [part.path for part in missing])
        self._sent |= {(folder, part.path, part.digest) for part in missing}
