"""embed: one vector of every encoder per distinct passage and query.

Vectors that the finished stage of the last run has are taken over, the other texts are encoded.
A vector does not depend on the texts encoded with it when the torch backend runs on a processor:
then a run after a change of the corpus has the bytes of a run into an empty folder. On a graphics
card, with other backends, and with layers after the pooling the two differ by rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.config import Config
from negmine.encoders.base import Measuring, SparseVectors, TextError
from negmine.encoders.endpoint import EndpointEncoder
from negmine.errors import InputError
from negmine.remote.fetching import input_file
from negmine.stages.base import Job, Stage, Task, ranges
from negmine.stages.embed.earlier import EarlierVectors, text_digests
from negmine.stages.embed.encoding import (
    DECIDING,
    KEYS,
    OTHERS,
    EncoderSource,
    check_encoder,
    encoder_identity,
    load_encoder,
    load_sparse_encoder,
    settings_of,
    sources,
)
from negmine.stages.embed.ready import ReadyVectors, check_files
from negmine.stages.embed.sparse import publish_sparse, sparse_joined, text_columns
from negmine.stages.texts import passage_texts, table_of
from negmine.stages.vectors import fact_of
from negmine.store.digests import DigestCache
from negmine.store.manifest import Receipt, output_digest
from negmine.store.tables import TableWriter
from negmine.text import Template


class EmbedStage(Stage):
    """Parts of ``embed.part_rows`` texts, encoder after encoder."""

    name = "embed"
    unit = "texts"
    keys = KEYS
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"ingest": ("passage_texts", "query_texts")}

    def inputs(self, config: Config) -> Mapping[str, Path]:
        files = {}
        for source in sources(config):
            vectors = source.config.embed.vectors
            key = "embed.vectors" if source.name is None else f"embed.others.{source.place}.vectors"
            if vectors is not None:
                files[f"{key}.corpus"] = input_file(config, vectors.corpus)
                files[f"{key}.queries"] = input_file(config, vectors.queries)
        for key, path in files.items():
            if not path.is_file():
                raise InputError("this file does not exist", where=str(path), hint=f"Check {key}.")
        return files

    def identity(self, config: Config, digests: DigestCache) -> Mapping[str, Mapping[str, Any]]:
        others = sources(config)[1:]
        found: dict[str, Mapping[str, Any]] = {OTHERS: {}}
        if config.embed.model is not None:
            found["model"] = encoder_identity(config, digests)
        for source in others:
            with source.errors():
                local = source.config.embed.model is not None
                model = encoder_identity(source.config, digests) if local else None
            found[OTHERS] = {**found[OTHERS], str(source.name): {**settings_of(source), "model": model}}
        return found

    def check(self, config: Config, counts: Mapping[str, Any] | None) -> None:
        for source in sources(config):
            with source.errors():
                if source.config.embed.vectors is not None:
                    check_files(source.config)
                elif counts is None:
                    check_encoder(source.config)

    def runs_model(self, config: Config) -> bool:
        return any(source.config.embed.model is not None for source in sources(config))

    def phases(self, job: Job) -> Iterator[Sequence[Task]]:
        for source in sources(job.config):  # one model at a time
            embed, folder = source.config.embed, source.folder
            if embed.vectors is not None:
                yield [Task(f"{folder}ready", size=sum(len(table_of(job, kind)) for kind in ("corpus", "queries")))]
            else:
                yield [
                    task
                    for kind in ("corpus", "queries")
                    for task in ranges(len(table_of(job, kind)), embed.part_rows, f"{folder}{kind}/part")
                ]

    def execute(self, task: Task, job: Job) -> Mapping[str, int]:
        every = sources(job.config)
        source = next((s for s in every if s.name is not None and task.name.startswith(s.folder)), every[0])
        for other in every:
            if other is not source:
                job.give_back(_resource("encoder", other))
        with source.errors():
            name = task.name.removeprefix(source.folder)
            if name == "ready":
                return _ready(job, source)
            return _part(task, job, source, name.split("/")[0])

    def outputs(self, receipts: Sequence[Receipt]) -> dict[str, str]:
        parts = [part for receipt in receipts for part in receipt.parts]
        return {
            kind: output_digest([part for part in parts if part.path.split("/")[-2] == kind])
            for kind in ("corpus", "queries")
        }


_TRUNCATED = {"corpus": "truncated_passages", "queries": "truncated_queries"}


def _resource(name: str, source: EncoderSource) -> str:
    """The name of what is held for an encoder."""
    return fact_of(name, source.name)


@dataclass(frozen=True)
class _Texts:
    """The texts of a part as the model is given them, prompt apart: ids (n,) in their column, and digests S16 (n,)."""

    id_column: str
    ids: Any
    texts: list[str]
    digests: np.ndarray

    @classmethod
    def of(cls, job: Job, kind: str, start: int, stop: int) -> _Texts:
        template = Template(job.config.data.passage_template)
        columns = ["doc_id", *template.names] if kind == "corpus" else ["query_id", "text"]
        rows = table_of(job, kind).slice(start, stop, columns)
        texts = (passage_texts(rows, template) if kind == "corpus" else rows["text"]).to_pylist()
        return cls(columns[0], rows[0], texts, text_digests(texts))

    def named(self, row: int) -> str:
        """A text as errors name it."""
        return f"{self.id_column} '{self.ids[row].as_py()}'"


def _part(task: Task, job: Job, source: EncoderSource, kind: str) -> Mapping[str, int]:
    """Encode what no earlier run did, and publish the part."""
    part = _Texts.of(job, kind, task.args["start"], task.args["stop"])
    earlier = job.resource(_resource(f"earlier {kind}", source), lambda: EarlierVectors(job, kind, DECIDING, source))
    known = np.flatnonzero(earlier.known(part.digests))
    job.progress(len(known))
    missing = np.setdiff1d(np.arange(len(part.texts)), known)
    cut_off = np.zeros(len(part.texts), bool)
    asked: Mapping[str, int] = {}
    encoder: Any = None
    encoded: Any = None
    if len(missing):
        load = load_sparse_encoder if source.sparse else load_encoder
        encoder = job.resource(_resource("encoder", source), lambda: load(source.config))
        new = [part.texts[row] for row in missing]
        encode = encoder.encode_passages if kind == "corpus" else encoder.encode_queries
        try:
            encoded = encode(new, job.progress)
        except TextError as error:
            raise error.named(part.named(int(missing[error.position]))) from error
        _refuse_not_finite(part, missing, encoded)
        if isinstance(encoder, EndpointEncoder):
            asked = encoder.take_counts()
        elif isinstance(encoder, Measuring):
            cut_off[missing] = encoder.cut_off_passages(new) if kind == "corpus" else encoder.cut_off_queries(new)
    if source.sparse:
        _, vectors, cut_off[known] = earlier.find_sparse(part.digests)
        told = pa.array(cut_off)
        publish_sparse(
            job,
            task.name,
            (part.id_column, part.ids),
            sparse_joined(known, vectors, missing, encoded),
            (part.digests, told),
        )
    else:
        _, taken, cut_off[known] = earlier.find(part.digests)
        vectors_now = taken
        if len(missing):
            before = earlier.dimension if len(known) else None
            _refuse_other_dimension(job, source, encoded.shape[1], before)
            vectors_now = _joined(known, taken, missing, encoded)
        similarity = encoder.similarity if len(missing) else earlier.similarity
        told = pa.array(cut_off, mask=np.full(len(cut_off), source.config.embed.endpoint is not None))
        _publish(job, source, task.name, part.id_column, part.ids, vectors_now, (part.digests, told))
        job.facts |= _facts(source, similarity, vectors_now)
    counts = {"vectors": len(part.texts), "reused": len(known), **asked}
    if source.config.embed.endpoint is None:  # how a server counts tokens is not known here
        counts[fact_of(_TRUNCATED[kind], source.name)] = int(cut_off.sum())
    return counts


def _facts(source: EncoderSource, similarity: str, vectors: np.ndarray) -> dict[str, Any]:
    return {
        fact_of("similarity", source.name): similarity,
        fact_of("dimension", source.name): int(vectors.shape[1]),
    }


def _refuse_not_finite(part: _Texts, missing: np.ndarray, encoded: Any) -> None:
    if isinstance(encoded, SparseVectors):
        wrong = np.searchsorted(encoded.offsets, np.flatnonzero(~np.isfinite(encoded.weights)), side="right") - 1
    else:
        wrong = np.flatnonzero(~np.isfinite(encoded).all(axis=1))
    if len(wrong):
        raise InputError(
            f"the model gave a vector with NaN or Infinity for {part.named(int(missing[wrong[0]]))}",
            hint="Try embed.dtype: float32.",
        )


def _ready(job: Job, source: EncoderSource) -> Mapping[str, int]:
    total = 0
    for kind in ("corpus", "queries"):
        given = ReadyVectors(job, source.config, kind)
        ids = table_of(job, kind).column(given.id_column)
        for number, (start, vectors) in enumerate(given.parts(source.config.embed.part_rows)):
            name = f"{source.folder}{kind}/part-{number:05d}"
            _publish(job, source, name, given.id_column, ids.slice(start, len(vectors)), vectors)
            job.progress(len(vectors))
            total += len(vectors)
            job.facts |= _facts(source, given.similarity, vectors)
    return {"vectors": total}


def _refuse_other_dimension(job: Job, source: EncoderSource, dimension: int, taken: int | None) -> None:
    """Refuse to go on with another model: one that a server has by the name of the one before.

    ``taken``: dimensions of vectors of the finished stage that are taken over.
    """

    def before() -> int | None:
        facts = (receipt.facts.get(name) for receipt in job.pending.receipts().values())
        return next((dimension for dimension in facts if dimension is not None), None)

    name = _resource("dimension", source)
    known = taken or job.resource(name, before)
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
    source: EncoderSource,
    name: str,
    id_column: str,
    ids: Any,
    vectors: np.ndarray,
    texts: tuple[np.ndarray, pa.Array] | None = None,
) -> None:
    """Publish a part. ``texts``, of a model's vectors: digests (n,), and which texts it did not read to the end."""
    store = source.config.embed.store_dtype
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
            columns |= text_columns(*texts)
        writer.write(columns)
        output.rows = writer.rows
