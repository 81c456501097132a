"""What the rerank stage comes to: pairs, tokens, and time by the model's own pace on this machine."""

from __future__ import annotations

import math
import time
from dataclasses import asdict

import numpy as np

from negmine.config import Config
from negmine.encoders.batches import LEAST_TOKENS
from negmine.errors import NegmineError
from negmine.pipeline import StageStatus
from negmine.planning.costs import BASE
from negmine.planning.facts import Asked, Estimate, Facts
from negmine.planning.kept import Measured, kept
from negmine.planning.machine import Note
from negmine.planning.pace import Pace, characters_per_token, fastest, fitted, token_lengths
from negmine.planning.workload import CHARACTERS_PER_TOKEN
from negmine.scoring.base import Scorer
from negmine.stages.base import Job
from negmine.stages.rerank.scoring import load_scorer, model_folder, scorer_identity
from negmine.stages.rerank.stage import unscored
from negmine.store.digests import DigestCache
from negmine.store.manifest import digest_of
from negmine.store.usage import peak_rss_bytes, reset_peak_rss
from negmine.store.workdir import WorkDir

_BYTES = 30
"""Of a pair on disk."""
_PAIR = 300
"""Bytes of memory that a pair of a part takes besides its text and tokens."""
_POINTS = ((16, 16), (16, 64), (8, 192))
"""Pairs and tokens of each that are measured."""


def pairs_of(facts: Facts) -> int:
    """Candidates and positives that are scored, at most."""
    rerank, work = facts.config.rerank, facts.work
    assert rerank is not None
    each = min(facts.config.mine.most, work.passages.count)
    each = each if rerank.depth is None else min(each, rerank.depth)
    return work.queries.count * each + work.positives


def known_pairs(config: Config, work: WorkDir, mine: StageStatus, status: StageStatus) -> tuple[int, int] | None:
    """How many pairs there are, and how many of them the finished stage has no score of; None while ``mine`` is not
    current, as its candidates are not known then."""
    if mine.state != "current" or status.made_from is None:
        return None
    job = Job(config, work, work.pending("rerank", digest_of(status.made_from)))
    try:
        return unscored(job)
    except (NegmineError, OSError):  # of a URL, files may not be here yet
        return None


def rerank(
    facts: Facts, digests: DigestCache, note: Note, *, again: bool, known: tuple[int, int] | None = None
) -> Estimate:
    """``known`` are ``known_pairs``; without them it is an upper bound that takes all pairs for new."""
    config, work = facts.config, facts.work
    pairs, new = known or (pairs_of(facts),) * 2
    assert config.rerank is not None
    tasks, disk = math.ceil(pairs / config.rerank.part_pairs), _BYTES * pairs
    files = facts.seconds(0.0, disk, tasks)
    part = min(config.rerank.part_pairs, pairs)
    held = round(part * (_PAIR + 2 * work.passages.mean))
    if not new:
        return Estimate(tasks, disk, held, files)
    share = new / max(work.passages.count, 1)
    prompt = len(config.rerank.query_prompt or "")
    shifted = np.concatenate([np.zeros(round(work.queries.mean) + prompt), work.passages.lengths * share])
    if config.rerank.endpoint is not None:
        lengths = token_lengths(shifted, CHARACTERS_PER_TOKEN, None)
        tokens = float(lengths @ np.arange(len(lengths)))
        requests = math.ceil(new / max(work.queries.count, 1) / config.rerank.endpoint.batch_texts)
        return Estimate(tasks, disk, held, asked=Asked(requests * work.queries.count, round(tokens), None))
    try:
        folder = model_folder(config, download=False)
        pace = _pace(config, digests, note, again=again)
    except NegmineError:  # the run will say what is wrong with the model, or download it
        return Estimate(tasks, disk)
    per_token = characters_per_token(folder, list(work.passages.sample)) or CHARACTERS_PER_TOKEN
    limit = config.rerank.max_length or 512
    seconds = pace.load + pace.seconds(token_lengths(shifted, per_token, limit), max(tasks, 1))
    return Estimate(tasks, disk, held + max(round(pace.memory) - BASE, 0), seconds + files, pace.load)


def _pace(config: Config, digests: DigestCache, note: Note, *, again: bool) -> Pace:
    assert config.rerank is not None
    names = ("backend", "device", "dtype", "batch_size", "max_length")
    key = {
        "model": scorer_identity(config, digests),
        "rerank": {name: getattr(config.rerank, name) for name in names},
        "threads": config.threads,
    }

    def measure() -> Measured:
        note("measuring the reranker")
        return asdict(_measured(config))

    return Pace(**kept("reranker", key, measure, again=again))


def _measured(config: Config) -> Pace:
    reset_peak_rss()
    started = time.perf_counter()
    scorer = load_scorer(config)
    _seconds(scorer, 1, 16, 1)
    load = time.perf_counter() - started
    assert config.rerank is not None
    longest = config.rerank.max_length or max(length for _, length in _POINTS)
    points = [(max(rows, LEAST_TOKENS // length), min(length, longest)) for rows, length in _POINTS]
    times = np.array([_seconds(scorer, rows, length, 2) for rows, length in points])
    call, token, square = fitted(np.array(points, np.float64), times)
    return Pace(load, call, token, square, float(peak_rss_bytes()), 0.0)


def _seconds(scorer: Scorer, rows: int, tokens: int, times: int) -> float:
    passage = " ".join(["a"] * max(tokens - 4, 1))  # with one of the query, and three that tokenizers add
    of_query = np.zeros(rows, np.int64)
    return fastest(lambda: scorer.score(["a"], [passage], of_query, of_query, lambda pairs: None), times)
