"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from negmine.errors import ArtifactError, NegmineError

_PROBE = 65_536
# Processes on two machines may have the same number.
_PROCESS = uuid.uuid4().hex[:8]


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; when the block succeeds it becomes ``path``.

    A failure inside the block leaves ``path`` as it was and removes the temporary file. When the
    reason is that the file system takes no more, the OSError says so and names ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{_PROCESS}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        refusal = _refusal(temporary) if isinstance(error, Exception) and not isinstance(error, NegmineError) else None
        with contextlib.suppress(OSError):
            temporary.unlink()
        if refusal is not None:
            raise OSError(refusal.errno, refusal.strerror, str(path)) from error
        raise
    sync_folder(path.parent)


def _refusal(temporary: Path) -> OSError | None:
    """Why a file cannot grow. Libraries lose the reason: numpy says how many bytes were
    written, faiss raises RuntimeError, and Arrow does not name the file."""
    try:
        with temporary.open("ab", buffering=0) as file:
            if file.write(bytes(_PROBE)) < _PROBE:
                file.write(b"\0")
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None


def link_or_copy(source: Path, target: Path) -> None:
    """Have a file that is never written to again in a second place, in place of what is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def write_json(path: Path, value: Any) -> None:
    """Publish ``value`` as indented JSON with sorted keys."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """The value in a JSON file of a run. Raises ArtifactError when it does not parse."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ArtifactError(f"this file is damaged ({error})", where=str(path)) from error
