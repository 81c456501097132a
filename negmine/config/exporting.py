"""Config of the training files to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from negmine.config.values import Problem, Section, Text, worded

EXPORT_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
RUN_SUFFIXES = (".trec", ".run", ".txt")
RESERVED_FILES = ("README.md", "provenance.parquet", "manifest.json", "split.parquet", "scores.png")
TRAIN, DEV = "train", "dev"
SPLIT = "{split}"


@dataclass(frozen=True)
class Layout:
    """What an export format can be asked for.

    ``endings`` are those of its file, or of the tables in its folder, of which ``*`` stands for the names;
    a folder without any has files of given names. ``one_positive`` and ``negatives`` are what the keys are when
    they are not set, None where they do not apply; ``negatives`` may be ``all``, or ``num`` for filter.num_negatives.
    """

    endings: tuple[str, ...] = EXPORT_SUFFIXES
    folder: bool = False
    shards: bool = True
    scores: Literal["may", "always", "never"] = "may"
    negatives: Literal["all", "num", 1] | None = None
    one_positive: bool | None = None
    own_keys: tuple[str, ...] = ()


LAYOUTS: dict[str, Layout] = {
    "triplet": Layout(),
    "n-tuple": Layout(negatives="num"),
    "labeled-pair": Layout(),
    "labeled-list": Layout(negatives="all", one_positive=True),
    "margin-mse": Layout(scores="always", negatives=1),
    "ids": Layout(folder=True, scores="always", negatives="all"),
    "flagembedding": Layout((".jsonl",), negatives="all", one_positive=False, own_keys=("prompt", "type")),
    "tevatron": Layout(negatives="all", one_positive=False),
    "tevatron-ids": Layout(folder=True, scores="never", negatives="all", one_positive=False),
    "nemo": Layout((), folder=True, shards=False, scores="never"),
    "beir": Layout((), folder=True, shards=False, scores="never"),
    "ms-swift": Layout((".jsonl",), scores="never", negatives="all", one_positive=True, own_keys=("passage_role",)),
    "trec-run": Layout(RUN_SUFFIXES, shards=False, scores="always"),
}

Format = Literal[
    "triplet",
    "n-tuple",
    "labeled-pair",
    "labeled-list",
    "margin-mse",
    "ids",
    "flagembedding",
    "tevatron",
    "tevatron-ids",
    "nemo",
    "beir",
    "ms-swift",
    "trec-run",
]


def _export_file(name: str) -> str:
    """``name`` when it is a place inside the export folder that is no one else's."""
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or "\\" in name or not name.isprintable():
        raise worded(f"expected a file name inside the export folder, found {name!r}")
    if ".." in parts:
        raise worded(f"{name!r} leads out of the export folder")
    if any(not part or part.startswith(".") for part in parts):
        raise worded(f"no part of a file name may be empty or begin with a dot, found {name!r}")
    if name.lower() in [reserved.lower() for reserved in RESERVED_FILES]:
        raise worded(f"{name!r} is a file that negmine writes itself")
    return name


