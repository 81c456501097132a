"""What each stage costs: tasks, bytes on disk, bytes of memory, seconds.

Constants were fitted to runs of 1,000 to 100,000 passages of 20 to 800 characters on the machine
whose ``Machine.speed`` is 1 (benchmarks/planning.py shows how well they do). What differs most
between machines, which is matrix products, models and disks, is measured on each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from negmine.encoders.batches import TOKENS
from negmine.planning.facts import Estimate, Facts, together
from negmine.planning.training_files import file_bytes, is_plain, tasks_of_export, texts_in_memory
from negmine.retrieval.list_costs import build_products, sample_bytes, search_products
from negmine.stages.lexical import COUNTED_ROWS
from negmine.stages.mine import CANDIDATE_BYTES
from negmine.store.vectors import SEGMENT_ROWS
from negmine.writers.histogram import can_draw

BASE = 155 * 10**6
"""Memory of the process with Arrow, numpy and faiss loaded."""
_TORCH = 550 * 10**6
"""Memory of torch and a model's activations, without its weights, where it was not measured."""
_HTTP = 35 * 10**6
"""Memory of the HTTP client and its libraries."""
_LANGUAGES = 75 * 10**6
"""Memory of the model that tells languages apart."""
_SEARCHING = 25 * 10**6
"""Memory that searching takes for its libraries, and filter for its own."""
_SAMPLED = 2_000
"""Queries that filter chooses its limits on."""
_ACTIVATIONS = 24
"""Intermediate results of a full batch that stay in memory after batches of many shapes."""
_LANGUAGES_SECONDS = 0.7
"""Seconds that it takes to load and to look at some thousand texts."""
_START = 0.03
"""Seconds that a stage takes at least."""
_PICTURE = 0.3
"""Seconds of the picture in the dataset card: most of it is loading matplotlib."""
_PASS = 3.5e-10
"""Seconds per byte of a pass over the vectors in memory of the system."""


def ingest(facts: Facts) -> Estimate:
    work = facts.work
    characters = work.passages.characters + work.queries.characters
    disk = 0.35 * characters + 26 * work.rows
    seconds = facts.seconds(_LANGUAGES_SECONDS + 0.17 + 5.8e-6 * work.rows + 1.7e-8 * characters, disk, 1)
    return Estimate(
        tasks=1,
        disk_bytes=round(disk),
        memory_bytes=_LANGUAGES
        + round(min(4 * characters, 64 * 10**6) + 25 * 10**6 * min(work.rows / 10**4, 1) + 190 * work.rows),
        seconds=seconds + work.bytes / facts.machine.read_bytes,
    )


def embed(facts: Facts) -> Estimate:
    return together([_embed(each) for each in (facts, *facts.others)])


def _embed(facts: Facts) -> Estimate:
    config, work = facts.config.embed, facts.work
    texts = work.passages.count + work.queries.count
    disk = texts * facts.vector_bytes if facts.vector_bytes is not None else None
    if facts.sparse:  # how many words have a weight, and how fast a model finds them, is not measured
        return Estimate(sum(math.ceil(t.count / config.part_rows) for t in (work.passages, work.queries)))
    if config.vectors is not None:
        assert facts.dimension is not None
        assert disk is not None
        values = texts * facts.dimension
        block = min(16_384, work.passages.count) * facts.dimension * 4
        seconds = facts.seconds(_START + 1.25e-8 * values, disk, texts / config.part_rows)
        return Estimate(1, disk, round(6.5 * block), seconds + values * 4 / facts.machine.read_bytes)
    assert facts.embedding is not None
    found = facts.embedding
    disk = disk + 17 * texts if disk is not None else None
    tasks = sum(math.ceil(t.count / config.part_rows) for t in (work.passages, work.queries))
    if config.endpoint is not None:
        # The texts of a part, its vectors, and answers as they arrive: numbers as text and as objects.
        part = config.part_rows * (2 * work.passages.mean + 8 * (facts.dimension or 1024))
        sent = config.endpoint.concurrency * config.endpoint.batch_texts * 60 * (facts.dimension or 1024)
        files = facts.seconds(_START, disk or 0, tasks)
        known = None if found.seconds is None else found.seconds + files
        return Estimate(tasks, disk, _HTTP + round(part + sent), known, asked=found.asked)
    total = None if found.memory_bytes is None else max(found.memory_bytes - BASE, 0)
    memory = _TORCH + facts.model.weight_bytes if total is None and facts.model else total
    if memory and facts.dimension:
        memory += round(_ACTIVATIONS * TOKENS * 16 * facts.dimension * min(found.texts / 4096, 1))
    if found.seconds is None:
        return Estimate(tasks, disk, memory)
    return Estimate(tasks, disk, memory, found.seconds + facts.seconds(_START, disk or 0, tasks), found.load)


