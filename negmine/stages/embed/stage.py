"""embed: one vector per distinct passage and query.

Vectors that the finished stage of the last run has are taken over, the other texts are encoded.
A vector does not depend on the texts encoded with it when the torch backend runs on a processor:
then a run after a change of the corpus has the bytes of a run into an empty folder. On a graphics
card, with other backends, and with layers after the pooling the two differ by rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.config import Config
from negmine.errors import InputError
from negmine.stages.base import Job, Stage, Task, ranges
from negmine.stages.embed.earlier import EarlierVectors, text_digests
from negmine.stages.embed.encoding import check_encoder, encoder_identity, load_encoder
from negmine.stages.embed.ready import ReadyVectors, check_files
from negmine.stages.texts import StandingTable
from negmine.store.digests import DigestCache
from negmine.store.fetching import input_file
from negmine.store.manifest import Receipt, output_digest
from negmine.store.tables import TableWriter
from negmine.text import passage_text


class EmbedStage(Stage):
    """Parts of ``embed.part_rows`` texts."""

    name = "embed"
    unit = "texts"
    keys = (
        "embed.backend",
        "embed.dtype",
        "embed.query_prompt",
        "embed.query_prompt_name",
        "embed.document_prompt",
        "embed.document_prompt_name",
        "embed.max_seq_length",
        "embed.truncate_dim",
        "embed.normalize",
        "embed.similarity",
        "embed.batch_size",
        "embed.store_dtype",
        "embed.part_rows",
        "embed.trust_remote_code",
    )
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"ingest": ("passage_texts", "query_texts")}

    def inputs(self, config: Config) -> Mapping[str, Path]:
        if config.embed.vectors is None:
            return {}
        vectors = config.embed.vectors
        files = {
            "embed.vectors.corpus": input_file(config, vectors.corpus),
            "embed.vectors.queries": input_file(config, vectors.queries),
        }
        for key, path in files.items():
            if not path.is_file():
                raise InputError("this file does not exist", where=str(path), hint=f"Check {key}.")
        return files

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        return {} if config.embed.model is None else {"model": encoder_identity(config, digests)}

    def check(self, config: Config, counts: Mapping[str, Any] | None) -> None:
        if config.embed.model is not None:
            if counts is None:
                check_encoder(config)
        else:
            check_files(config)

    def runs_model(self, config: Config) -> bool:
        return config.embed.model is not None

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        if job.config.embed.vectors is not None:
            yield [Task("ready", size=sum(len(_table(job, kind)) for kind in ("corpus", "queries")))]
            return
        yield [
            task
            for kind in ("corpus", "queries")
            for task in ranges(len(_table(job, kind)), job.config.embed.part_rows, f"{kind}/part")
        ]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        if task.name == "ready":
            return self._ready(job)
        kind = task.name.split("/")[0]
        start, stop = task.args["start"], task.args["stop"]
        columns = ["doc_id", "title", "text"] if kind == "corpus" else ["query_id", "text"]
        rows = _table(job, kind).slice(start, stop, columns)
        texts = rows["text"].to_pylist()
        if kind == "corpus":
            texts = [passage_text(title, text) for title, text in zip(rows["title"].to_pylist(), texts, strict=True)]
        digests = text_digests(texts)
        earlier = job.resource(f"earlier {kind}", lambda: EarlierVectors(job, kind, DECIDING))
        known, vectors = earlier.find(digests)
        job.progress(len(known))
        missing = np.setdiff1d(np.arange(len(texts)), known)
        similarity = None if len(missing) else earlier.similarity
        if len(missing):
            encoder = job.resource("encoder", lambda: load_encoder(job.config))
            encode = encoder.encode_passages if kind == "corpus" else encoder.encode_queries
            encoded = encode([texts[row] for row in missing], job.progress)
            if not np.isfinite(encoded).all():
                row = int(missing[np.flatnonzero(~np.isfinite(encoded).all(axis=1))[0]])
                raise InputError(
                    f"the model gave a vector with NaN or Infinity for {rows.column_names[0]} '{rows[0][row].as_py()}'",
                    hint="Try embed.dtype: float32.",
                )
            vectors = _joined(known, vectors, missing, encoded)
            similarity = encoder.similarity
        _publish(job, task.name, rows.column_names[0], rows[0], vectors, digests)
        job.facts |= {"similarity": similarity, "dimension": int(vectors.shape[1])}
        return {"vectors": len(texts), "reused": len(known)}

    def _ready(self, job: Job) -> Mapping[str, int]:
        total = 0
        for kind in ("corpus", "queries"):
            source = ReadyVectors(job, kind)
            ids = _table(job, kind).column(source.id_column)
            for number, (start, vectors) in enumerate(source.parts(job.config.embed.part_rows)):
                _publish(job, f"{kind}/part-{number:05d}", source.id_column, ids.slice(start, len(vectors)), vectors)
                job.progress(len(vectors))
                total += len(vectors)
                job.facts |= {"similarity": source.similarity, "dimension": int(vectors.shape[1])}
        return {"vectors": total}

    def outputs(self, receipts: Sequence[Receipt]) -> dict[str, str]:
        parts = [part for receipt in receipts for part in receipt.parts]
        return {
            kind: output_digest([part for part in parts if part.path.startswith(f"{kind}/")])
            for kind in ("corpus", "queries")
        }


# Where parts are cut decides no vector.
DECIDING = tuple(key for key in EmbedStage.keys if key != "embed.part_rows")


def _table(job: Job, kind: str) -> StandingTable:
    file, number = ("corpus.parquet", "passage") if kind == "corpus" else ("queries.parquet", "query")
    return job.resource(kind, lambda: StandingTable(job.file("ingest", file), number))


def _joined(known: np.ndarray, taken: np.ndarray, missing: np.ndarray, encoded: np.ndarray) -> np.ndarray:
    """Vectors float32 (n, d) of rows ``known`` and ``missing`` together."""
    vectors = np.empty((len(known) + len(missing), encoded.shape[1]), np.float32)
    if len(known):
        vectors[known] = taken
    vectors[missing] = encoded
    return vectors


def _publish(
    job: Job, name: str, id_column: str, ids: Any, vectors: np.ndarray, digests: np.ndarray | None = None
) -> None:
    store = job.config.embed.store_dtype
    id_field = schemas.DOC_ID if id_column == "doc_id" else schemas.QUERY_ID
    schema = schemas.vectors(id_field, vectors.shape[1], store, text_digests=digests is not None)
    with np.errstate(over="ignore"):
        stored = vectors.astype(store)
    if store == "float16" and not np.isfinite(stored).all():
        row = int(np.flatnonzero(~np.isfinite(stored).all(axis=1))[0])
        raise InputError(
            f"the vector of {id_column} '{ids[row].as_py()}' has values too large for float16",
            hint="Set embed.store_dtype: float32, or embed.normalize: true.",
        )
    with job.publish(f"{name}.parquet") as output, TableWriter(output.path, schema) as writer:
        columns = {id_column: ids, "vector": stored}
        if digests is not None:
            columns[schemas.TEXT_DIGEST.name] = pa.FixedSizeBinaryArray.from_buffers(
                schemas.TEXT_DIGEST.type, len(digests), [None, pa.py_buffer(digests.tobytes())]
            )
        writer.write(columns)
        output.rows = writer.rows