class ExportConfig(Section):
    """One training set to write: a file, or a folder where the format has several files."""

    format: Format = Field(
        description="Layout of the rows, named as the tool that reads it names it (docs/exports.md)."
    )
    file: Annotated[str, AfterValidator(_export_file)] = Field(
        description="File name in the export folder; how it is written follows from its ending: .jsonl,"
        " .jsonl.gz, .jsonl.zst or .parquet; .trec, .run or .txt of a run. `ids`, `tevatron-ids`, `nemo` and `beir`"
        " are folders: `beir/`; `ids/*.parquet` says how the tables in it are written. `{split}` stands for"
        " `train` and `dev` where queries are held out.",
        json_schema_extra={
            "pattern": r"^[^./\\][^\\]*\.(jsonl|jsonl\.gz|jsonl\.zst|parquet|trec|run|txt)$|^[^./\\][^.\\]*$",
            "examples": ["train.jsonl", "train.parquet", "beir/"],
        },
    )
    scores: bool = Field(
        default=False,
        description="Write the scores next to the texts. `margin-mse`, `ids` and `trec-run` always have them; not for"
        " `tevatron-ids`, `nemo`, `beir` and `ms-swift`.",
    )
    shard_rows: int | None = Field(default=None, ge=1, description="Split the file after so many rows.")
    negatives_per_row: int | None = Field(
        default=None,
        ge=1,
        description="Write several rows with so many negatives each; a rest that does not fill a row is left out and"
        " counted. `null`: `filter.num_negatives` for `n-tuple`, 1 for `margin-mse`, else all in one row.",
    )
    one_positive_per_row: bool | None = Field(
        default=None,
        description="A row per positive (`true`), or a row per query with all its positives (`false`). `null`: `true`"
        " for `labeled-list` and `ms-swift`, `false` for `flagembedding`, `tevatron` and `tevatron-ids`.",
    )
    prompt: Text | None = Field(
        default=None,
        description="`flagembedding`: written as `prompt` into every row, where it takes the place of the trainer's"
        " own instruction for queries.",
    )
    type: Literal["normal", "only_1neg", "symmetric_class", "symmetric_clustering", "symmetric_sts"] | None = Field(
        default=None,
        description="`flagembedding`: written as `type` into every row, by which its trainer chooses the size of groups"
        " and batches.",
    )
    passage_role: Literal["user", "assistant"] | None = Field(
        default=None,
        description="`ms-swift`: who says the passages: `user` to train an embedding model (the default), `assistant`"
        " for a reranker.",
    )

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.format]

    @property
    def folder(self) -> str:
        """The folder of a format that has one, without a slash at its end."""
        return self._pattern.rpartition("/")[0]

    @property
    def ending(self) -> str:
        """How the tables in the folder are written."""
        return self._pattern.rpartition("*")[2]

    @property
    def _pattern(self) -> str:
        return self.file if "*" in self.file else f"{self.file.removesuffix('/')}/*.jsonl"

    def negatives_in_row(self, num_negatives: int) -> int | None:
        """How many negatives each row has; None: all there are."""
        if self.negatives_per_row is not None:
            return self.negatives_per_row
        usual = self.layout.negatives
        return num_negatives if usual == "num" else usual if usual == 1 else None

    def one_positive(self) -> bool:
        """Whether each row has one positive, where there is a choice."""
        return bool(self.layout.one_positive if self.one_positive_per_row is None else self.one_positive_per_row)

    def claims(self, *, split: bool) -> list[str]:
        """Every file it writes before it is cut into shards, or its folder."""
        if self.layout.folder:
            return [self.folder]
        return [split_file(self.file, name) for name in ((TRAIN, DEV) if split else (None,))]

    def problems(self) -> Iterator[Problem]:
        yield from self._file_problems()
        yield from self._key_problems()

    def _file_problems(self) -> Iterator[Problem]:
        layout, file = self.layout, self.file
        key, name = ("file",), self.file.rpartition("/")[2]
        if layout.folder and layout.endings and "*" in file:
            before, _, ending = name.partition("*")
            if before or ending not in layout.endings or not self.folder or "*" in self.folder:
                listed = ", ".join(layout.endings)
                yield Problem(key, f"expected a folder, or folder/* and one of {listed}, found {file!r}")
        elif layout.folder:
            if "." in name or "*" in file:
                example = f"Write {self.format}/."
                yield Problem(key, f"{self.format} is a folder of several files, found {file!r}", example)
        elif file.endswith("/"):
            yield Problem(key, f"{self.format} is one file, and {file!r} is a folder")
        elif "*" in file:
            yield Problem(key, f"{self.format} is one file, and '*' stands for the names of several in {file!r}")
        elif not name.endswith(layout.endings) or name in layout.endings:
            kinds = ", ".join(layout.endings)
            many = f"one of {kinds}" if len(layout.endings) > 1 else kinds
            of = "" if layout.endings == EXPORT_SUFFIXES else f" of {self.format}"
            yield Problem(key, f"a file name{of} ends with {many}, found {file!r}")
        if layout.folder and SPLIT in file:
            yield Problem(key, f"{self.format} has files for each split in one folder", f"Leave {SPLIT} out.")

    def _key_problems(self) -> Iterator[Problem]:
        layout = self.layout
        if self.scores and layout.scores == "never":
            yield Problem(("scores",), f"{self.format} has no place for scores", "Remove it.")
        if layout.scores == "always" and "scores" in self.model_fields_set and not self.scores:
            yield Problem(("scores",), f"{self.format} is made of scores", "Remove it.")
        for name in _SOME_KEYS:
            if getattr(self, name) is not None and not _takes(layout, name):
                takers = ", ".join(each for each, other in LAYOUTS.items() if _takes(other, name))
                yield Problem((name,), f"{self.format} has no use for it; it is for {takers}", "Remove it.")


_SOME_KEYS = ("shard_rows", "negatives_per_row", "one_positive_per_row", "prompt", "type", "passage_role")


def _takes(layout: Layout, key: str) -> bool:
    """Whether a format has a use for a key that not all have a use for."""
    own = {
        "shard_rows": layout.shards,
        "negatives_per_row": layout.negatives is not None,
        "one_positive_per_row": layout.one_positive is not None,
    }
    return own.get(key, key in layout.own_keys)


def split_file(file: str, split: str | None) -> str:
    """The name of the file of one split: ``{split}`` filled in, else ``.dev`` put before the ending of the dev one."""
    if SPLIT in file:
        return file.replace(SPLIT, split or TRAIN)
    if split != DEV:
        return file
    folder, slash, name = file.rpartition("/")
    ending = next((each for each in (*EXPORT_SUFFIXES, *RUN_SUFFIXES) if name.endswith(each)), "")
    return f"{folder}{slash}{name.removesuffix(ending)}.{split}{ending}"


def export_problems(exports: Sequence[ExportConfig], num_negatives: int, *, split: bool) -> Iterator[Problem]:
    """The rules between the exports, and with other sections, that do not hold."""
    claimed: dict[str, int] = {}
    for number, export in enumerate(exports):
        key = f"export.{number}.file"
        if SPLIT in export.file and not split:
            yield Problem((key,), "{split} has nothing to stand for", "Set split: {dev: 0.05}, or leave it out.")
        if (export.negatives_per_row or 0) > num_negatives:
            yield Problem(
                (f"export.{number}.negatives_per_row", "filter.num_negatives"),
                f"no row would have {export.negatives_per_row} negatives: a query has {num_negatives}"
                " (filter.num_negatives)",
            )
        for name in export.claims(split=split):
            other = next((each for each in claimed if _overlap(each, name.casefold())), None)
            if other is not None and claimed[other] != number:
                first = f"export.{claimed[other]}"
                same = other == name.casefold()
                what = "is also the file of" if same else "is in the same folder as"
                text = f"{name!r} {what} {first}"
                yield Problem((key,), text)
                break
        for name in export.claims(split=split):
            claimed.setdefault(name.casefold(), number)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


class SplitConfig(Section):
    """Queries held out of training."""

    example: ClassVar[str] = "{dev: 0.05}"

    dev: float = Field(
        gt=0,
        le=0.5,
        description="Share of the queries that every training file is also written for apart, to test on. Queries that"
        " share a positive or a text, directly or through others, stay on one side.",
    )
