"""Which files a config means."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from negmine.config import Config
from negmine.errors import ConfigError
from negmine.readers import collection_files
from negmine.readers.files import Found, check_one_kind, natural, table_files
from negmine.readers.lines import check_file, is_blank
from negmine.remote.fetching import dataset_files, input_files, input_folder, is_glob, named_inside
from negmine.remote.stores import is_url, redacted

_KEYS = ("corpus", "pairs", "queries", "qrels")


@dataclass(frozen=True)
class Files:
    """The user's files by config key, in the order in which they are read; none where a key is not set."""

    corpus: tuple[Path, ...] = ()
    pairs: tuple[Path, ...] = ()
    queries: tuple[Path, ...] = ()
    qrels: tuple[Path, ...] = ()
    negatives: tuple[Path, ...] = ()
    """Negatives beside qrels, where they are kept."""
    pairs_key: str = "data.pairs"

    @classmethod
    def of(cls, config: Config, format_: str = "beir") -> Files:
        """Raises InputError when there are no such files, ConfigError when ``data.split`` chooses nothing."""
        data = config.data
        if data.path is not None:
            with input_folder(config, data.path) as folder:
                found = collection_files(format_, folder, data.split)
            beside = found.negatives if data.negatives == "keep" else ()
            corpus, queries, qrels, negatives = (
                tuple(named_inside(path, folder, data.path) for path in paths)
                for paths in (found.corpus, found.queries, found.qrels, beside)
            )
            return cls(corpus=corpus, queries=queries, qrels=qrels, negatives=negatives)
        given = {name: [_found(config, text, name) for text in _listed(getattr(data, name))] for name in _KEYS}
        by_split = any(found.by_split for several in given.values() for found in several)
        if data.split != "train" and not by_split and data.dataset is None:
            cause = "it applies to nothing here: no data is a dataset that was saved with splits"
            raise ConfigError(cause, where="data.split", hint="Remove it.")
        paths = {name: _once([path for found in several for path in found.paths]) for name, several in given.items()}
        if data.dataset is not None:
            paths["pairs"] = dataset_files(config)
        return cls(**paths, pairs_key="data.pairs" if data.dataset is None else "data.dataset")

    def by_key(self) -> dict[str, Path]:
        """Every file, under the config key that names it; several files of a key are told apart by their names.

        These keys also tell the order of the files: names that are not in order are numbered.
        """
        keys: dict[str, Path] = {}
        for key, paths in self._given():
            labels = [""] if len(paths) == 1 else [f": {name}" for name in _labels(paths)]
            keys |= {key + label: path for label, path in zip(labels, paths, strict=True)}
        return keys

    def check(self) -> None:
        """Raise InputError when one of the files cannot be opened."""
        for key, paths in self._given():
            for path in paths:
                if len(paths) == 1 or not is_blank(path):
                    check_file(path, key)

    def _given(self) -> list[tuple[str, tuple[Path, ...]]]:
        keys = {name: f"data.{name}" for name in (*_KEYS, "negatives")} | {"pairs": self.pairs_key}
        return [(key, getattr(self, name)) for name, key in keys.items()]


def _listed(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value or ()


def _found(config: Config, text: str, name: str) -> Found:
    if not is_url(text):
        return table_files(text, f"data.{name}", config.data.split)
    paths = tuple(sorted(input_files(config, text), key=lambda path: natural(str(path))))
    if is_glob(text):
        check_one_kind(paths, redacted(text), f"data.{name}")
    return Found(paths)


def _once(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Without those that several globs of a list have in common."""
    found: dict[str, Path] = {}
    for path in paths:
        name = str(path)
        found.setdefault(os.fspath(path) if name.endswith("?...") else name, path)  # what is not shown may differ
    return tuple(found.values())


def named(paths: Sequence[Path]) -> str:
    """How a message names the files of a key."""
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else str(*paths)


def _labels(paths: Sequence[Path]) -> list[str]:
    """A name for each of several files: what its path has below the folder that they share."""
    if not paths:
        return []
    parts = [str(path).split("/") for path in paths]
    levels = zip(*(part[:-1] for part in parts), strict=False)
    shared = len(list(itertools.takewhile(lambda level: len(set(level)) == 1, levels)))
    names = ["/".join(part[shared:]) for part in parts]
    if sorted(set(names), key=natural) == names:
        return names
    return [f"{number} {name}" for number, name in enumerate(names, 1)]
