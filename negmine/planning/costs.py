"""What each stage costs: tasks, bytes on disk, bytes of memory, seconds.

Constants were fitted to runs of the sample data and of 20,000 passages by 2,000 queries on two
cores. Per-row and per-byte costs of Python and Arrow differ between machines less than those
of matrix products and of models, which are measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from negmine.config import Config, ExportConfig
from negmine.planning.machine import Machine
from negmine.planning.workload import CHARACTERS_PER_TOKEN, Model, Workload
from negmine.retrieval.choice import TRAIN_ROWS, build_products, choose_lists, search_products
from negmine.stages.mine import CANDIDATE_BYTES
from negmine.store.vectors import SEGMENT_ROWS

_BASE = 180 * 10**6
"""Memory of the process with Arrow, numpy and faiss loaded."""
_TORCH = 550 * 10**6
"""Memory of torch and a model's activations, without its weights."""
_FILTER = 80 * 10**6
"""Memory of the library that fits the risk model."""
_SAMPLED = 2_000
"""Queries that filter chooses its limits on."""
_LOAD_SECONDS = 6.0
"""Importing torch and loading a small model."""
_MODEL_SHARE = 0.6
"""Share of the rate of a matrix product that a transformer reaches."""
_STAGE_SECONDS = 0.03
_MARGIN_OVER_LIMIT = 250 * 10**6


@dataclass(frozen=True)
class Estimate:
    """What a stage would do: tasks, bytes on disk, bytes of memory, seconds; None = not known."""

    tasks: int | None = None
    disk_bytes: int | None = None
    memory_bytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Facts:
    """What costs are computed from; ``seconds_per_text`` is known once some texts were embedded."""

    config: Config
    work: Workload
    machine: Machine
    model: Model | None
    dimension: int | None
    seconds_per_text: float | None = None

    @property
    def candidates(self) -> int:
        return self.work.queries.count * min(self.config.mine.k, self.work.passages.count)

    @property
    def parts(self) -> int:
        return math.ceil(self.work.queries.count / self.config.mine.part_queries)

    @property
    def part_share(self) -> float:
        """Share of the queries that one part of mine holds."""
        return min(self.config.mine.part_queries / max(self.work.queries.count, 1), 1.0)

    @property
    def faiss(self) -> bool:
        return self.config.index.dense not in ("exact", "auto")

    @property
    def lists(self) -> int:
        """Lists that auto will search by; 0 for exact search."""
        if self.config.index.dense != "auto" or self.config.embed.similarity == "manhattan":
            return 0
        return choose_lists(self.work.passages.count, self.work.queries.count, self.config.mine.k)

    @property
    def vector_bytes(self) -> int | None:
        if self.dimension is None:
            return None
        return self.dimension * (2 if self.config.embed.store_dtype == "float16" else 4)


def ingest(facts: Facts) -> Estimate:
    work = facts.work
    characters = work.passages.characters + work.queries.characters
    return Estimate(
        tasks=1,
        disk_bytes=round(0.35 * characters + 40 * work.rows),
        memory_bytes=_BASE + min(4 * characters, 64 * 10**6) + 300 * work.rows,
        seconds=0.15 + 5e-5 * work.rows + 3e-8 * characters,
    )


def embed(facts: Facts) -> Estimate:
    config, work = facts.config.embed, facts.work
    texts = work.passages.count + work.queries.count
    disk = texts * facts.vector_bytes if facts.vector_bytes is not None else None
    if config.vectors is not None:
        assert facts.dimension is not None
        block = 16_384 * facts.dimension * 4
        return Estimate(1, disk, _BASE + 6 * block, _STAGE_SECONDS + texts * (1e-6 + 4.5e-8 * facts.dimension))
    tasks = sum(math.ceil(t.count / config.part_rows) for t in (work.passages, work.queries))
    memory = _BASE + _TORCH + facts.model.weight_bytes if facts.model else None
    return Estimate(tasks, disk, memory, _embed_seconds(facts))


def _embed_seconds(facts: Facts) -> float | None:
    """From this run's own speed where some texts were embedded, else from the model's size."""
    texts = facts.work.passages.count + facts.work.queries.count
    if facts.seconds_per_text is not None:
        return _LOAD_SECONDS + texts * facts.seconds_per_text
    if facts.model is None or facts.config.embed.device not in ("auto", "cpu"):
        return None
    tokens = (facts.work.passages.read + facts.work.queries.read) / CHARACTERS_PER_TOKEN + 2 * texts
    return _LOAD_SECONDS + 2 * facts.model.weights * tokens / (facts.machine.flops * _MODEL_SHARE)


