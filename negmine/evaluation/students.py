"""The student that a config asks for, on the vectors or the texts of its run."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from negmine.encoders.loading import Settings, load_model
from negmine.encoders.model_files import model_digests, resolve_model
from negmine.errors import ConfigError, NegmineError
from negmine.stages.base import Run
from negmine.stages.texts import StandingTable, passage_texts, passages_of, queries_of
from negmine.stages.vectors import block_rows, flat_vectors, query_vectors
from negmine.text import Template
from negmine.training.adapter import Adapter
from negmine.training.base import Student
from negmine.training.full import Full, Reading
from negmine.training.static import Static, Tokens, token_vectors, tokenizer_of

_TEXTS = 8_192


def student_of(run: Run) -> Student:
    """The student of ``evaluate.student``, ready to be trained. Raises InputError where its model cannot be loaded,
    ConfigError where it does not suit, MissingDependencyError without the packages of a trainer."""
    kind = run.config.evaluate.student
    return {"adapter": _adapter, "static": _static, "full": _full}[kind](run)


def _adapter(run: Run) -> Student:
    queries = query_vectors(run, 0, run.manifest("ingest").counts["distinct_queries"])
    source = flat_vectors(run)
    if source.rows <= block_rows(run.config, source.dimension):  # it fits: read once
        whole = np.concatenate([block.copy() for _, block in source.blocks(source.rows)])
        return Adapter(queries.__getitem__, whole.__getitem__)
    return Adapter(queries.__getitem__, source.take)


def _static(run: Run) -> Student:
    folder, weights = _model(run)
    model = _loaded(run, folder, "cpu")
    tokenizer = tokenizer_of(model)
    if tokenizer is None:
        raise ConfigError(
            "the model has no tokenizer that can be read apart from it",
            where="evaluate.model",
            hint="Name another model in evaluate.model, or set evaluate.student: adapter.",
        )
    queries, passages = (Tokens.of(_batches(table, read), tokenizer) for table, read in _tables(run))
    return Static(queries, passages, partial(token_vectors, model), weights)


def _full(run: Run) -> Student:
    folder, weights = _model(run)
    embed = run.config.embed
    device = embed.device if isinstance(embed.device, str) else embed.device[0]
    queries, passages = (_reader(table, read) for table, read in _tables(run))
    batch = 64 if embed.batch_size == "auto" else embed.batch_size
    return Full(
        lambda: _loaded(run, folder, device),
        queries,
        passages,
        Reading(embed.query_prompt, embed.document_prompt, batch),
        run.config.train.arguments,
        weights,
        device,
    )


def _model(run: Run) -> tuple[Path, str]:
    """The folder of the model that a student starts from, and a digest of what is in it."""
    embed, named = run.config.embed, run.config.evaluate.model
    assert named is not None or embed.model is not None
    revision = embed.revision if named is None else None
    with _named(run):
        folder = resolve_model(named or str(embed.model), revision)
    digests = model_digests(folder, "torch", run.work.digests.digest)
    return folder, hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _loaded(run: Run, folder: Path, device: str) -> Any:
    embed, threads = run.config.embed, run.config.threads
    settings = Settings(
        device=device,
        trust_remote_code=embed.trust_remote_code,
        threads=None if threads == "auto" else threads,
    )
    with _named(run):
        model = load_model(folder, settings)
    if embed.max_seq_length is not None and run.config.evaluate.student == "full":
        model.max_seq_length = embed.max_seq_length
    return model


@contextlib.contextmanager
def _named(run: Run) -> Iterator[None]:
    """Let errors about a model name the key that it stands in."""
    try:
        yield
    except NegmineError as error:
        for part in ("cause", "where", "hint") if run.config.evaluate.model is not None else ():
            if isinstance(text := getattr(error, part), str):
                setattr(error, part, text.replace("embed.model", "evaluate.model"))
        raise


Read = Callable[[StandingTable, np.ndarray], list[str]]


def _tables(run: Run) -> tuple[tuple[StandingTable, Read], tuple[StandingTable, Read]]:
    """Queries and passages, each with how a row is read."""
    template = Template(run.manifest("ingest").made_from["config"]["data.passage_template"])

    def query(table: StandingTable, numbers: np.ndarray) -> list[str]:
        return _listed(table.take(numbers, ["text"])["text"])

    def passage(table: StandingTable, numbers: np.ndarray) -> list[str]:
        return _listed(passage_texts(table.take(numbers, list(template.names)), template))

    return (queries_of(run), query), (passages_of(run), passage)


def _listed(texts: Any) -> list[str]:
    found: list[str] = texts.to_pylist()
    return found


def _batches(table: StandingTable, read: Read) -> Iterator[list[str]]:
    for low in range(0, len(table), _TEXTS):
        yield read(table, np.arange(low, min(low + _TEXTS, len(table))))


def _reader(table: StandingTable, read: Read) -> Callable[[np.ndarray], list[str]]:
    def texts(numbers: np.ndarray) -> list[str]:
        distinct, place = np.unique(numbers, return_inverse=True)
        found = read(table, distinct)
        return [found[at] for at in place]

    return texts
