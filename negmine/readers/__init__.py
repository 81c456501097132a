"""The user's files as streams of records: one module per input format."""

from negmine.readers.bad_rows import BadRows
from negmine.readers.beir import beir_files, read_qrels, read_queries
from negmine.readers.corpus import read_corpus
from negmine.readers.pairs import read_pairs
from negmine.readers.vectors import open_vectors

__all__ = ["BadRows", "beir_files", "open_vectors", "read_corpus", "read_pairs", "read_qrels", "read_queries"]
