"""The files below one URL of a store: listed, read, sent, and asked for again when the store is busy."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from negmine.errors import NegmineError
from negmine.remote.stores import Store, Tell, is_passing, size_of
from negmine.store.files import replacing

T = TypeVar("T")
Item = TypeVar("Item")

_WAITS = (1.0, 4.0, 15.0)
"""Seconds before a request is made again."""
_AT_ONCE = 8
_TOLD_SECONDS, _TOLD_BYTES = 15.0, 5 * 10**7
"""How long and how much goes on without a word."""
# Stores without folders: to make one there might create a bucket.
WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "hf", "memory"}
# Of these it is known that a file can be created on condition that there is none.
_EXCLUSIVE = {"s3", "s3a", "gs", "gcs", "memory"}
_AGAIN = "What was finished is kept: run the same command again."


class Objects:
    """The files below a URL, by names relative to it. Every method raises InputError when the store refuses."""

    def __init__(self, url: str, tell: Tell) -> None:
        """``tell`` is told of long transfers. Raises MissingDependencyError or ConfigError, as ``Store`` does."""
        self.store = Store(url.rstrip("/"))
        self.name = self.store.name
        self.exclusive = self.store.protocol in _EXCLUSIVE
        self._traffic = _Traffic(self.name, tell)
        self._tell = tell

    def url(self, name: str) -> str:
        """The URL of a file, as it is told."""
        return f"{self.name}/{name}"

    def folders(self, name: str = "") -> list[str]:
        """Names of the folders in a folder; none when it is not there."""
        path = self.store.inside(name) if name else self.store.root
        found = self._asked(lambda: self.store.files.ls(path, detail=True), [])
        return sorted(str(row["name"]).rstrip("/").rpartition("/")[2] for row in found if row["type"] == "directory")

    def sizes(self, folder: str) -> dict[str, int | None]:
        """Every file below a folder with its size, by names relative to that; none when it is not there."""
        path = self.store.inside(folder)
        found = self._asked(lambda: self.store.files.find(path, detail=True), {})
        return {_below(name, path): row.get("size") for name, row in found.items()}

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """The content of those files that are there."""
        found = self.each(self._content, names)
        return {name: content for name, content in zip(names, found, strict=True) if content is not None}

    def write(self, name: str, content: bytes) -> None:
        path = self._parent(name)
        self._patiently(lambda: self.store.files.pipe_file(path, content))

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there yet; whether it is this content that is there now.

        When several try at once, one of them succeeds, if ``exclusive``; else the last one may.
        """
        path = self._parent(name)
        with self.store.reaching("there is no such bucket or folder"):
            try:
                self.store.files.pipe_file(path, content, mode="create")
            except Exception as error:  # what a refusal is called differs from store to store
                found = self._content(name)
                if found is None:
                    raise error
                return found == content
        return True

    def send(self, source: Path, name: str) -> None:
        """Copy a local file there."""
        path = self._parent(name)

        def put() -> None:
            with self._traffic.of("sent") as callback:
                self.store.files.put_file(str(source), path, callback=callback)

        self._patiently(put)

    def fetch(self, name: str, target: Path, accept: Callable[[Path], str]) -> str:
        """Copy a file here, if ``accept`` has nothing against it; else what that has, and nothing is left here."""

        def get() -> str:
            with contextlib.suppress(_RefusedError), replacing(target) as temporary:
                with self._traffic.of("fetched") as callback:
                    self.store.files.get_file(self.store.inside(name), str(temporary), callback=callback)
                why = accept(temporary)
                if why:
                    raise _RefusedError(why)
                return ""
            return why

        why: str = self._asked(get, "it is missing")
        return why

    def digest(self, name: str) -> str:
        """SHA-256 of a file there; '' when it is missing."""

        def read() -> str:
            with self.store.files.open(self.store.inside(name), "rb") as file, self._traffic.of("read") as callback:
                digest = hashlib.sha256()
                while block := file.read(1 << 22):
                    digest.update(block)
                    callback.relative_update(len(block))
                return digest.hexdigest()

        found: str = self._asked(read, "")
        return found

    def copy(self, names: Iterable[tuple[str, str]], scratch: Path) -> None:
        """Copy files from one name to another there; by way of the folder ``scratch`` where a store cannot."""

        def copied(pair: tuple[str, str]) -> None:
            self._copy_file(*pair, scratch)

        self.each(copied, list(names))

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; one that is not there is none the worse."""

        def gone(name: str) -> None:
            self._asked(lambda: self.store.files.rm_file(self.store.inside(name)), None)

        self.each(gone, list(names))

    def each(self, do: Callable[[Item], T], items: Sequence[Item]) -> list[T]:
        """``do`` for all items, several at once. Raises what one of them raised first."""
        if len(items) < 2:
            return [do(item) for item in items]
        with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
            futures = [pool.submit(do, item) for item in items]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _copy_file(self, source: str, target: str, scratch: Path) -> None:
        path = self._parent(target)
        try:
            self._patiently(lambda: self.store.files.cp_file(self.store.inside(source), path), NotImplementedError)
        except NotImplementedError:
            here = scratch / f"copy-{hashlib.sha256(source.encode()).hexdigest()[:16]}"
            self.fetch(source, here, lambda path: "")
            self.send(here, target)
            here.unlink()

    def _content(self, name: str) -> bytes | None:
        found: bytes | None = self._asked(lambda: self.store.files.cat_file(self.store.inside(name)), None)
        return found

    def _parent(self, name: str) -> str:
        """What the store calls a file, whose folder is made where the store has folders."""
        path = self.store.inside(name)
        if self.store.protocol not in WITHOUT_FOLDERS:
            self._patiently(lambda: self.store.files.makedirs(path.rpartition("/")[0], exist_ok=True))
        return path

    def _asked(self, do: Callable[[], Any], absent: Any) -> Any:
        """What the store answers; ``absent`` when there is no such file or folder."""
        try:
            return self._patiently(do, FileNotFoundError)
        except FileNotFoundError:
            return absent

    def _patiently(self, do: Callable[[], T], *own: type[Exception]) -> T:
        """Do it again, some time later, when it fails for a reason that may pass. ``own`` are raised as they are."""
        for wait in (*_WAITS, None):
            try:
                self.store.files.invalidate_cache()
                return do()
            except Exception as error:
                if isinstance(error, (NegmineError, *own)):
                    raise
                if wait is None or not is_passing(error):
                    with self.store.reaching("there is no such bucket or folder", _AGAIN):
                        raise
                self._tell(f"{self.name} does not answer, trying again in {wait:.0f} s")
            time.sleep(wait)
        raise AssertionError("the last try returns or raises")


class _RefusedError(NegmineError):
    """What arrived is not what was asked for."""


class _Traffic:
    """Counts the bytes of a direction; tells them when it takes long."""

    def __init__(self, name: str, tell: Tell) -> None:
        self._name, self._tell = name, tell
        self._bytes: dict[str, int] = {}
        self._told, self._untold = time.monotonic(), 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def of(self, verb: str) -> Iterator[Any]:
        """A callback for fsspec, for one file."""
        from fsspec.callbacks import Callback

        traffic = self

        class Counting(Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                traffic._add(verb, inc)

        yield Counting()

    def _add(self, verb: str, count: int) -> None:
        with self._lock:
            self._bytes[verb] = self._bytes.get(verb, 0) + count
            self._untold += count
            if self._untold < _TOLD_BYTES or time.monotonic() - self._told < _TOLD_SECONDS:
                return
            self._told, self._untold = time.monotonic(), 0
            text = ", ".join(f"{each} {size_of(count)}" for each, count in self._bytes.items())
        self._tell(f"{self._name}: {text} so far")


def _below(name: str, folder: str) -> str:
    """A name of the store relative to a folder of it; some begin all names with a slash."""
    return name.lstrip("/")[len(folder.lstrip("/")) :].lstrip("/")
