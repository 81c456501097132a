"""A run as a store has it: which files stand for what, and the steps from one state to the next.

It has the layout of a local run. What is finished goes there at once: the files of a task, then its receipt,
into ``.pending/<stage>-<fingerprint>/``; at the end the manifest of the stage, with which it is committed. Then
the files are copied into ``<stage>/``, whose manifest is replaced last. So at any moment one of the two manifests
stands for files that are all there: the one in ``.pending``, if there is one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from negmine.errors import ArtifactError, InputError
from negmine.remote.objects import Objects
from negmine.store.digests import file_digest
from negmine.store.manifest import Manifest, Part, Receipt
from negmine.store.workdir import MANIFEST, RECEIPTS

PENDING = ".pending"


@dataclass(frozen=True)
class RemoteFolder:
    """A folder on the store, with the bytes in it."""

    url: str
    name: str
    bytes: int

    def __str__(self) -> str:
        return self.url


class Shelf:
    """The run below the URL of ``objects``. ``scratch`` is a local folder for copies on the way."""

    def __init__(self, objects: Objects, scratch: Path) -> None:
        self.objects = objects
        self._scratch = scratch

    def manifests(self) -> dict[str, bytes]:
        """The manifest file of every finished stage."""
        folders = [name for name in self.objects.folders() if not name.startswith(".")]
        found = self.objects.read([f"{name}/{MANIFEST}" for name in folders])
        manifests = {name.split("/")[0]: content for name, content in found.items()}
        found = self.objects.read([f"{PENDING}/{name}/{MANIFEST}" for name in self.objects.folders(PENDING)])
        return manifests | {stage_of(name.split("/")[1]): content for name, content in found.items()}

    def receipts(self, folder: str) -> dict[str, Receipt]:
        """The receipts of a pending folder."""
        inside = f"{PENDING}/{folder}/{RECEIPTS}"
        found = {}
        for name, content in self.objects.read([f"{inside}/{each}" for each in self.objects.sizes(inside)]).items():
            with contextlib.suppress(ArtifactError):
                receipt = Receipt.parse(content, self.objects.url(name))
                found[receipt.task] = receipt
        return found

    def sizes(self, folder: str) -> Mapping[str, int | None]:
        """Files of a pending folder with their sizes."""
        return self.objects.sizes(f"{PENDING}/{folder}")

    def send(self, folder: str, source: Path, names: Sequence[str]) -> None:
        """Copy files of a local pending folder there."""
        self.objects.each(lambda name: self.objects.send(source / name, f"{PENDING}/{folder}/{name}"), names)

    def forget(self, folder: str, names: Sequence[str]) -> None:
        """Delete files of a pending folder."""
        self.objects.remove([f"{PENDING}/{folder}/{name}" for name in names])

    def drop(self, folder: str) -> None:
        """Delete a pending folder."""
        self._clear(f"{PENDING}/{folder}")

    def fetch_pending(self, folder: str, receipt: Receipt, target: Path) -> bool:
        """Have the files of a receipt below ``target``; whether all are what it says."""
        whys = [
            self.objects.fetch(f"{PENDING}/{folder}/{part.path}", target / part.path, _check(part))
            for part in receipt.parts
        ]
        return not any(whys)

    def fetch(self, manifest: Manifest, part: Part, target: Path) -> str:
        """Have a file of a finished stage as ``target``; '' or how the one that is there differs."""
        whys = []
        for folder in _folders(manifest):
            whys.append(self.objects.fetch(f"{folder}/{part.path}", target, _check(part)))
            if not whys[-1]:
                return ""
        return next((why for why in whys if why != _MISSING), _MISSING)

    def damage(self, manifest: Manifest, *, thorough: bool) -> list[tuple[Part, str]]:
        """Files of a finished stage that have another size; ``thorough``: or content, for which all are read."""
        there: dict[str, list[tuple[str, int | None]]] = {}
        for folder in _folders(manifest):
            for path, size in self.objects.sizes(folder).items():
                there.setdefault(path, []).append((f"{folder}/{path}", size))
            if all(part.path in there and there[part.path][0][1] == part.bytes for part in manifest.parts):
                break

        def how(part: Part) -> str:
            found = there.get(part.path, [])
            whole = [name for name, size in found if size == part.bytes]
            if not whole:
                return f"it has {found[0][1]} bytes and not {part.bytes}" if found else _MISSING
            return "" if not thorough or self.objects.digest(whole[0]) == part.digest else _CHANGED

        whys = self.objects.each(how, manifest.parts)
        return [(part, why) for part, why in zip(manifest.parts, whys, strict=True) if why]

    def commit(self, folder: str, manifest: Manifest, content: bytes) -> None:
        """Make a pending folder, with all its files, the finished stage; ``content`` is its manifest file."""
        self.objects.write(f"{PENDING}/{folder}/{MANIFEST}", content)
        self._move(folder, manifest, content)

    def settle(self) -> None:
        """Finish what a crash interrupted after the manifest was written. Call under the lock."""
        for folder in self.objects.folders(PENDING):
            name = f"{PENDING}/{folder}/{MANIFEST}"
            for content in self.objects.read([name]).values():
                manifest, sizes = self.parsed(name, content), self.sizes(folder)
                final = f"{manifest.stage}/{MANIFEST}" if manifest else name
                if manifest and self.objects.read([final]).get(final) == content:
                    self._clear(f"{PENDING}/{folder}")
                elif manifest and all(sizes.get(part.path) == part.bytes for part in manifest.parts):
                    self._move(folder, manifest, content)
                else:
                    self.objects.remove([name])  # not committed: the stage goes on from its receipts

    def leftovers(self, keep: set[str]) -> Iterator[RemoteFolder]:
        """Pending folders other than those to ``keep``."""
        for folder in self.objects.folders(PENDING):
            name = f"{PENDING}/{folder}"
            sizes = self.objects.sizes(name) if folder not in keep else {}
            if sizes:  # some stores show folders that are empty
                yield RemoteFolder(self.objects.url(name), folder, sum(size or 0 for size in sizes.values()))

    def parsed(self, name: str, content: bytes) -> Manifest | None:
        """The manifest that a file holds; None when it is damaged."""
        with contextlib.suppress(ArtifactError):
            return Manifest.parse(content, self.objects.url(name))
        return None

    def _move(self, folder: str, manifest: Manifest, content: bytes) -> None:
        """Copy a pending folder to its place. Can be repeated after a crash at any point."""
        stage, source = manifest.stage, f"{PENDING}/{folder}"
        before = _paths(self.objects.read([f"{stage}/{MANIFEST}"]).get(f"{stage}/{MANIFEST}"))
        parts = {part.path: part.bytes for part in manifest.parts}
        self.objects.copy([(f"{source}/{path}", f"{stage}/{path}") for path in parts], self._scratch)
        there = self.objects.sizes(stage)
        wrong = next((path for path, size in parts.items() if there.get(path) != size), None)
        if wrong is not None:
            raise InputError(
                "this file has not the size there that it was sent with",
                where=self.objects.url(f"{stage}/{wrong}"),
                hint="Does something else write to this place? Run the same command again.",
            )
        self.objects.remove([f"{stage}/{path}" for path in sorted(before - set(parts))])
        self.objects.write(f"{stage}/{MANIFEST}", content)
        self._clear(source)

    def _clear(self, folder: str) -> None:
        """Delete a pending folder; its manifest last, for without it nobody knows that the rest is of no use."""
        self.objects.remove([f"{folder}/{name}" for name in self.objects.sizes(folder) if name != MANIFEST])
        self.objects.remove([f"{folder}/{MANIFEST}"])


_MISSING = "it is missing"
_CHANGED = "its content changed after it was written"


def stage_of(folder: str) -> str:
    """The stage that a pending folder is of."""
    return folder.rpartition("-")[0]


def _folders(manifest: Manifest) -> tuple[str, str]:
    """Where the files of a finished stage are; while it is being committed, in the second."""
    return manifest.stage, f"{PENDING}/{manifest.stage}-{manifest.fingerprint[:16]}"


def _check(part: Part) -> Callable[[Path], str]:
    """What says how a fetched file differs from ``part``, '' when it does not."""

    def how(path: Path) -> str:
        size = path.stat().st_size
        if size != part.bytes:
            return f"it has {size} bytes and not {part.bytes}"
        return "" if file_digest(path) == part.digest else _CHANGED

    return how


def _paths(content: bytes | None) -> set[str]:
    """The paths that a manifest names, also one of an older version; none of those that lead elsewhere."""
    try:
        paths = {part["path"] for part in json.loads(content or b"{}")["parts"]}
    except (ValueError, TypeError, KeyError):
        return set()
    return {path for path in paths if isinstance(path, str) and ".." not in path.split("/") and path[:1] != "/"}
