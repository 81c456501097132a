"""embed: one vector per distinct passage and query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from negmine import schemas
from negmine.config import Config
from negmine.errors import InputError
from negmine.stages.base import Job, Stage, Task, ranges
from negmine.stages.encoding import check_encoder, encoder_identity, load_encoder
from negmine.stages.ready_vectors import ReadyVectors, check_files
from negmine.stages.texts import StandingTable
from negmine.store.digests import DigestCache
from negmine.store.manifest import Receipt, output_digest
from negmine.store.tables import TableWriter
from negmine.text import passage_text

# Texts given to the model at once, in whole batches, sorted by length among the texts of a part:
# a constant, so that batches (and with them the last bits of a vector) do not depend on the machine.
_CALL = 256


class EmbedStage(Stage):
    """Parts of ``embed.part_rows`` texts; the texts of a part are encoded in order of length."""

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
        files = {"embed.vectors.corpus": Path(vectors.corpus), "embed.vectors.queries": Path(vectors.queries)}
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
        encoder = job.resource("encoder", lambda: load_encoder(job.config))
        encode = encoder.encode_passages if kind == "corpus" else encoder.encode_queries
        columns = ["doc_id", "title", "text"] if kind == "corpus" else ["query_id", "text"]
        rows = _table(job, kind).slice(start, stop, columns)
        texts = rows["text"].to_pylist()
        if kind == "corpus":
            texts = [passage_text(title, text) for title, text in zip(rows["title"].to_pylist(), texts, strict=True)]
        order = np.argsort([-len(text) for text in texts], kind="stable")
        vectors: np.ndarray | None = None
        call = encoder.batch_size * -(-_CALL // encoder.batch_size)
        for low in range(0, len(texts), call):
            chosen = order[low : low + call]
            encoded = encode([texts[row] for row in chosen])
            if vectors is None:
                vectors = np.empty((len(texts), encoded.shape[1]), np.float32)
            vectors[chosen] = encoded
            job.progress(len(chosen))
        assert vectors is not None
        if not np.isfinite(vectors).all():
            row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            raise InputError(
                f"the model gave a vector with NaN or Infinity for {rows.column_names[0]} '{rows[0][row].as_py()}'",
                hint="Try embed.dtype: float32.",
            )
        _publish(job, task.name, rows.column_names[0], rows[0], vectors)
        job.facts |= {"similarity": encoder.similarity, "dimension": int(vectors.shape[1])}
        return {"vectors": len(texts)}

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


def _table(job: Job, kind: str) -> StandingTable:
    file, number = ("corpus.parquet", "passage") if kind == "corpus" else ("queries.parquet", "query")
    return job.resource(kind, lambda: StandingTable(job.file("ingest", file), number))


def _publish(job: Job, name: str, id_column: str, ids: Any, vectors: np.ndarray) -> None:
    store = job.config.embed.store_dtype
    id_field = schemas.DOC_ID if id_column == "doc_id" else schemas.QUERY_ID
    schema = schemas.vectors(id_field, vectors.shape[1], store)
    with np.errstate(over="ignore"):
        stored = vectors.astype(store)
    if store == "float16" and not np.isfinite(stored).all():
        row = int(np.flatnonzero(~np.isfinite(stored).all(axis=1))[0])
        raise InputError(
            f"the vector of {id_column} '{ids[row].as_py()}' has values too large for float16",
            hint="Set embed.store_dtype: float32, or embed.normalize: true.",
        )
    with job.publish(f"{name}.parquet") as output, TableWriter(output.path, schema) as writer:
        writer.write({id_column: ids, "vector": stored})
        output.rows = writer.rows
