"""What the config asks to be written: for each export its format, its options, and the files it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from negmine.config import Config, ExportConfig
from negmine.config.exporting import DEV, TRAIN, split_file
from negmine.stages.base import Run
from negmine.writers import FORMATS, ExportFormat, Lookup, Member, Options

Split = str | None
"""``train`` or ``dev`` where queries are held out, else None."""


@dataclass(frozen=True)
class Target:
    """One entry of ``export``."""

    number: int
    config: ExportConfig
    format: ExportFormat
    options: Options
    splits: tuple[Split, ...]

    @property
    def main(self) -> Member:
        """The file of rows that it is about."""
        return self.format.members[0]

    def path(self, member: Member, split: Split) -> str:
        """Name of a file of rows, before it is cut into shards."""
        return self._inside(split_file(member.file, split)) if member.file else split_file(self.config.file, split)

    def lookup_path(self, lookup: Lookup) -> str:
        """Name of a file of texts, before it is cut into shards."""
        return self._inside(lookup.file)

    def documents(self) -> Iterator[tuple[str, str]]:
        """Names and contents of the small files of fixed content."""
        for name, content in self.format.documents(self.options).items():
            yield self._inside(name), content

    def _inside(self, name: str) -> str:
        stem = name.removesuffix(".jsonl")
        return f"{self.config.folder}/{stem}{self.config.ending if stem != name else ''}"


def targets(run: Run) -> list[Target]:
    """Every export of the config, in order."""
    return [target(run, number) for number in range(len(run.config.export))]


def target(run: Run, number: int) -> Target:
    """One export of the config."""
    entry = run.config.export[number]
    options = Options(
        scores=entry.scores,
        negatives=entry.negatives_in_row(run.config.filter.num_negatives),
        one_positive=entry.one_positive(),
        prompt=entry.prompt,
        type=entry.type,
        passage_role=entry.passage_role or "user",
        corpus_id=_corpus_id(run, entry),
    )
    return Target(number, entry, FORMATS[entry.format], options, splits(run.config))


def splits(config: Config) -> tuple[Split, ...]:
    """The splits that every file of rows is written for."""
    return (None,) if config.split is None else (TRAIN, DEV)


def _corpus_id(run: Run, entry: ExportConfig) -> str:
    """A name that is another one for another corpus."""
    if not entry.layout.folder:
        return ""
    return f"{entry.folder.rpartition('/')[2]}-{run.manifest('ingest').outputs['passage_texts'][:8]}"
