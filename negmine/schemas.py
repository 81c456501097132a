"""Column names and Arrow schemas of every file in a run.

Stages meet only through these files. Besides the columns that people read (ids, scores,
verdicts), rows carry ``query`` and ``passage``: positions among the distinct queries and
passages of the run, so that joins are array look-ups.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

SCHEMA_VERSION = 5
"""Raised whenever the meaning or layout of a run's files changes: every stage is then stale."""

QUERY = pa.field("query", pa.int64(), nullable=False)
PASSAGE = pa.field("passage", pa.int64(), nullable=False)
QUERY_ID = pa.field("query_id", pa.string(), nullable=False)
DOC_ID = pa.field("doc_id", pa.string(), nullable=False)
SOURCE_ROW = pa.field("source_row", pa.int64(), nullable=False)
"""Position among the documents or queries as they were given, for vectors that come without ids."""


def corpus(metadata: tuple[str, ...] = (), *, chunked: bool = False) -> pa.Schema:
    """``ingest/corpus.parquet``: every document in input order, or every chunk of one where long ones are cut.

    Rows whose passage text is equal share ``passage``; passages are numbered by first appearance
    and the first row of each is the one that is embedded and exported. ``text_key`` identifies the
    normalised text without the title. ``document``, which is there when documents are cut
    (``chunked``), is the id of the whole.
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
            *([pa.field("document", pa.string(), nullable=False)] if chunked else []),
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

POSITIVES = pa.schema(
    [
        QUERY_ID,
        DOC_ID,
        GRADE,
        pa.field("same_text", pa.bool_(), nullable=False),
        QUERY,
        PASSAGE,
        pa.field("document", pa.int64(), nullable=False),
    ]
)
"""``ingest/positives.parquet``: one row per labelled (query, document), by query, and per chunk where the document
was cut; ``same_text`` says that the text equals the query's. Rows of a query with the same number ``document`` are
one positive: the best of its chunks."""

CONFLICTS = pa.schema([QUERY_ID, DOC_ID, GRADE, QUERY, PASSAGE])
"""``ingest/conflicts.parquet``: judgements below ``data.min_grade`` whose texts are labelled as a pair as well, by
query, passage."""

EXCLUDED = pa.schema([QUERY, PASSAGE, pa.field("reason", pa.string(), nullable=False)])
"""``ingest/excluded.parquet``: passages that can never be a negative of a query, by query, passage."""

NEGATIVES = pa.schema([QUERY, PASSAGE, pa.field("rank", pa.int32(), nullable=False)])
"""``ingest/negatives.parquet``: negatives that came with the labels, by query, rank; a pair is there once.
``rank`` is the place in the list that was given, from 1."""

TEXT_DIGEST_BYTES = 16
TEXT_DIGEST = pa.field("text_digest", pa.binary(TEXT_DIGEST_BYTES), nullable=False)
"""BLAKE2b of the text (UTF-8) that a model was given; the prompt before it is not part of it."""


CUT_OFF = pa.field("cut_off", pa.bool_())
"""Whether the text is longer than the model reads; null where a server alone knows."""


def vectors(id_field: pa.Field, dimension: int, dtype: str, *, from_texts: bool = False) -> pa.Schema:
    """``embed/*/part``: one row per distinct passage or query, in order of its number.

    Vectors of a model name the texts they were made from, for a later run to reuse, and say whether
    it read them to their ends (``from_texts``).
    """
    value = pa.float16() if dtype == "float16" else pa.float32()
    fields = [id_field, pa.field("vector", pa.list_(value, dimension), nullable=False)]
    return pa.schema([*fields, TEXT_DIGEST, CUT_OFF] if from_texts else fields)


def sparse_vectors(id_field: pa.Field) -> pa.Schema:
    """``embed/others/*`` of a sparse encoder: per text the ``terms`` of its vocabulary with a weight, ascending."""
    terms = pa.field("terms", pa.list_(pa.int32()), nullable=False)
    return pa.schema(
        [id_field, terms, pa.field("weights", pa.list_(pa.float32()), nullable=False), TEXT_DIGEST, CUT_OFF]
    )


RETRIEVER = pa.field("retriever", pa.string(), nullable=False)
SCORE = pa.field("score", pa.float64(), nullable=False)

POSITIVE_SIMILARITY = pa.field("positive_similarity", pa.float64())
"""Greatest cosine of the candidate and a positive of its query."""

FOUND_BY = (
    pa.field("retrievers", pa.list_(pa.string()), nullable=False),
    pa.field("ranks", pa.list_(pa.int32()), nullable=False),
)
"""Every retriever that found a candidate, in the order of ``mine.retrievers`` (``given`` comes last), and
its rank with each; ``retriever`` and ``rank`` are the first of them."""

RUNS = pa.schema([QUERY, PASSAGE, RETRIEVER, pa.field("rank", pa.int32(), nullable=False)])
"""``mine/runs.parquet``: what run files name as candidates, by query, retriever (as configured), rank."""


def score_column(scorer: str) -> str:
    """The column that holds what a scorer gives to candidates, where there are several."""
    return f"{scorer}_score"


def candidates(further: Sequence[str] = ()) -> pa.Schema:
    """``mine/part``: raw candidates with evidence, a row per query and passage, by query, score (best first; with
    ``mine.fusion: rrf`` by their ranks together), passage. ``rank`` (1-based) is that in the list of ``retriever``.
    ``score`` is that of the vectors; each ``further`` retriever that scores has a column of its own."""
    return pa.schema(
        [
            QUERY_ID,
            DOC_ID,
            RETRIEVER,
            pa.field("rank", pa.int32(), nullable=False),
            SCORE,
            POSITIVE_SIMILARITY,
            pa.field("mean_positive_similarity", pa.float64()),
            *FOUND_BY,
            *(pa.field(score_column(name), pa.float64(), nullable=False) for name in further),
            QUERY,
            PASSAGE,
        ]
    )


CANDIDATES = candidates()

POSITIVE_SCORES = pa.schema(
    [
        QUERY_ID,
        DOC_ID,
        RETRIEVER,
        pa.field("rank", pa.int32()),
        SCORE,
        *FOUND_BY,
        pa.field("scores", pa.list_(pa.float64()), nullable=False),
        QUERY,
        PASSAGE,
    ]
)
"""``mine/positives``: the same score for every labelled positive passage of a query. ``rank`` is its
place (1-based) among all passages as the vectors were searched, null when it is deeper than that or nothing
was searched. ``retrievers`` names every retriever but ``given``, in their order, ``ranks`` and ``scores`` are its
own rank of the positive (null where it did not find it) and its own score (null for a run)."""

PAIR_DIGEST = pa.field("pair_digest", pa.binary(16), nullable=False)
"""BLAKE2b, 8 bytes each, of the texts of query and passage that a cross-encoder was given, prompt apart."""

RERANKED = pa.schema([QUERY, PASSAGE, SCORE, PAIR_DIGEST])
"""``rerank/part``: the score that a cross-encoder gives to candidates and positives, by query, passage."""

TERM_COUNTS = pa.schema(
    [
        pa.field("term", pa.string(), nullable=False),
        pa.field("passages", pa.list_(pa.int32()), nullable=False),
        pa.field("counts", pa.list_(pa.int32()), nullable=False),
    ]
)
"""``index/bm25/counts-*``: a row per term, sorted, with the passages of a range that have it and how often."""

TERMS = pa.schema([pa.field("term", pa.string(), nullable=False)])
"""``index/bm25/terms``: all terms, sorted. Those of row t have the rows ``offsets[t]:offsets[t + 1]`` of
``index/bm25/passages.npy`` and ``weights.npy``. Term t of a sparse encoder has those in ``index/others/<name>``."""


JUDGEMENT = (
    pa.field("judgement", pa.string()),
    pa.field("judged_by", pa.string()),
    pa.field("flagged", pa.bool_()),
)
"""What a judge said: ``relevant``, ``not_relevant``, ``no_answer`` or ``refused``, null where nobody was asked; who
said so (``person``, or the model), null where nobody did; and what the first of two models said."""


def verdicts(scorers: Sequence[str] = (), *, partly: bool = False, judged: bool = False) -> pa.Schema:
    """``filter/part``: every candidate with its verdict; ``position`` counts the kept ones from 1, ``risk`` is
    the probability of being relevant when the config limits it. ``score`` is the one that decides. Where there are
    several ``scorers``, what each gives is there too: null where it gives none. ``partly``: so may ``score`` be, as a
    reranker does not score all. ``place`` (from 1) is that in the order in which the query takes what survived, null
    for what did not.

    ``judge/part`` (``judged``): the same with the final verdicts, and what the judge said."""
    return pa.schema(
        [
            QUERY_ID,
            DOC_ID,
            RETRIEVER,
            pa.field("rank", pa.int32()),
            SCORE.with_nullable(partly),
            *(pa.field(score_column(name), pa.float64()) for name in scorers),
            POSITIVE_SIMILARITY,
            pa.field("mean_positive_similarity", pa.float64()),
            *FOUND_BY,
            pa.field("reference", pa.float64(), nullable=False),
            pa.field("risk", pa.float64()),
            pa.field("verdict", pa.string(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("position", pa.int32()),
            pa.field("place", pa.int32()),
            *(JUDGEMENT if judged else ()),
            QUERY,
            PASSAGE,
        ]
    )


VERDICTS = verdicts()

JUDGED = pa.schema([QUERY, PASSAGE, pa.field("reason", pa.string(), nullable=False), *JUDGEMENT])
"""``judge/judged``: what became of every candidate that was looked at, by query, passage."""

HELD_OUT = pa.schema([QUERY_ID, pa.field("relevant", pa.int32(), nullable=False), QUERY])
"""``judge/held_out``: queries that no training file has, with how many of their candidates are relevant."""

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

_PROVENANCE = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        QUERY_ID,
        pa.field("positive_ids", pa.list_(pa.string()), nullable=False),
        pa.field("negative_ids", pa.list_(pa.string()), nullable=False),
        pa.field("retrievers", pa.list_(pa.string()), nullable=False),
        pa.field("ranks", pa.list_(pa.int32()), nullable=False),
        pa.field("positive_scores", pa.list_(pa.float64()), nullable=False),
        pa.field("negative_scores", pa.list_(pa.float64()), nullable=False),
    ]
)


def provenance(*, judged: bool) -> pa.Schema:
    """``export/provenance.parquet``: where each exported row came from. In a run with a judge, ``promoted`` says of
    each positive whether the judge made it one."""
    return _PROVENANCE.append(pa.field("promoted", pa.list_(pa.bool_()), nullable=False)) if judged else _PROVENANCE


SPLIT = pa.schema([QUERY_ID, pa.field("split", pa.string(), nullable=False), QUERY])
"""``export/split.parquet``: ``train`` or ``dev`` for every query, in the order of ``ingest/queries.parquet``."""
