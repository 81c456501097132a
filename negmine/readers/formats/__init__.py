"""Layouts of files with queries and their passages: one module each, found here by name."""

from pathlib import Path

from negmine.readers.base import LabelFormat
from negmine.readers.formats.beir import CollectionFiles, beir_files
from negmine.readers.formats.dpr import Dpr
from negmine.readers.formats.flagembedding import FlagEmbedding
from negmine.readers.formats.ids import Ids
from negmine.readers.formats.labeled import Labeled
from negmine.readers.formats.msmarco import MsMarco, msmarco_files
from negmine.readers.formats.pairs import Pairs
from negmine.readers.formats.tevatron import Tevatron
from negmine.readers.formats.tevatron_ids import TevatronIds
from negmine.readers.formats.triplets import Triplets

LABEL_FORMATS: dict[str, LabelFormat] = {
    layout.name: layout
    for layout in (
        Pairs(),
        Triplets(),
        Labeled(),
        Ids(),
        FlagEmbedding(),
        Tevatron(),
        TevatronIds(),
        Dpr(),
        MsMarco(),
    )
}
"""What `data.pairs` may hold."""


def collection_files(name: str, folder: Path, split: str) -> CollectionFiles:
    """The files of a folder in the layout ``name``: beir or msmarco. Raises InputError when one is missing."""
    return msmarco_files(folder, split) if name == "msmarco" else beir_files(folder, split)


__all__ = ["LABEL_FORMATS", "collection_files"]
