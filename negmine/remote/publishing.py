"""A finished stage's folder copied to a store: whoever finds the manifest there finds all of it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from negmine.errors import InputError
from negmine.remote.objects import WITHOUT_FOLDERS
from negmine.remote.stores import Store, Tell, size_of
from negmine.store.files import replacing
from negmine.store.manifest import Manifest
from negmine.store.workdir import MANIFEST, WorkDir

_NAMES = ".negmine-publishing.json"


@dataclass(frozen=True)
class Published:
    """Where a folder was copied to, how many files of how many bytes it has, and whether anything was to be done."""

    url: str
    files: int
    bytes: int
    state: Literal["current", "done"]


class Destination:
    """The folder (or URL) that a stage is published to.

    A store has no rename, so the manifest stands for the whole: it is deleted first and written last.
    ``.negmine-publishing.json`` lists what may be there meanwhile, so that nothing of an interrupted or
    earlier copy stays among the new files.
    """

    def __init__(self, url: str) -> None:
        """Raises MissingDependencyError or ConfigError, as ``Store`` does."""
        self.store = Store(url)
        if self.store.is_local:
            self.store.files.auto_mkdir = True

    def check(self) -> None:
        """Raises InputError when it is seen now that publishing would fail."""
        self.store.check_bucket()
        self._manifest()

    def publish(self, work: WorkDir, manifest: Manifest, tell: Tell = lambda text: None) -> Published:
        """Copy the files of a finished stage of ``work``. Raises InputError when the store refuses.

        Nothing is copied when the same manifest is there with all its files.
        """
        new = (work.stage(manifest.stage) / MANIFEST).read_bytes()
        done = Published(
            self.store.name, len(manifest.parts) + 1, sum(part.bytes for part in manifest.parts) + len(new), "done"
        )
        found = self._manifest()
        if found == new and not self._missing(manifest):
            self._remove(_NAMES)
            return Published(done.url, done.files, done.bytes, "current")
        tell(f"publishing {done.files} files ({size_of(done.bytes)}) to {done.url}")
        wanted = {part.path for part in manifest.parts}
        before = _paths(found, "parts") | _paths(self._read(_NAMES), "files")
        self._write(_NAMES, json.dumps({"files": [{"path": path} for path in sorted(before | wanted)]}).encode())
        self._remove(MANIFEST)
        for part in sorted(manifest.parts, key=lambda part: part.path == "README.md"):  # the card after the data
            self._copy(work.file(manifest, part.path), part.path)
        for name in sorted(before - wanted):
            self._remove(name)
        missing = self._missing(manifest)
        if missing:
            raise InputError(
                f"{missing[0]} has not the size there that it was sent with",
                where=self.store.name,
                hint="Does something else write to this place? Run the same command again.",
            )
        self._write(MANIFEST, new)
        self._remove(_NAMES)
        return done

    def _manifest(self) -> bytes | None:
        """The manifest that is there. Raises InputError when a file of this name is somebody else's."""
        found = self._read(MANIFEST)
        if found is not None and not (_paths(found, "parts") and json.loads(found).get("stage") == "export"):
            raise InputError(
                "the manifest.json there is none of training files",
                where=self.store.name,
                hint="Publish to another folder, or delete that file.",
            )
        return found

    def _missing(self, manifest: Manifest) -> list[str]:
        """Names of files that are not there with their size."""
        missing = []
        for part in manifest.parts:
            size = None
            with self.store.reaching(), contextlib.suppress(FileNotFoundError):
                size = self.store.files.info(self.store.inside(part.path)).get("size")
            if size != part.bytes:
                missing.append(part.path)
        return missing

    def _read(self, name: str) -> bytes | None:
        with self.store.reaching():
            self.store.files.invalidate_cache()
            try:
                found: bytes = self.store.files.cat_file(self.store.inside(name))
            except FileNotFoundError:
                return None
        return found

    def _parent(self, path: str) -> None:
        """Make the folder of a file, where the store has folders; elsewhere that might create a bucket."""
        if self.store.protocol not in WITHOUT_FOLDERS:
            self.store.files.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _write(self, name: str, content: bytes) -> None:
        path = self.store.inside(name)
        with self.store.reaching("there is no such bucket or folder"):
            self._parent(path)
            if self.store.is_local:
                with replacing(Path(path)) as temporary:
                    temporary.write_bytes(content)
            else:
                self.store.files.pipe_file(path, content)

    def _copy(self, source: Path, name: str) -> None:
        path = self.store.inside(name)
        with self.store.reaching("there is no such bucket or folder"):
            self._parent(path)
            self.store.files.put_file(str(source), path)

    def _remove(self, name: str) -> None:
        path = self.store.inside(name)
        with self.store.reaching(), contextlib.suppress(FileNotFoundError):
            if self.store.files.exists(path):
                self.store.files.rm_file(path)


def _paths(content: bytes | None, key: str) -> set[str]:
    """The paths that a record lists under ``key``; none when it is no such record or leads elsewhere."""
    try:
        record: Any = json.loads(content or b"{}")
        paths = {part["path"] for part in record[key]}
    except (ValueError, TypeError, KeyError):
        return set()
    return {path for path in paths if isinstance(path, str) and ".." not in path.split("/") and path[:1] != "/"}
