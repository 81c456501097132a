"""The user's files: which layout they have, and the corpus in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from negmine.config import Config
from negmine.config.formats import LABEL_COLUMNS, ColumnsConfig
from negmine.errors import ConfigError, InputError
from negmine.readers import LABEL_FORMATS, LAYOUTS, LabelSettings, Layout, read_corpus
from negmine.readers.bad_rows import BadRows
from negmine.readers.peeking import Look
from negmine.readers.qrels import qrels_width
from negmine.readers.recognise import (
    NAMED_BY_COLUMNS,
    Recognised,
    recognise_collection,
    recognise_folder,
    recognise_labels,
    try_look,
)
from negmine.readers.shards import read_each
from negmine.remote.fetching import input_folder
from negmine.stages.ingest.documents import Documents
from negmine.stages.ingest.files import Files, named


@dataclass(frozen=True)
class Source:
    """The files of a config and their layout; ``why`` says by what it was recognised, '' when the config names it."""

    files: Files
    format: str
    why: str

    @classmethod
    def of(cls, config: Config) -> Source:
        """Raises InputError when files are missing or could have two layouts, ConfigError for what cannot apply."""
        found = _format(config)
        source = cls(Files.of(config, found.format), found.format, found.why)
        source.check(config)
        return source

    @property
    def layout(self) -> Layout:
        """How the corpus and the queries are laid out."""
        return LAYOUTS.get(self.format, Layout())

    @property
    def note(self) -> str | None:
        """What was recognised, for people."""
        return f"data: {self.format} ({self.why})" if self.why else None

    def settings(self, config: Config) -> LabelSettings:
        """What the reader of the labels has to know."""
        return _settings(config)

    def check(self, config: Config) -> None:
        """Raise ConfigError for settings that cannot apply to the layout that was recognised."""
        if not self.why:
            return  # the config was checked with the format it names
        data = config.data.model_copy(update={"format": self.format})
        problem = next(data.problems(), None)
        if problem is not None:
            raise ConfigError(
                f"{problem.text} ({self.why})", where=f"data.{'.'.join(problem.keys[:2])}", hint=problem.hint or None
            )


def _settings(config: Config) -> LabelSettings:
    data = config.data
    keep = data.negatives == "keep"
    return LabelSettings(data.columns, data.min_grade, negatives=keep, queries=data.queries is not None)


def _format(config: Config) -> Recognised:
    """The layout that the config names or the files have. Raises InputError when they could have two."""
    data = config.data
    if data.format != "auto":
        return Recognised(data.format, "")
    if data.path is not None:
        with input_folder(config, data.path) as folder:
            found = recognise_folder(folder) if folder.is_dir() else []
        return _one(found, data.path, "beir")
    files = Files.of(config)
    if files.pairs:
        among = [name for name in LABEL_FORMATS if (name == "ids") <= bool(files.queries)]
        if files.queries:
            among = ["ids", "msmarco"]
        elif any(getattr(data.columns, name) != ColumnsConfig.model_fields[name].default for name in LABEL_COLUMNS):
            among = [name for name in among if name in NAMED_BY_COLUMNS]
        found = recognise_labels(_first_look(files.pairs), _settings(config), among)
        return _one(found, named(files.pairs), "ids" if files.queries else "pairs")
    looks = [_first_look(paths) for paths in (files.corpus, files.queries, files.qrels)]
    names = [getattr(data.columns, name) for name in ("doc_id", "text", "title")]
    found = recognise_collection(looks[0], looks[1], looks[2], names, qrels_width(files.qrels[0]))
    return _one(found, named(files.corpus), "beir")


def _first_look(paths: Sequence[Path]) -> Look:
    """A look at the first of several files that has rows."""
    looks = (try_look(path) for path in paths)
    return next((seen for seen in looks if seen.names or seen.lines), Look(paths[0].name))


def _one(found: Sequence[Recognised], where: str, default: str) -> Recognised:
    """The only layout; ``default`` when there is none, whose reader tells what is missing."""
    if len(found) > 1:
        listed = " or ".join(f"{each.format} ({each.why})" for each in found)
        hint = " or ".join(f"data.format: {each.format}" for each in found)
        raise InputError(f"this could be {listed}", where=where, hint=f"Set {hint}.")
    return found[0] if found else Recognised(default, "")


def add_corpus(documents: Documents, paths: Sequence[Path], layout: Layout, config: Config, bad_rows: BadRows) -> None:
    """Read the corpus files into ``documents``. Raises InputError when they hold nothing."""
    data = config.data
    for batch in read_each(paths, lambda path: read_corpus(path, data.columns, data.metadata, bad_rows, layout)):
        documents.add(batch.doc_ids, batch.titles, batch.texts, batch.metadata, batch.where, batch.lines)
    if documents.count == 0:
        hint = "Check data.corpus and data.columns.text."
        raise InputError("the corpus has no passages", where=named(paths), hint=hint)
