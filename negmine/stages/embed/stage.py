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
from negmine.encoders.base import Measuring, TextError
from negmine.encoders.endpoint import EndpointEncoder
from negmine.errors import InputError
from negmine.stages.base import Job, Stage, Task, ranges
from negmine.stages.embed.earlier import EarlierVectors, text_digests
from negmine.stages.embed.encoding import check_encoder, encoder_identity, load_encoder
from negmine.stages.embed.ready import ReadyVectors, check_files
from negmine.stages.texts import StandingTable, passage_texts
from negmine.store.digests import DigestCache
from negmine.store.fetching import input_file
from negmine.store.manifest import Receipt, output_digest
from negmine.store.tables import TableWriter
from negmine.text import Template


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
        # Not where the server is: the same model may move.
        "embed.endpoint.model",
        "embed.endpoint.revision",
        "embed.endpoint.dimensions",
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
        if config.embed.vectors is not None:
            check_files(config)
        elif counts is None:
            check_encoder(config)

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
        template = Template(job.config.data.passage_template)
        columns = ["doc_id", *template.names] if kind == "corpus" else ["query_id", "text"]
        rows = _table(job, kind).slice(start, stop, columns)
        texts = (passage_texts(rows, template) if kind == "corpus" else rows["text"]).to_pylist()
        digests = text_digests(texts)
        earlier = job.resource(f"earlier {kind}", lambda: EarlierVectors(job, kind, DECIDING))
        known, vectors, taken = earlier.find(digests)
        job.progress(len(known))
        missing = np.setdiff1d(np.arange(len(texts)), known)
        similarity = None if len(missing) else earlier.similarity
        cut_off = np.zeros(len(texts), bool)
        cut_off[known] = taken
        asked: Mapping[str, int] = {}
        if len(missing):
            encoder = job.resource("encoder", lambda: load_encoder(job.config))
            encode = encoder.encode_passages if kind == "corpus" else encoder.encode_queries
            new = [texts[row] for row in missing]
            try:
                encoded = encode(new, job.progress)
            except TextError as error:
                row = int(missing[error.position])
                raise error.named(f"{rows.column_names[0]} '{rows[0][row].as_py()}'") from error
            if not np.isfinite(encoded).all():
                row = int(missing[np.flatnonzero(~np.isfinite(encoded).all(axis=1))[0]])
                raise InputError(
                    f"the model gave a vector with NaN or Infinity for {rows.column_names[0]} '{rows[0][row].as_py()}'",
                    hint="Try embed.dtype: float32.",
                )
            _refuse_other_dimension(job, encoded.shape[1], earlier.dimension if len(known) else None)
            vectors = _joined(known, vectors, missing, encoded)
            similarity = encoder.similarity
            if isinstance(encoder, EndpointEncoder):
                asked = encoder.take_counts()
            elif isinstance(encoder, Measuring):
                cut_off[missing] = encoder.cut_off_passages(new) if kind == "corpus" else encoder.cut_off_queries(new)
        told = job.config.embed.endpoint is None  # how a server counts tokens is not known here
        read = pa.array(cut_off, mask=np.full(len(texts), not told))
        _publish(job, task.name, rows.column_names[0], rows[0], vectors, (digests, read))
        truncated = {_TRUNCATED[kind]: int(cut_off.sum())} if told else {}
        job.facts |= {"similarity": similarity, "dimension": int(vectors.shape[1])}
        return {"vectors": len(texts), "reused": len(known), **truncated, **asked}

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


_TRUNCATED = {"corpus": "truncated_passages", "queries": "truncated_queries"}
# Where parts are cut decides no vector.
DECIDING = tuple(key for key in EmbedStage.keys if key != "embed.part_rows")


def _table(job: Job, kind: str) -> StandingTable:
    file, number = ("corpus.parquet", "passage") if kind == "corpus" else ("queries.parquet", "query")
    return job.resource(kind, lambda: StandingTable(job.file("ingest", file), number))


def _refuse_other_dimension(job: Job, dimension: int, taken: int | None) -> None:
    """Refuse to go on with another model: one that a server has by the name of the one before.

    ``taken``: dimensions of vectors of the finished stage that are taken over.
    """

    def before() -> int | None:
        return next((receipt.facts.get("dimension") for receipt in job.pending.receipts().values()), None)

    known = taken or job.resource("dimension", before)
    if known not in (None, dimension):
        raise InputError(
            f"the vectors have {dimension} dimensions now, and those embedded before have {known}",
            hint="Has the server another model now? Set embed.endpoint.revision to embed all texts anew.",
        )


def _joined(known: np.ndarray, taken: np.ndarray, missing: np.ndarray, encoded: np.ndarray) -> np.ndarray:
    """Vectors float32 (n, d) of rows ``known`` and ``missing`` together."""
    vectors = np.empty((len(known) + len(missing), encoded.shape[1]), np.float32)
    if len(known):
        vectors[known] = taken
    vectors[missing] = encoded
    return vectors


def _publish(
    job: Job,
    name: str,
    id_column: str,
    ids: Any,
    vectors: np.ndarray,
    texts: tuple[np.ndarray, pa.Array] | None = None,
) -> None:
    """Publish a part. ``texts``, of a model's vectors: digests (n,), and which texts it did not read to the end."""
    store = job.config.embed.store_dtype
    id_field = schemas.DOC_ID if id_column == "doc_id" else schemas.QUERY_ID
    schema = schemas.vectors(id_field, vectors.shape[1], store, from_texts=texts is not None)
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
        if texts is not None:
            digests, columns[schemas.CUT_OFF.name] = texts
            columns[schemas.TEXT_DIGEST.name] = pa.FixedSizeBinaryArray.from_buffers(
                schemas.TEXT_DIGEST.type, len(digests), [None, pa.py_buffer(digests.tobytes())]
            )
        writer.write(columns)
        output.rows = writer.rows
