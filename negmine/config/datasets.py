"""Config of a dataset that the `datasets` library loads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from negmine.config.values import PathText, Problem, Section, Text

_SPLIT = re.compile(r"\w+(\.\w+)*")
_PATTERN = re.compile(r"[*?\[]")
_FILES = re.compile(r".*\.(jsonl|ndjson|json|csv|tsv|parquet|arrow|feather|gz|zst)", re.IGNORECASE)


class DatasetConfig(Section):
    """A dataset that the `datasets` library loads; its rows are read like those of `data.pairs`."""

    example: ClassVar[str] = "{name: owner/name}"

    name: PathText = Field(description="Its name on the hub (`owner/name`), or a local folder that it is loaded from.")
    config: Text | None = Field(default=None, description="Which of its configurations (subsets).")
    revision: Text | None = Field(default=None, description="Branch, tag or commit of a dataset of the hub.")

    def problems(self) -> Iterator[Problem]:
        if "://" in self.name:
            yield Problem(("name",), "is the name of a dataset, not a URL", "Set data.pairs to URLs of files.")
        elif self.revision is not None and self.name.startswith("/"):
            yield Problem(("revision",), "applies only to a dataset of the hub, and data.dataset.name is a folder")


def split_problems(split: str, dataset: DatasetConfig | None, values: Sequence[object]) -> Iterator[Problem]:
    """The rules about `data.split` that do not hold where `data.path` is not set.

    ``values`` are those of the keys that name files.
    """
    if not _SPLIT.fullmatch(split):
        yield Problem(("split",), f"expected the name of a split, found {split!r}", "A part of one cannot be chosen.")
    elif dataset is None and split != "train" and not any(map(_may_be_folder, values)):
        yield Problem(
            ("split",),
            "applies only to a BEIR folder, data.dataset, or a folder that a dataset with splits was saved to",
        )


def _may_be_folder(value: object) -> bool:
    """Whether one of the paths of a key is none of a file, a glob or a URL."""
    paths = (value,) if isinstance(value, str) else value
    if not isinstance(paths, tuple):
        return False
    return any(not (_FILES.fullmatch(path) or _PATTERN.search(path) or "://" in path) for path in paths)
