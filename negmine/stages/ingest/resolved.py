"""What labels come to once they point at rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from negmine.config import Config
from negmine.readers import Layout, read_queries
from negmine.readers.bad_rows import BadRows
from negmine.readers.shards import read_each
from negmine.stages.ingest.labels import Labels, Queries, QueryList
from negmine.stages.ingest.negatives import Given


@dataclass(frozen=True)
class Resolved:
    """The distinct queries, and as rows of queries and documents: the labelled pairs, judgements below
    ``data.min_grade`` (which are no labels) and the negatives that are kept.

    ``blank`` is how many pairs were left out because their document has no text.
    """

    queries: Queries
    labels: Labels
    refused: Labels
    negatives: Given
    blank: int


def listed_queries(paths: Sequence[Path], layout: Layout, config: Config, bad_rows: BadRows) -> Queries:
    """The queries of files that hold nothing else."""
    listed = QueryList()
    for batch in read_each(paths, lambda path: read_queries(path, config.data.columns, bad_rows, layout)):
        listed.add(batch.query_ids, batch.texts, batch.where, batch.lines)
    return listed.finish(bad_rows)[0]
