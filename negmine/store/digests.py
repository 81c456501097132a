"""Digests of files, remembered by size and times so that unchanged files are read once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from negmine.store.files import write_json

# A file may change again within the resolution of its times; so young a file is hashed anew.
_SETTLED_NS = 50_000_000


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class DigestCache:
    """File digests keyed by path, trusted while size, inode and both times stay the same.

    ``memory`` is the JSON file that keeps them between processes. It only saves time: when it
    is missing or damaged everything is hashed again. ``thorough`` ignores what is remembered.
    """

    def __init__(self, memory: Path | None = None, *, thorough: bool = False) -> None:
        self._memory = memory
        self._thorough = thorough
        self._known: dict[str, tuple[list[int], str]] = {}
        self._seen: set[str] = set()
        self._changed = False
        if memory is not None:
            self._known = _remembered(memory)

    def digest(self, path: Path) -> str:
        """SHA-256 of the file. Raises OSError when it cannot be read."""
        key = os.fspath(path.absolute())
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(key)
        if known is not None and known[0] == stamp and (not self._thorough or key in self._seen):
            return known[1]
        digest = file_digest(path)
        self._seen.add(key)
        if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS:
            self._known[key] = (stamp, digest)
            self._changed = True
        return digest

    def save(self) -> None:
        """Write what was learnt; a read-only folder is no reason to fail."""
        if self._changed and self._memory is not None and self._memory.parent.parent.is_dir():
            files = {key: [stamp, digest] for key, (stamp, digest) in self._known.items() if Path(key).exists()}
            with contextlib.suppress(OSError):
                write_json(self._memory, {"files": files, "digest": _checksum(files)})
                self._changed = False


def _checksum(files: Any) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _remembered(memory: Path) -> dict[str, tuple[list[int], str]]:
    """What a file of digests holds: nothing when it is damaged, for a wrong digest would accuse a good file."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        record = json.loads(memory.read_bytes())
        if record["digest"] == _checksum(record["files"]):
            return {key: (stamp, digest) for key, (stamp, digest) in record["files"].items()}
    return {}
