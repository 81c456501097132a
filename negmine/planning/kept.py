"""Measurements of this machine, kept in the user's cache folder from one command to the next."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from negmine.remote.opening import cache_folder
from negmine.store.files import write_json
from negmine.store.manifest import digest_of

_LIBRARIES = ("negmine", "numpy", "pyarrow", "faiss-cpu", "sentence-transformers", "transformers", "torch")

Measured = dict[str, float]
"""Numbers by name, all finite and none negative."""


def this_machine() -> dict[str, Any]:
    """What speed depends on here: the machine by name and processor, the cores it gives, the libraries."""
    return {
        "node": platform.node(),
        "processor": _processor(),
        "cores": cores(),
        "python": platform.python_version(),
        "libraries": dict(_versions()),
    }


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> Iterator[tuple[str, str]]:
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield name, importlib.metadata.version(name)


def kept(kind: str, key: Mapping[str, Any], measure: Callable[[], Measured], *, again: bool = False) -> Measured:
    """What ``measure`` found under ``key`` on this machine, now or in an earlier command.

    It is measured when nothing is kept, when what is kept is damaged, and when ``again``. A cache
    folder that takes no files is no reason to fail.
    """
    whole = {"kind": kind, "machine": this_machine(), **key}
    folder = cache_folder()
    path = folder / f"{kind}-{digest_of(whole)[:16]}.json" if folder is not None else None
    found = _loaded(path, whole) if path is not None and not again else None
    if found is not None:
        return found
    found = measure()
    if path is not None:
        with contextlib.suppress(OSError):
            write_json(path, {"key": whole, "measured": found, "digest": digest_of(found)})
    return found


def _loaded(path: Path, key: Mapping[str, Any]) -> Measured | None:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        record = json.loads(path.read_bytes())
        found = record["measured"]
        sound = all(isinstance(name, str) and math.isfinite(value) and value >= 0 for name, value in found.items())
        if sound and record["key"] == key and record["digest"] == digest_of(found):
            return {name: float(value) for name, value in found.items()}
    return None
