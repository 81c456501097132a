"""What costs are computed from, and what they come to."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from negmine.config import Config
from negmine.planning.machine import Machine
from negmine.planning.workload import Model, Workload
from negmine.retrieval.list_costs import choose_lists

_SYNCS = 4
"""Times that a task waits for the disk, which makes its file, its receipt and their names safe."""


@dataclass(frozen=True)
class Asked:
    """What a stage asks of an endpoint: requests, estimated tokens, and their cost; None without a price."""

    requests: int
    tokens: int
    cost: float | None


@dataclass(frozen=True)
class Estimate:
    """What a stage would do: tasks, bytes on disk, bytes of memory, seconds; None = not known.

    ``memory_bytes`` is what it takes besides ``BASE`` and what earlier stages left. ``apart``: seconds
    that several workers do not share.
    """

    tasks: int | None = None
    disk_bytes: int | None = None
    memory_bytes: int | None = None
    seconds: float | None = None
    apart: float = 0.0
    asked: Asked | None = None


def together(estimates: Sequence[Estimate]) -> Estimate:
    """Estimates of what one stage does one after the other; not known where one of them is not."""

    def total(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    tasks, disk, seconds = (total([getattr(e, n) for e in estimates]) for n in ("tasks", "disk_bytes", "seconds"))
    memory = [each.memory_bytes for each in estimates]
    asked = [each.asked for each in estimates if each.asked is not None]
    return Estimate(
        None if tasks is None else int(tasks),
        None if disk is None else round(disk),
        None if None in memory else max(value for value in memory if value is not None),
        seconds,
        sum(each.apart for each in estimates),
        Asked(sum(a.requests for a in asked), sum(a.tokens for a in asked), total([a.cost for a in asked]))
        if asked
        else None,
    )


@dataclass(frozen=True)
class Embedding:
    """What embed takes for the texts that have no vector yet: their number, seconds in all and until the
    model is ready, and memory of the process. None = not known. ``asked`` is for an endpoint."""

    texts: int
    seconds: float | None = None
    load: float = 0.0
    memory_bytes: int | None = None
    asked: Asked | None = None


@dataclass(frozen=True)
class Facts:
    """What costs are computed from; ``embedding`` is None with ready-made vectors. ``others``: the same of each further
    encoder, in whose config it stands for the main one and is searched exactly."""

    config: Config
    work: Workload
    machine: Machine
    model: Model | None
    dimension: int | None
    embedding: Embedding | None = None
    others: tuple[Facts, ...] = ()

    @property
    def sparse(self) -> bool:
        """Whether these are of a sparse encoder."""
        return getattr(self.config.embed, "kind", "dense") == "sparse"

    @property
    def candidates(self) -> int:
        return self.work.queries.count * min(self.config.mine.most, self.work.passages.count)

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
        """Lists that search goes by, of its own or of a faiss index; 0 for exact search and other indexes."""
        if self.faiss:
            named = re.search(r"IVF(\d+)", self.config.index.dense)
            return int(named[1]) if named else 0
        if self.config.index.dense != "auto" or self.config.embed.similarity == "manhattan":
            return 0
        passages, queries = self.work.passages.count, self.work.queries.count
        return choose_lists(passages, queries, self.config.mine.k, self.dimension or 384)

    @property
    def vector_bytes(self) -> int | None:
        if self.dimension is None:
            return None
        return self.dimension * (2 if self.config.embed.store_dtype == "float16" else 4)

    def seconds(self, work: float, disk_bytes: float, tasks: float) -> float:
        """Seconds of ``work`` on one thread of speed 1, of hashing and writing files, and of their syncs."""
        machine = self.machine
        files = disk_bytes * (1 / machine.hash_bytes + 1 / machine.write_bytes)
        return work / machine.speed + files + tasks * _SYNCS * machine.sync_seconds