def index(facts: Facts) -> Estimate:
    passages, row = facts.work.passages.count, facts.vector_bytes
    segments = math.ceil(passages / SEGMENT_ROWS)
    if facts.faiss:
        return Estimate(tasks=segments + 1)
    lists, d = facts.lists, facts.dimension
    if row is None or d is None:
        return Estimate(tasks=segments + (2 if lists else 0))
    flat = Estimate(
        segments,
        passages * row,
        _BASE + 4 * facts.config.embed.part_rows * row,
        _STAGE_SECONDS + 7e-9 * passages * row,
    )
    if not lists:
        return flat
    block = min(facts.config.memory_limit // 4, min(SEGMENT_ROWS, passages) * d * 4)
    sample = 2 * min(TRAIN_ROWS * lists, passages) * d * 4
    products = build_products(lists, passages) * 2 * d / facts.machine.search_flops
    seconds = (flat.seconds or 0) + products + 7e-9 * passages * row
    return Estimate(segments + 2, 2 * passages * row, _BASE + max(sample, 3 * block) + 24 * passages, seconds)


def mine(facts: Facts) -> Estimate:
    config, d = facts.config, facts.dimension
    measured = config.index.recall_target is not None and bool(facts.faiss or facts.lists)
    tasks, disk = 1 + facts.parts + measured, round(13.5 * facts.candidates)
    if d is None:
        return Estimate(tasks, disk)
    passages, queries = facts.work.passages.count, facts.work.queries.count
    quarter = config.memory_limit // 4
    block = min(quarter, min(SEGMENT_ROWS, passages) * d * 4)
    found = min(quarter, round(CANDIDATE_BYTES * facts.candidates * facts.part_share))
    memory = _BASE + block + 2 * found + 2 * round(queries * facts.part_share) * d * 4
    memory = min(memory, config.memory_limit + _MARGIN_OVER_LIMIT)
    if facts.faiss:
        return Estimate(tasks, disk)
    products = search_products(facts.lists, passages, queries) if facts.lists else queries * passages
    search = 2 * d * products / facts.machine.search_flops
    candidate = facts.candidates * (1e-6 + 8e-9 * d)
    return Estimate(tasks, disk, memory, _STAGE_SECONDS + search + candidate)


def filter_(facts: Facts) -> Estimate:
    config = facts.config.filter
    reuse = config.max_reuse is not None
    sampled = min(facts.work.queries.count, _SAMPLED) * min(facts.config.mine.k, facts.work.passages.count)
    return Estimate(
        tasks=facts.parts + 3 + reuse,
        disk_bytes=(21 if config.risk is None else 29) * facts.candidates,
        memory_bytes=_BASE + _FILTER + round(450 * max(facts.candidates * facts.part_share, sampled)),
        seconds=_STAGE_SECONDS + (4e-6 + 2e-6 * reuse) * facts.candidates + 8e-6 * sampled,
    )


def export(facts: Facts) -> Estimate:
    sizes = [_file_bytes(facts, entry) for entry in facts.config.export]
    kept = facts.work.queries.count * facts.config.filter.num_negatives
    return Estimate(
        tasks=len(sizes) + 2,
        disk_bytes=round(
            sum(size / (1 if _plain(e) else 4) for size, e in zip(sizes, facts.config.export, strict=True))
        )
        + 30 * kept,
        memory_bytes=_BASE + round(6 * max(sizes) * facts.part_share),
        seconds=_STAGE_SECONDS * len(sizes) + 3e-8 * sum(sizes) + 1e-5 * kept,
    )


def _plain(entry: ExportConfig) -> bool:
    return entry.file.endswith(".jsonl")


def _file_bytes(facts: Facts, entry: ExportConfig) -> float:
    """Bytes of a training file before compression, when every query gets all its negatives."""
    work, n = facts.work, facts.config.filter.num_negatives
    passage = work.passages.characters / max(work.passages.count, 1) + 16
    query = work.queries.characters / max(work.queries.count, 1) + 16
    rows = {
        "triplet": work.positives * n * (query + 2 * passage),
        "n-tuple": work.positives * (query + (1 + n) * passage),
        "labeled-pair": (work.positives + work.queries.count * n) * (query + passage),
        "labeled-list": work.positives * (query + (1 + n) * passage),
    }
    return rows.get(entry.format, rows["n-tuple"])


ESTIMATES: Mapping[str, Callable[[Facts], Estimate]] = {
    "ingest": ingest,
    "embed": embed,
    "index": index,
    "mine": mine,
    "filter": filter_,
    "export": export,
}
