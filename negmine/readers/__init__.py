"""The user's files as streams of records: one module per input format."""

from negmine.readers.bad_rows import BadRows
from negmine.readers.base import LabelSettings
from negmine.readers.corpus import read_corpus
from negmine.readers.formats import LABEL_FORMATS, collection_files
from negmine.readers.layouts import LAYOUTS, Layout
from negmine.readers.qrels import read_qrels
from negmine.readers.queries import read_queries
from negmine.readers.vectors import open_vectors

__all__ = [
    "LABEL_FORMATS",
    "LAYOUTS",
    "BadRows",
    "LabelSettings",
    "Layout",
    "collection_files",
    "open_vectors",
    "read_corpus",
    "read_qrels",
    "read_queries",
]
