"""rerank: one score of a cross-encoder per candidate and positive.

Scores that the finished stage of the last run has are taken over, the other pairs are scored. A score does not
depend on the pairs scored with it when the torch backend runs on a processor: then a run after a change has the
bytes of a run into an empty folder. Elsewhere the two differ by rounding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.arrays import find_pairs, positions
from negmine.config import Config
from negmine.errors import ConfigError
from negmine.scoring.base import PairError
from negmine.stages.base import Job, Stage, Task
from negmine.stages.rerank.earlier import EarlierScores
from negmine.stages.rerank.scoring import check_scorer, load_scorer, scorer_identity
from negmine.stages.texts import passage_texts, passages_of, queries_of
from negmine.store.digests import DigestCache
from negmine.store.tables import TableWriter, iter_batches, rows_between, to_numpy
from negmine.text import Template


class RerankStage(Stage):
    """Parts of about ``rerank.part_pairs`` pairs, in whole queries."""

    name = "rerank"
    unit = "pairs"
    keys = (
        "rerank.backend",
        "rerank.dtype",
        "rerank.max_length",
        "rerank.batch_size",
        "rerank.query_prompt",
        "rerank.activation",
        "rerank.depth",
        "rerank.part_pairs",
        "rerank.trust_remote_code",
        # Not where the server is: the same model may move.
        "rerank.endpoint.style",
        "rerank.endpoint.model",
        "rerank.endpoint.revision",
    )
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "ingest": ("corpus", "queries", "passage_texts", "query_texts"),
        "mine": ("all",),
    }

    def wanted(self, config: Config) -> bool:
        return config.rerank is not None

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        identity = scorer_identity(config, digests)
        return {} if identity is None else {"model": identity}

    def check(self, config: Config, counts: Mapping[str, Any] | None) -> None:
        if config.rerank is None:
            raise ConfigError("no reranker is configured", where="rerank", hint="Set rerank.model or rerank.endpoint.")
        if counts is None:
            check_scorer(config)

    def runs_model(self, config: Config) -> bool:
        return config.rerank is not None and config.rerank.model is not None

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        assert job.config.rerank is not None
        counts = _pairs_of_queries(job)
        yield [
            Task(f"part-{number:05d}", {"start": low, "stop": high}, max(int(counts[low:high].sum()), 1))
            for number, (low, high) in enumerate(_cut(counts, job.config.rerank.part_pairs))
        ]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        start, stop = task.args["start"], task.args["stop"]
        query, passage = _pairs(job, start, stop)
        texts = _Texts.of(job, start, stop, passage)
        of_query, of_passage = query - start, np.searchsorted(texts.numbers, passage)
        digests = texts.digests(of_query, of_passage)
        scores = _earlier(job).find(digests)
        missing = np.flatnonzero(np.isnan(scores))
        job.progress(len(scores) - len(missing))
        if len(missing):
            scorer = job.resource("scorer", lambda: load_scorer(job.config))
            rows = of_query[missing], of_passage[missing]
            try:
                scores[missing] = scorer.score(texts.queries, texts.passages, *rows, job.progress)
            except PairError as error:
                row = int(missing[error.position])
                raise error.named(texts.named(job, int(query[row]), int(passage[row]))) from error
        with job.publish(f"{task.name}.parquet") as output, TableWriter(output.path, schemas.RERANKED) as writer:
            digest = pa.FixedSizeBinaryArray.from_buffers(
                schemas.PAIR_DIGEST.type, len(digests), [None, pa.py_buffer(digests.tobytes())]
            )
            writer.write({"query": query, "passage": passage, "score": scores, schemas.PAIR_DIGEST.name: digest})
            output.rows = writer.rows
        return {"scores": len(scores), "reused": len(scores) - len(missing)}


# Where parts are cut, and how many candidates are scored, decides no score.
DECIDING = tuple(key for key in RerankStage.keys if key not in ("rerank.part_pairs", "rerank.depth"))


def unscored(job: Job) -> tuple[int, int]:
    """How many pairs a run whose mine has finished scores, and how many of them no finished stage has a score of."""
    assert job.config.rerank is not None
    total = missing = 0
    for start, stop in _cut(_pairs_of_queries(job), job.config.rerank.part_pairs):
        query, passage = _pairs(job, start, stop)
        texts = _Texts.of(job, start, stop, passage)
        digests = texts.digests(query - start, np.searchsorted(texts.numbers, passage))
        total += len(query)
        missing += int(np.isnan(_earlier(job).find(digests)).sum())
    return total, missing


def _earlier(job: Job) -> EarlierScores:
    return job.resource("earlier", lambda: EarlierScores(job, DECIDING))


def _pairs_of_queries(job: Job) -> np.ndarray:
    """About how many pairs each query has: int64 (q,)."""
    assert job.config.rerank is not None
    queries = job.manifest("ingest").counts["distinct_queries"]
    labelled, mined = np.zeros(queries, np.int64), np.zeros(queries, np.int64)
    for batch in iter_batches(job.file("mine", "positives.parquet"), ["query"]):
        labelled += np.bincount(to_numpy(batch["query"]), minlength=queries)
    for path in job.files("mine", "part-"):
        for batch in iter_batches(path, ["query"]):
            mined += np.bincount(to_numpy(batch["query"]), minlength=queries)
    depth = job.config.rerank.depth
    return labelled + (mined if depth is None else np.minimum(mined, depth))


def _cut(counts: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of queries that together have at most ``most`` pairs (one query at least)."""
    total = np.concatenate([[0], np.cumsum(counts)])
    low = 0
    while low < len(counts):
        high = max(int(np.searchsorted(total, total[low] + most, side="right")) - 1, low + 1)
        yield low, min(high, len(counts))
        low = high


