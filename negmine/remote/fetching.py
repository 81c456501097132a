"""Inputs that a config names by URL: local copies, fetched again when the store has another version."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from negmine.config import Config, get
from negmine.errors import ArtifactError, InputError, nearest
from negmine.remote.hub import LoadedDataset
from negmine.remote.stores import Fetched, Store, Tell, is_url, redacted, size_of, stamp, without_password
from negmine.store.files import read_json, replacing, write_json

_FOLDER = "data.path"
_KEYS = (
    _FOLDER,
    "data.pairs",
    "data.corpus",
    "data.queries",
    "data.qrels",
    "data.eval_guard.files",
    "embed.vectors.corpus",
    "embed.vectors.queries",
    "judge.prompts.system",
    "judge.prompts.user",
)
_IN_FOLDER = "Name a file in it, or several by a glob such as *.jsonl."
_SHOWN = 6  # names in a message
_OF_COLLECTION = re.compile(
    r"(([^/]+-)?(corpus|queries)|hard-negatives)\.(jsonl|parquet)(\.gz|\.zst)?"
    r"|([^/]+-)?qrels/[^/]+\.(tsv|jsonl|parquet)"
    r"|(corpus|queries|default|data)/[^/]+\.parquet"
    r"|(collection|queries\.[^/]+|qrels\.[^/]+|msmarco-doc[^/]+)\.tsv(\.gz|\.zst)?"
)


def fetch_inputs(config: Config, tell: Tell = lambda text: None) -> None:
    """Have the local copy of every input that is named by URL or as a dataset, as it is there now.

    ``tell`` is told of every file that is downloaded.
    Raises InputError when one is not there or cannot be had, MissingDependencyError when a package is missing.
    """
    stores = [(key, Store(url)) for key, url in _urls(config)]  # a missing package is told before anything is fetched
    for key, store in stores:
        _Copy(config, store.url).update(store, key, tell)
    if config.data.dataset is not None:
        LoadedDataset(config.data.dataset, _dataset_folder(config)).update(config.data.split, tell)


def input_file(config: Config, text: str) -> Path:
    """The file that a config names by path or URL. Raises InputError for a URL that was not fetched."""
    if not is_url(text):
        return Path(text)
    return input_files(config, text)[0]


def input_files(config: Config, url: str) -> tuple[Path, ...]:
    """The files that a URL names, which may be a glob, by their names. Raises InputError when they were not fetched."""
    copy = _Copy(config, url)
    names = copy.known()
    if not is_glob(url):
        return (Fetched.of(copy.file(next(iter(names))), url),)
    return tuple(Fetched.of(copy.file(name), f"{_above(url)}/{name}") for name in sorted(names))


def dataset_files(config: Config) -> tuple[Path, ...]:
    """The Arrow files of ``data.dataset``. Raises InputError when they were not loaded."""
    assert config.data.dataset is not None
    return LoadedDataset(config.data.dataset, _dataset_folder(config)).paths(config.data.split)


@contextlib.contextmanager
def input_folder(config: Config, text: str) -> Iterator[Path]:
    """The folder that a config names by path or URL; errors raised inside name it as the config does."""
    if not is_url(text):
        yield Path(text)
        return
    copy = _Copy(config, text)
    copy.known()
    try:
        yield copy.files
    except InputError as error:
        raise InputError(error.cause, where=redacted(text), hint=error.hint) from error


def named_inside(path: Path, folder: Path, text: str) -> Path:
    """A file of the folder that ``text`` names, under the name it has there."""
    return Fetched.of(path, f"{text.rstrip('/')}/{path.relative_to(folder)}") if is_url(text) else path


def unused(config: Config) -> list[Path]:
    """Copies of URLs and datasets that the config does not name any more."""
    used = {_Copy(config, url).folder for _, url in _urls(config)}
    if config.data.dataset is not None:
        used.add(_dataset_folder(config))
    return [path for path in sorted(_folder(config).glob("*")) if path not in used]


def _keys(config: Config) -> tuple[str, ...]:
    """Keys that may hold the URL of an input."""
    return (*_KEYS, *(f"mine.retrievers.{number}.run" for number in range(len(config.mine.retrievers))))


def _urls(config: Config) -> list[tuple[str, str]]:
    """The URLs of inputs, each with its key."""
    given = [(key, get(config, key)) for key in _keys(config)]
    listed = [(key, str(text)) for key, value in given for text in (value if isinstance(value, list) else [value])]
    return [(key, text) for key, text in listed if is_url(text)]


def _dataset_folder(config: Config) -> Path:
    dataset = config.data.dataset
    assert dataset is not None
    return _copy_folder(config, f"dataset {dataset.name} {dataset.config} {dataset.revision}")


def _copy_folder(config: Config, name: str) -> Path:
    return _folder(config) / hashlib.sha256(name.encode()).hexdigest()[:16]


def _folder(config: Config) -> Path:
    return Path(config.work_dir) / ".cache" / "inputs"


class _Copy:
    """The local copy of one URL: its files, and a record of the version that each is."""

    def __init__(self, config: Config, url: str) -> None:
        self.url = url
        self.folder = _copy_folder(config, without_password(url))
        self.files = self.folder / "files"
        self._record = self.folder / "versions.json"

    def file(self, name: str) -> Path:
        return self.files / name

    def known(self) -> dict[str, Any]:
        """Version and size of every file. Raises InputError when nothing was fetched."""
        known = self._known()
        if not known:
            raise InputError("this was not fetched yet", where=redacted(self.url), hint="Run: negmine run -c CONFIG")
        return known

    def _known(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ArtifactError, KeyError, TypeError):
            return dict(read_json(self._record)["files"])
        return {}

    def update(self, store: Store, key: str, tell: Tell) -> None:
        """Fetch what the store has in another version; ``key`` of the config names the URL."""
        with store.reaching("there is nothing at this URL", f"Check {key}."):
            find = _collection if key == _FOLDER else _matches if is_glob(store.url) else _single
            there = find(store)
            if self._is(there):
                return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a command that fetches the same is waited for
            if self._is(there):
                return
            known = self._known()
            kept = {name: _version(info) for name, (_, info) in there.items() if self._has(known, name, info)}
            self._remember(store, kept)  # a file that is replaced from here on is none of the version it was
            self._remove_others(set(there))
            for name, (path, info) in there.items():
                if name not in kept:
                    shown = store.name if find is _single else f"{_above(store.name).rstrip('/')}/{name}"
                    tell(f"fetching {shown} ({size_of(info.get('size'))})")
                    self._download(store, name, path, info)
                    kept[name] = _version(info)
                    self._remember(store, kept)

    def _remember(self, store: Store, versions: dict[str, list[Any]]) -> None:
        write_json(self._record, {"url": store.name, "files": versions})

    def _is(self, there: dict[str, tuple[str, Any]]) -> bool:
        known = self._known()
        return set(known) == set(there) and all(self._has(known, name, info) for name, (_, info) in there.items())

    def _has(self, known: dict[str, Any], name: str, info: Any) -> bool:
        """Whether the copy of a file is the version that the store has; never where it does not tell versions apart."""
        if stamp(info) is None or known.get(name) != _version(info):
            return False
        size = info.get("size")
        return self.file(name).is_file() and size in (None, self.file(name).stat().st_size)

    def _download(self, store: Store, name: str, path: str, info: Any) -> None:
        with store.reaching("it was deleted while it was fetched", ""), replacing(self.file(name)) as temporary:
            store.files.get_file(path, str(temporary))
            store.files.invalidate_cache()
            size = info.get("size")
            cut = size is not None and temporary.stat().st_size != size
            if cut or stamp(store.files.info(path)) != stamp(info):
                cause = "it did not arrive whole" if cut else "it changed while it was fetched"
                raise InputError(cause, where=store.name, hint="Run the same command again.")

    def _remove_others(self, names: set[str]) -> None:
        for path in list(self.files.rglob("*")):
            if not path.is_dir() and path.relative_to(self.files).as_posix() not in names:
                path.unlink()


def _version(info: Any) -> list[Any]:
    return [stamp(info), info.get("size")]


def is_glob(url: str) -> bool:
    """Whether a URL names several files; those of the web have no globs."""
    return "*" in url and not url.startswith(("http://", "https://"))


def _above(url: str) -> str:
    """The folder that all matches of a glob are in; a URL without a pattern is that folder."""
    parts = url.split("/")
    return "/".join(itertools.takewhile(lambda part: "*" not in part, parts))


def _matches(store: Store) -> dict[str, tuple[str, Any]]:
    """The files that match a glob, by their paths below the folder that all are in."""
    folder = _above(store.root)
    if store.protocol == "hf":
        folder = store.files.resolve_path(folder).unresolve()  # it tells the paths of matches so
    found = {}
    for path in store.files.glob(store.root):
        name = path.removeprefix(folder).lstrip("/")
        info = store.files.info(path)
        if info.get("type") != "directory" and not PurePosixPath(name).name.startswith((".", "_")):
            found[name] = (path, info)
    if not found:
        names = sorted(PurePosixPath(path).name for path in store.files.ls(folder, detail=False))
        close = nearest(PurePosixPath(store.root).name, names)
        there = f"There are: {', '.join(names[:_SHOWN])}." if names else "The folder is empty."
        raise InputError("no file matches this pattern", where=store.name, hint=close or there)
    return found


def _single(store: Store) -> dict[str, tuple[str, Any]]:
    """The one file that the URL names. Raises InputError when it is a folder."""
    first = store.url.split("::", maxsplit=1)[0]
    path = urlsplit(first).path if store.protocol in ("http", "https") else first
    info = store.files.info(store.root)
    if info.get("type") == "directory":
        raise InputError("this is a folder, and a file is needed", where=store.name, hint=_IN_FOLDER)
    return {PurePosixPath(path).name or "data": (store.root, info)}


def _collection(store: Store) -> dict[str, tuple[str, Any]]:
    """The files of a collection in BEIR layout, by their names in its folder."""
    if store.protocol in ("http", "https"):
        raise InputError(
            "a folder cannot be listed over HTTP",
            where=store.name,
            hint="Set data.corpus, data.queries and data.qrels instead.",
        )
    found = {}
    for path in store.files.find(store.root, maxdepth=2):
        name = path[len(store.root) :].lstrip("/")
        if _OF_COLLECTION.fullmatch(name):
            found[name] = (path, store.files.info(path))
    if not found:
        raise InputError("there is no collection in this folder", where=store.name, hint="Check data.path.")
    return found