def index(facts: Facts) -> Estimate:
    vectors = together([_vector_index(each) for each in (facts, *facts.others)])
    if not facts.config.mine.bm25:
        return vectors
    # A term in a passage every ten characters or so: it is counted, then weighed.
    passages, terms = facts.work.passages.count, facts.work.passages.characters // 10
    tasks, disk = math.ceil(passages / COUNTED_ROWS) + 1, 11 * terms
    memory = round(90 * terms * min(COUNTED_ROWS / max(passages, 1), 1)) + 20 * passages
    seconds = facts.seconds(3e-6 * passages + 7e-7 * terms, disk, tasks)
    return replace(
        vectors,
        tasks=(vectors.tasks or 0) + tasks,
        disk_bytes=None if vectors.disk_bytes is None else vectors.disk_bytes + disk,
        memory_bytes=None if vectors.memory_bytes is None else max(vectors.memory_bytes, memory),
        seconds=None if vectors.seconds is None else vectors.seconds + seconds,
    )


def _vector_index(facts: Facts) -> Estimate:
    if facts.sparse:
        return Estimate(1)
    passages, row, d = facts.work.passages.count, facts.vector_bytes, facts.dimension
    segments = math.ceil(passages / SEGMENT_ROWS)
    if row is None or d is None:
        return Estimate(segments + (1 if facts.faiss else 2 if facts.lists else 0))
    matrix = passages * row
    part = 10 * min(facts.config.embed.part_rows, passages) * row
    copied = facts.seconds(_START + 0.8e-9 * matrix, matrix, segments)
    if facts.faiss:
        return _faiss_index(facts, Estimate(segments + 1, matrix, part, copied), passages, d)
    if not facts.lists:
        return Estimate(segments, matrix, part, copied)
    block = min(facts.config.memory_limit // 4, min(SEGMENT_ROWS, passages) * d * 4)
    memory = max(3 * sample_bytes(facts.lists, d) // 2, 3 * block, part) + 24 * passages
    products = build_products(facts.lists, passages) * 2 * d / facts.machine.search_flops
    built = products + facts.seconds(4 * _PASS * matrix, matrix, 2)
    return Estimate(segments + 2, 2 * matrix, memory, copied + built, built)


def _faiss_index(facts: Facts, flat: Estimate, passages: int, d: int) -> Estimate:
    """With an index of faiss: time is told of lists only, roughly; training runs on one thread."""
    from negmine.errors import ConfigError
    from negmine.retrieval.approximate import index_bytes, new_index

    similarity = facts.config.embed.similarity
    try:
        held = index_bytes(new_index(facts.config.index.dense, d, similarity), passages)
    except ConfigError:  # the run will say what is wrong with it
        return Estimate(flat.tasks)
    held += 4 * d * facts.lists
    disk = (flat.disk_bytes or 0) + held
    sample = min(262_144, passages)
    memory = held + sample * d * 4 + max(flat.memory_bytes or 0, 4096 * d * 4)
    if not facts.lists:
        return Estimate(flat.tasks, disk, memory)
    train = 5 * min(sample, 256 * facts.lists) * facts.lists * facts.machine.threads
    products = (train + passages * facts.lists) * 2 * d / facts.machine.search_flops
    built = products + facts.seconds(2 * _PASS * held, held, 1)
    return Estimate(flat.tasks, disk, memory, (flat.seconds or 0) + built, built)


def mine(facts: Facts) -> Estimate:
    config, d = facts.config, facts.dimension
    measured = config.index.recall_target is not None and bool(facts.faiss or facts.lists)
    tasks, disk = 1 + facts.parts + measured + bool(config.mine.runs), round(22 * facts.candidates)
    if d is None:
        return Estimate(tasks, disk)
    passages, queries = facts.work.passages.count, facts.work.queries.count
    quarter = config.memory_limit // 4
    block = min(quarter, passages * d * 4)
    wanted = round(CANDIDATE_BYTES * facts.candidates * facts.part_share)
    memory = _SEARCHING + block + round(1.4 * min(quarter, wanted)) + 2 * round(queries * facts.part_share) * d * 4
    if facts.faiss and not facts.lists:
        return Estimate(tasks, disk)
    if facts.faiss:
        memory += passages * (facts.vector_bytes or 0)
    products = search_products(facts.lists, passages, queries) if facts.lists else queries * passages
    products *= config.mine.dense
    search = 2 * d * products / facts.machine.search_flops
    for other in facts.others:
        if other.dimension is None or other.sparse:
            return Estimate(tasks, disk)
        memory += min(quarter, passages * other.dimension * 4)
        search += 2 * other.dimension * queries * passages / facts.machine.search_flops
    # Each batch of queries reads the matrix three times: positives, search, exact scores.
    batches = facts.parts * math.ceil(wanted / quarter)
    several = facts.work.positives / max(queries, 1)
    candidate = 0.7e-6 + 0.8e-9 * d * (1 + several) / facts.machine.threads
    words = queries * (5e-5 + 3e-9 * passages) * config.mine.bm25
    seconds = facts.seconds(_START + facts.candidates * candidate + words, disk, tasks)
    passes = batches * 3 * passages * (facts.vector_bytes or 0) * _PASS / facts.machine.speed
    return Estimate(tasks, disk, memory, search + passes + seconds)


def filter_(facts: Facts) -> Estimate:
    config = facts.config.filter
    reuse = config.max_reuse is not None
    sampled = min(facts.work.queries.count, _SAMPLED) * min(facts.config.mine.k, facts.work.passages.count)
    disk = (22 if config.risk is None else 30) * facts.candidates
    tasks = facts.parts + 3 + reuse
    work = 0.03 + (0.85e-6 + 0.9e-6 * reuse) * facts.candidates + 0.15e-6 * sampled
    work += 5e-8 * facts.work.positives * facts.work.passages.mean
    return Estimate(
        tasks=tasks,
        disk_bytes=disk,
        memory_bytes=2 * _SEARCHING + round(400 * max(facts.candidates * facts.part_share, sampled)),
        seconds=facts.seconds(_START + work, disk, tasks),
    )


def export(facts: Facts) -> Estimate:
    sizes = [file_bytes(facts, entry) for entry in facts.config.export]
    kept = facts.work.queries.count * facts.config.filter.num_negatives
    files = sum(size / (1 if is_plain(e) else 4) for size, e in zip(sizes, facts.config.export, strict=True))
    disk = files + 40 * kept
    tasks = tasks_of_export(facts)
    part = 300 * facts.candidates * facts.part_share
    work = 0.13e-6 * facts.candidates * (len(sizes) + 1) + 2e-6 * kept * len(sizes) + 6e-9 * sum(sizes)
    return Estimate(
        tasks=tasks,
        disk_bytes=round(disk),
        memory_bytes=2 * _SEARCHING + round(part + texts_in_memory(facts, max(sizes))),
        seconds=facts.seconds(_START + work + _PICTURE * can_draw(), disk, tasks),
    )


ESTIMATES: Mapping[str, Callable[[Facts], Estimate]] = {
    "ingest": ingest,
    "embed": embed,
    "index": index,
    "mine": mine,
    "filter": filter_,
    "export": export,
}