def _pairs(job: Job, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct pairs of the queries [start, stop), by query, passage: positives and the candidates to be scored."""
    assert job.config.rerank is not None
    positives = rows_between(job.file("mine", "positives.parquet"), "query", start, stop, ["query", "passage"])
    columns = [(to_numpy(positives["query"]), to_numpy(positives["passage"]))]
    passages = job.manifest("ingest").counts["passages"]
    own = np.unique(columns[0][0] * passages + columns[0][1])
    size = job.manifest("mine").made_from["config"]["mine.part_queries"]
    for number in range(start // size, -(-stop // size)):
        path = job.file("mine", f"part-{number:05d}.parquet")
        rows = rows_between(path, "query", start, stop, ["query", "passage"])
        query, passage = to_numpy(rows["query"]), to_numpy(rows["passage"])
        if job.config.rerank.depth is not None:
            others = np.flatnonzero(find_pairs(query, passage, own // passages, own % passages, passages) < 0)
            best = others[positions(query[others]) < job.config.rerank.depth]
            query, passage = query[best], passage[best]
        columns.append((query, passage))
    keys = np.unique(np.concatenate([query * passages + passage for query, passage in columns]))
    return keys // passages, keys % passages


class _Texts:
    """The texts of a part: of the queries from ``start`` on, and of the passages ``numbers`` (ascending)."""

    def __init__(self, start: int, queries: list[str], numbers: np.ndarray, passages: list[str]) -> None:
        self.start, self.queries, self.numbers, self.passages = start, queries, numbers, passages
        self.query_digests, self.passage_digests = _digests(queries), _digests(passages)

    @classmethod
    def of(cls, job: Job, start: int, stop: int, passage: np.ndarray) -> _Texts:
        """Those of the queries [start, stop), and of every ``passage``."""
        template, numbers = Template(job.config.data.passage_template), np.unique(passage)
        queries = queries_of(job).slice(start, stop, ["text"])["text"].to_pylist()
        rows = passages_of(job).take(numbers, list(template.names))
        return cls(start, queries, numbers, passage_texts(rows, template).to_pylist())

    def digests(self, of_query: np.ndarray, of_passage: np.ndarray) -> np.ndarray:
        """What identifies pairs of these rows of texts: uint64 (n, 2)."""
        return np.stack([self.query_digests[of_query], self.passage_digests[of_passage]], axis=1)

    def named(self, job: Job, query: int, passage: int) -> str:
        """A pair as errors name it."""
        query_id = queries_of(job).slice(query, query + 1, ["query_id"])["query_id"][0].as_py()
        doc_id = passages_of(job).slice(passage, passage + 1, ["doc_id"])["doc_id"][0].as_py()
        return f"the pair of query_id '{query_id}' and doc_id '{doc_id}'"


def _digests(texts: Sequence[str]) -> np.ndarray:
    """uint64 (n,): what identifies each text (UTF-8) among those of a run."""
    joined = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(joined, "<u8")
