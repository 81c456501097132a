"""Column names and Arrow schemas of every file in a run.

Stages meet only through these files. Besides the columns that people read (ids, scores,
verdicts), rows carry ``query`` and ``passage``: positions among the distinct queries and
passages of the run, so that joins are array look-ups.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 2
"""Raised whenever the meaning or layout of a run's files changes: every stage is then stale."""

QUERY = pa.field("query", pa.int64(), nullable=False)
PASSAGE = pa.field("passage", pa.int64(), nullable=False)
QUERY_ID = pa.field("query_id", pa.string(), nullable=False)
DOC_ID = pa.field("doc_id", pa.string(), nullable=False)
SOURCE_ROW = pa.field("source_row", pa.int64(), nullable=False)
"""Position among the documents or queries as they were given, for vectors that come without ids."""


def corpus(metadata: tuple[str, ...] = ()) -> pa.Schema:
    """``ingest/corpus.parquet``: every document in input order.

    Documents whose passage text is equal share ``passage``; passages are numbered by first
    appearance and the first document of each is the one that is embedded and exported.
    ``text_key`` identifies the normalised text without the title.
    """
    return pa.schema(
        [
            DOC_ID,
            pa.field("text", pa.large_string(), nullable=False),
            pa.field("title", pa.large_string(), nullable=False),
            pa.field("text_key", pa.string(), nullable=False),
            PASSAGE,
            pa.field("id_hash", pa.uint64(), nullable=False),
            SOURCE_ROW,
            *(pa.field(name, pa.string()) for name in metadata),
        ]
    )


QUERIES = pa.schema(
    [
        QUERY_ID,
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("text_key", pa.string(), nullable=False),
        QUERY,
        pa.field("id_hash", pa.uint64(), nullable=False),
        SOURCE_ROW,
    ]
)
"""``ingest/queries.parquet``: queries with equal text share ``query``; the first one names it."""

POSITIVES = pa.schema([QUERY_ID, DOC_ID, pa.field("grade", pa.float64(), nullable=False), QUERY, PASSAGE])
"""``ingest/positives.parquet``: one row per labelled (query, document), by query."""

EXCLUDED = pa.schema([QUERY, PASSAGE, pa.field("reason", pa.string(), nullable=False)])
"""``ingest/excluded.parquet``: passages that can never be a negative of a query, by query, passage."""


def vectors(id_field: pa.Field, dimension: int, dtype: str) -> pa.Schema:
    """``embed/*/part``: one row per distinct passage or query, in order of its number."""
    value = pa.float16() if dtype == "float16" else pa.float32()
    return pa.schema([id_field, pa.field("vector", pa.list_(value, dimension), nullable=False)])


RETRIEVER = pa.field("retriever", pa.string(), nullable=False)
SCORE = pa.field("score", pa.float64(), nullable=False)

POSITIVE_SIMILARITY = pa.field("positive_similarity", pa.float64())
"""Greatest cosine of the candidate and a positive of its query."""

CANDIDATES = pa.schema(
    [
        QUERY_ID,
        DOC_ID,
        RETRIEVER,
        pa.field("rank", pa.int32(), nullable=False),
        SCORE,
        POSITIVE_SIMILARITY,
        QUERY,
        PASSAGE,
    ]
)
"""``mine/part``: raw candidates with evidence, sorted by query, retriever, rank (1-based)."""

POSITIVE_SCORES = pa.schema([QUERY_ID, DOC_ID, RETRIEVER, SCORE, QUERY, PASSAGE])
"""``mine/positives``: the same score for every labelled positive passage of a query."""

VERDICTS = pa.schema(
    [
        QUERY_ID,
        DOC_ID,
        RETRIEVER,
        pa.field("rank", pa.int32()),
        SCORE,
        POSITIVE_SIMILARITY,
        pa.field("reference", pa.float64(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("position", pa.int32()),
        QUERY,
        PASSAGE,
    ]
)
"""``filter/part``: every candidate with its verdict; ``position`` counts the kept ones from 1."""

PROVENANCE = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        QUERY_ID,
        pa.field("positive_id", pa.string()),
        pa.field("negative_ids", pa.list_(pa.string()), nullable=False),
        pa.field("retrievers", pa.list_(pa.string()), nullable=False),
        pa.field("ranks", pa.list_(pa.int32()), nullable=False),
        pa.field("positive_score", pa.float64()),
        pa.field("negative_scores", pa.list_(pa.float64()), nullable=False),
    ]
)
"""``export/provenance.parquet``: where each exported row came from."""
