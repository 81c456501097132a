"""How much there is to do: queries, passages and characters, from a run or from the input files."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from negmine.config import Config
from negmine.encoders.model_files import resolve_model
from negmine.errors import NegmineError
from negmine.readers import BadRows, beir_files, read_corpus, read_pairs, read_qrels, read_queries
from negmine.readers.vectors import open_vectors
from negmine.store.manifest import Manifest
from negmine.store.tables import iter_batches

CHARACTERS_PER_TOKEN = 4


@dataclass
class Texts:
    """A number of texts, their characters, and those that a model with a token limit reads."""

    count: int = 0
    characters: int = 0
    read: int = 0

    def add(self, lengths: Sequence[int], limit: int) -> None:
        self.count += len(lengths)
        self.characters += sum(lengths)
        self.read += sum(min(length, limit) for length in lengths)

    def scaled(self, count: int) -> Texts:
        """The same texts on average, ``count`` of them."""
        share = count / self.count if self.count else 0.0
        return Texts(count, round(self.characters * share), round(self.read * share))


@dataclass(frozen=True)
class Workload:
    """What a run works on. ``exact`` is false for counts of input rows: an upper bound, since
    duplicates are not known before ingest. ``rows`` are those of the input files."""

    passages: Texts
    queries: Texts
    positives: int
    rows: int
    exact: bool


@dataclass(frozen=True)
class Model:
    """What the files of an embedding model tell: weights in all and outside the embedding table,
    bytes, tokens that it reads of a text, dimension."""

    weights: int
    weight_bytes: int
    max_tokens: int | None
    dimension: int | None


def from_run(folder: Path, manifest: Manifest, limit: int) -> Workload:
    """The workload of a finished ingest: its counts, and lengths from its tables."""
    counts = manifest.counts
    passages, queries = Texts(), Texts()
    for batch in iter_batches(folder / "corpus.parquet", ["title", "text"]):
        lengths = pc.add(pc.binary_length(batch["title"]), pc.binary_length(batch["text"]))
        passages.add(lengths.to_pylist(), limit)
    for batch in iter_batches(folder / "queries.parquet", ["text"]):
        queries.add(pc.binary_length(batch["text"]).to_pylist(), limit)
    return Workload(
        passages.scaled(counts["passages"]),
        queries.scaled(counts["distinct_queries"]),
        counts["positives"],
        counts["corpus_rows"] + counts["query_rows"],
        exact=True,
    )


def from_files(config: Config, limit: int) -> Workload:
    """The workload by the rows of the input files. Raises InputError when they cannot be read."""
    data = config.data
    if data.pairs is not None:
        return _pairs(config, Path(data.pairs), limit)
    if data.path is not None:
        files = beir_files(Path(data.path), data.split)
        corpus, queries, qrels = files.corpus, files.queries, files.qrels
    else:
        assert data.corpus is not None
        assert data.queries is not None
        assert data.qrels is not None
        corpus, queries, qrels = Path(data.corpus), Path(data.queries), Path(data.qrels)
    passages, texts = _corpus(config, corpus, limit), Texts()
    for batch in read_queries(queries, data.columns, BadRows("skip")):
        texts.add([len(text) for text in batch.texts], limit)
    judged: set[str] = set()
    positives = 0
    for found in read_qrels(qrels, BadRows("skip")):
        good = [query for query, grade in zip(found.query_ids, found.grades, strict=True) if grade >= data.min_grade]
        judged.update(good)
        positives += len(good)
    used = texts.scaled(min(len(judged), texts.count))
    return Workload(passages, used, positives, passages.count + texts.count + positives, exact=False)


def _pairs(config: Config, path: Path, limit: int) -> Workload:
    texts, positives = Texts(), Texts()
    line = None
    for batch in read_pairs(path, config.data.columns, BadRows("skip")):
        # A row with several positives repeats its query.
        firsts = [i for i, number in enumerate(batch.lines) if number != (batch.lines[i - 1] if i else line)]
        line = batch.lines[-1] if batch.lines else line
        texts.add([len(batch.queries[i]) for i in firsts], limit)
        positives.add([len(text or "") for text in batch.positive_texts], limit)
    corpus = _corpus(config, Path(config.data.corpus), limit) if config.data.corpus is not None else positives
    return Workload(corpus, texts, positives.count, corpus.count + texts.count, exact=False)


def _corpus(config: Config, path: Path, limit: int) -> Texts:
    texts = Texts()
    for batch in read_corpus(path, config.data.columns, (), BadRows("skip")):
        texts.add([len(title) + len(text) for title, text in zip(batch.titles, batch.texts, strict=True)], limit)
    return texts


def read_model(config: Config) -> Model | None:
    """What can be told of the config's model from its files, None when they are not on this machine."""
    if config.embed.model is None:
        return None
    try:
        folder = resolve_model(config.embed.model, config.embed.revision, download=False, backend=config.embed.backend)
    except NegmineError:
        return None
    weights = size = 0
    for file in sorted(folder.glob("*.safetensors")):
        own, own_bytes = _tensors(file)
        weights, size = weights + own, size + own_bytes
    if not weights:
        return None
    cap = config.embed.max_seq_length or _number(folder / "sentence_bert_config.json", "max_seq_length")
    dimension = _number(folder / "1_Pooling" / "config.json", "word_embedding_dimension")
    return Model(weights, size, cap, dimension or _number(folder / "config.json", "hidden_size"))


def _tensors(file: Path) -> tuple[int, int]:
    """Weights outside embedding tables, and bytes of all, from the header of a safetensors file."""
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    tables = {name: t["shape"] for name, t in header.items() if name != "__metadata__"}
    weights = sum(math.prod(s) for name, s in tables.items() if "embeddings" not in name and "embed_" not in name)
    return weights, file.stat().st_size


def _number(file: Path, key: str) -> int | None:
    try:
        value = json.loads(file.read_bytes()).get(key)
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, int) else None


def dimension(config: Config, model: Model | None, embedded: Manifest | None) -> int | None:
    """Dimensions of the vectors, as far as anything tells."""
    found = model.dimension if model else None
    if config.embed.vectors is not None:
        found = open_vectors(Path(config.embed.vectors.corpus), "doc_id").dimension
    elif found is None and embedded is not None:
        found = embedded.facts.get("dimension")
    return min(found, config.embed.truncate_dim or found) if found else None
