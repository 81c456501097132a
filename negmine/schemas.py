"""Column names and Arrow schemas of every file in a run.

Stages meet only through these files. Besides the columns that people read (ids, scores,
verdicts), rows carry ``query`` and ``passage``: positions among the distinct queries and
passages of the run, so that joins are array look-ups.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 4
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

GRADE = pa.field("grade", pa.float64(), nullable=False)

POSITIVES = pa.schema([QUERY_ID, DOC_ID, GRADE, pa.field("same_text", pa.bool_(), nullable=False), QUERY, PASSAGE])
"""``ingest/positives.parquet``: one row per labelled (query, document), by query; ``same_text`` says that the
document's text equals the query's."""

CONFLICTS = pa.schema([QUERY_ID, DOC_ID, GRADE, QUERY, PASSAGE])
"""``ingest/conflicts.parquet``: judgements below ``data.min_grade`` whose texts are labelled as a pair as well, by
query, passage."""

EXCLUDED = pa.schema([QUERY, PASSAGE, pa.field("reason", pa.string(), nullable=False)])
"""``ingest/excluded.parquet``: passages that can never be a negative of a query, by query, passage."""


TEXT_DIGEST_BYTES = 16
TEXT_DIGEST = pa.field("text_digest", pa.binary(TEXT_DIGEST_BYTES), nullable=False)
"""BLAKE2b of the text (UTF-8) that a model was given; the prompt before it is not part of it."""


def vectors(id_field: pa.Field, dimension: int, dtype: str, *, text_digests: bool = False) -> pa.Schema:
    """``embed/*/part``: one row per distinct passage or query, in order of its number.

    Vectors of a model name the texts they were made from (``text_digests``), for a later run to reuse.
    """
    value = pa.float16() if dtype == "float16" else pa.float32()
    fields = [id_field, pa.field("vector", pa.list_(value, dimension), nullable=False)]
    return pa.schema([*fields, TEXT_DIGEST] if text_digests else fields)


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
        pa.field("mean_positive_similarity", pa.float64()),
        QUERY,
        PASSAGE,
    ]
)
"""``mine/part``: raw candidates with evidence, sorted by query, retriever, rank (1-based)."""

POSITIVE_SCORES = pa.schema([QUERY_ID, DOC_ID, RETRIEVER, pa.field("rank", pa.int32()), SCORE, QUERY, PASSAGE])
"""``mine/positives``: the same score for every labelled positive passage of a query. ``rank`` is its
place (1-based) among all passages as they were searched, null when it is deeper than that."""

VERDICTS = pa.schema(
    [
        QUERY_ID,
        DOC_ID,
        RETRIEVER,
        pa.field("rank", pa.int32()),
        SCORE,
        POSITIVE_SIMILARITY,
        pa.field("mean_positive_similarity", pa.float64()),
        pa.field("reference", pa.float64(), nullable=False),
        pa.field("risk", pa.float64()),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("position", pa.int32()),
        QUERY,
        PASSAGE,
    ]
)
"""``filter/part``: every candidate with its verdict; ``position`` counts the kept ones from 1, ``risk`` is
the probability of being relevant when the config limits it."""

REUSE = pa.schema([QUERY, PASSAGE])
"""``filter/reuse``: survivors that ``max_reuse`` forbids, by query, passage."""

PAIRS = pa.schema(
    [
        QUERY_ID,
        DOC_ID,
        SCORE,
        pa.field("rank", pa.int32()),
        pa.field("beaten_by", pa.int32(), nullable=False),
        pa.field("shared_by", pa.int32(), nullable=False),
        pa.field("findings", pa.list_(pa.string()), nullable=False),
        pa.field("dropped", pa.bool_(), nullable=False),
        QUERY,
        PASSAGE,
    ]
)
"""``filter/pairs``: every labelled pair, in the rows of ``mine/positives``, with what was found about it;
``beaten_by`` counts the candidates that score higher and are no positives of the query nor copies of one,
``shared_by`` the queries that have the passage as a positive."""

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
