"""How much there is to do: queries, passages and characters, from a run or from the input files."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.config import Config
from negmine.config.texts import ChunkConfig
from negmine.encoders.model_files import resolve_model
from negmine.errors import NegmineError
from negmine.readers import LABEL_FORMATS, BadRows, read_corpus, read_qrels, read_queries
from negmine.readers.shards import read_each
from negmine.readers.vectors import open_vectors
from negmine.remote.fetching import input_file
from negmine.selection.chunking import cut
from negmine.stages.base import Job
from negmine.stages.embed.earlier import EarlierVectors, text_digests
from negmine.stages.embed.encoding import DECIDING, EncoderSource
from negmine.stages.ingest.files import Files
from negmine.stages.ingest.sources import Source
from negmine.stages.texts import passage_texts, table_of
from negmine.stages.vectors import fact_of
from negmine.store.manifest import Manifest
from negmine.store.tables import iter_batches, to_numpy
from negmine.text import Template

CHARACTERS_PER_TOKEN = 4
"""Where no tokenizer tells."""
_LONGEST = 1 << 16
_SAMPLED = 8
"""Texts of a batch that the tokenizer is asked about."""


@dataclass(frozen=True)
class Texts:
    """A number of texts and their characters.

    ``lengths`` float64 (n,) is how many there are of each length in characters (the last: of that or
    more), ``sample`` some of them.
    """

    count: int
    characters: int
    lengths: np.ndarray
    sample: tuple[str, ...] = ()

    def scaled(self, count: int) -> Texts:
        """The same texts on average, ``count`` of them."""
        share = count / self.count if self.count else 0.0
        return Texts(count, round(self.characters * share), self.lengths * share, self.sample)

    @property
    def mean(self) -> float:
        """Characters of a text."""
        return self.characters / self.count if self.count else 0.0


class Counting:
    """Collects ``Texts``; with ``distinct``, equal texts count once."""

    def __init__(self, *, distinct: bool) -> None:
        self._distinct = distinct
        self._hashes: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._sample: list[str] = []

    def add(self, texts: Sequence[str], lengths: np.ndarray | None = None) -> None:
        """More texts; with ``lengths`` in characters (n,), ``texts`` need only be some of them."""
        self._lengths.append(np.fromiter(map(len, texts), np.int64, len(texts)) if lengths is None else lengths)
        if self._distinct:
            self._hashes.append(np.fromiter(map(hash, texts), np.int64, len(texts)))
        self._sample += texts[: _SAMPLED if len(self._sample) < 64 * _SAMPLED else 0]

    def found(self) -> Texts:
        lengths = np.concatenate([np.empty(0, np.int64), *self._lengths])
        if self._distinct:
            lengths = lengths[np.unique(np.concatenate([np.empty(0, np.int64), *self._hashes]), return_index=True)[1]]
        counted = np.bincount(np.minimum(lengths, _LONGEST)).astype(np.float64)
        return Texts(len(lengths), int(lengths.sum()), counted, tuple(self._sample))


@dataclass(frozen=True)
class Workload:
    """What a run works on. ``exact`` is false for counts of input rows: an upper bound, since not
    all duplicates are known before ingest. ``rows`` are those of the input files, ``bytes`` their size."""

    passages: Texts
    queries: Texts
    positives: int
    rows: int
    exact: bool
    bytes: int = 0


@dataclass(frozen=True)
class Model:
    """What the files of an embedding model tell: weights in all and outside the embedding table,
    bytes, tokens that it reads of a text, dimension."""

    weights: int
    weight_bytes: int
    max_tokens: int | None
    dimension: int | None


def from_run(folder: Path, manifest: Manifest) -> Workload:
    """The workload of a finished ingest: its counts, and lengths from its tables."""
    counts = manifest.counts
    passages, queries = Counting(distinct=False), Counting(distinct=False)
    template = Template(manifest.made_from["config"]["data.passage_template"])
    for batch in iter_batches(folder / "corpus.parquet", list(template.names)):
        texts = passage_texts(pa.Table.from_batches([batch]), template)
        passages.add(texts[:_SAMPLED].to_pylist(), _characters(texts))
    for batch in iter_batches(folder / "queries.parquet", ["text"]):
        queries.add(batch["text"][:_SAMPLED].to_pylist(), _characters(batch["text"]))
    return Workload(
        passages.found().scaled(counts["passages"]),
        queries.found().scaled(counts["distinct_queries"]),
        counts["positives"],
        counts["corpus_rows"] + counts["query_rows"],
        exact=True,
    )


def _characters(texts: pa.Array) -> np.ndarray:
    lengths: np.ndarray = to_numpy(pc.utf8_length(texts)).astype(np.int64)
    return lengths


def from_files(config: Config) -> Workload:
    """The workload by the rows of the input files. Raises InputError when they cannot be read."""
    data = config.data
    source = Source.of(config)
    files = source.files
    if files.pairs:
        return _pairs(config, source)
    passages, rows = _corpus(config, source)
    counting = Counting(distinct=True)
    query_rows = _queries(config, source, counting)
    judged: set[str] = set()
    positives = 0
    for found in read_each(files.qrels, lambda path: read_qrels(path, BadRows("skip"))):
        good = [query for query, grade in zip(found.query_ids, found.grades, strict=True) if grade >= data.min_grade]
        judged.update(good)
        positives += len(good)
    texts = counting.found()
    used = texts.scaled(min(len(judged), texts.count))
    return Workload(passages, used, positives, rows + query_rows + positives, exact=False, bytes=_bytes(files))


def _bytes(files: Files) -> int:
    return sum(path.stat().st_size for path in files.by_key().values())


def _queries(config: Config, source: Source, counting: Counting) -> int:
    """Count the queries of files that hold nothing else; how many rows they have."""
    rows, columns, skip = 0, config.data.columns, BadRows("skip")
    for batch in read_each(source.files.queries, lambda path: read_queries(path, columns, skip, source.layout)):
        counting.add(batch.texts)
        rows += len(batch.texts)
    return rows


def _pairs(config: Config, source: Source) -> Workload:
    files = source.files
    queries, passages = Counting(distinct=True), Counting(distinct=True)
    rows = pairs = 0
    template = Template(config.data.passage_template)
    nothing = dict.fromkeys(template.names, "")
    for batch in LABEL_FORMATS[source.format].read(files.pairs, source.settings(config), BadRows("skip")):
        queries.add([text for text in batch.queries if text is not None])
        columns = {name: [value] * len(batch.texts) for name, value in nothing.items()}
        passages.add(template.fill({**columns, "title": batch.titles, "text": batch.texts}))
        rows += len(batch.lines)
        pairs += batch.ranks.count(0)
    rows += _queries(config, source, queries)
    if not files.corpus:
        corpus = passages.found()
    else:
        corpus, more = _corpus(config, source)
        rows += more
    return Workload(corpus, queries.found(), pairs, rows, exact=False, bytes=_bytes(files))


def _corpus(config: Config, source: Source) -> tuple[Texts, int]:
    """The distinct documents, and the number of rows."""
    texts, rows = Counting(distinct=True), 0
    data, template = config.data, Template(config.data.passage_template)
    metadata = [name for name in data.metadata if name in template.names]
    batches = read_each(
        source.files.corpus, lambda path: read_corpus(path, data.columns, metadata, BadRows("skip"), source.layout)
    )
    for batch in batches:
        filled = template.fill({"title": batch.titles, "text": batch.texts, **batch.metadata})
        texts.add(filled if data.chunks is None else [chunk for text in filled for chunk in _cut(text, data.chunks)])
        rows += len(batch.texts)
    return texts.found(), rows


def _cut(text: str, chunks: ChunkConfig) -> list[str]:
    return [text[start:stop] for start, stop in cut(text, chunks.max_chars, chunks.overlap_chars)]


def not_embedded(job: Job, source: EncoderSource) -> tuple[Texts, Texts]:
    """Passages and queries of a finished ingest that have no vector of an encoder in the finished embed stage."""
    size = source.config.embed.part_rows
    template = Template(job.config.data.passage_template)
    found = []
    for kind in ("corpus", "queries"):
        table = table_of(job, kind)
        earlier = EarlierVectors(job, kind, DECIDING, source)
        missing = Counting(distinct=False)
        for start in range(0, len(table), size):
            columns = list(template.names) if kind == "corpus" else ["text"]
            rows = table.slice(start, min(start + size, len(table)), columns)
            texts = (passage_texts(rows, template) if kind == "corpus" else rows["text"]).to_pylist()
            known = earlier.known(text_digests(texts))
            missing.add([text for text, there in zip(texts, known, strict=True) if not there])
        found.append(missing.found())
    return found[0], found[1]


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
    if config.embed.endpoint is not None:
        found = config.embed.endpoint.dimensions
    if config.embed.vectors is not None:
        found = open_vectors(input_file(config, config.embed.vectors.corpus), "doc_id").dimension
    elif found is None and embedded is not None:
        found = embedded.facts.get(fact_of("dimension", getattr(config.embed, "name", None)))
    return min(found, config.embed.truncate_dim or found) if found else None
