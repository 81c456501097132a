"""How fast an embedding model is on this machine, and how long it takes for given texts.

The time of a batch of ``r`` texts of ``n`` tokens is taken as ``call + token * r * n + square * r * n * n``:
a constant, the products of a transformer with its weights, and its attention. The three numbers
are fitted to some batches that the model is given, and the batches of a run are counted from the
lengths of its texts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from negmine.config import Config
from negmine.encoders.base import Encoder
from negmine.encoders.batches import LEAST_TOKENS, TOKENS
from negmine.encoders.sentence_transformer import LocalModel
from negmine.planning.kept import Measured, kept
from negmine.planning.machine import Note
from negmine.stages.embed.encoding import gpus_at_once, load_encoder
from negmine.store.usage import peak_rss_bytes, reset_peak_rss

_BUDGET = 6.0
"""Seconds that the batches of a measurement may take, as far as the first ones tell."""
_SHORT, _LONG = 16, 192
_GPU_BATCH = 32
_SPECIAL = 2
"""Tokens that a tokenizer adds to a text."""


@dataclass(frozen=True)
class Pace:
    """``load`` seconds until a model is ready; seconds per ``call``, ``token`` and ``square`` (see the
    module); ``memory`` bytes of the process when it runs; ``batch``: texts of a batch, 0 when batches
    have texts of equal length up to a number of tokens."""

    load: float
    call: float
    token: float
    square: float
    memory: float
    batch: float

    def seconds(self, lengths: np.ndarray, parts: int) -> float:
        """For texts in ``parts`` tasks: ``lengths`` (n,) is how many there are of each length in tokens."""
        tokens = np.arange(len(lengths))
        total, squares = float(lengths @ tokens), float(lengths @ (tokens * tokens))
        if not total:
            return 0.0
        calls = lengths.sum() / self.batch if self.batch else _equal_length_calls(lengths / parts) * parts
        if not self.batch:
            total = max(total, LEAST_TOKENS * calls)
        return self.call * calls + self.token * total + self.square * squares


def _equal_length_calls(lengths: np.ndarray) -> float:
    """Batches of a task with so many texts of each length; below one text, the chance that there is one."""
    size = np.maximum(TOKENS // np.maximum(np.arange(len(lengths)), 1), 1)
    return float(np.where(lengths >= 1, np.ceil(lengths / size), -np.expm1(-lengths)).sum())


def measured_pace(config: Config, identity: Mapping[str, Any], limit: int | None, note: Note, *, again: bool) -> Pace:
    """The pace of ``embed.model``, whose files have the digests ``identity``.

    ``limit``: tokens that it reads of a text. Raises the errors of loading and calling a model.
    """
    embed = config.embed
    key = {
        "model": dict(identity),
        "embed": {
            name: getattr(embed, name) for name in ("backend", "device", "dtype", "batch_size", "max_seq_length")
        },
        "threads": config.threads,
    }

    def measure() -> Measured:
        note("measuring the model")
        return asdict(_measure(config, min(limit or _LONG, _LONG)))

    return Pace(**kept("model", key, measure, again=again))


def _measure(config: Config, longest: int) -> Pace:
    reset_peak_rss()
    started = time.perf_counter()
    encoder = load_encoder(config, alone=True)
    encoder.encode_passages([_text(_SHORT)])
    load = time.perf_counter() - started
    batch = _batch(config)
    short = _seconds(encoder, LEAST_TOKENS // _SHORT, _SHORT, 2)
    # A batch is as large as those of a run, if the budget allows.
    room = _BUDGET / 5 / max(short / LEAST_TOKENS, 1e-9)
    points = [(batch or LEAST_TOKENS // _SHORT, _SHORT)]
    for length in (2 * _SHORT, longest):
        rows = batch or int(min(TOKENS, max(room, LEAST_TOKENS))) // length
        points.append((max(rows, 1), max(length, 2)))
    times = [_batch_seconds(encoder, rows, length) / gpus_at_once(config) for rows, length in points]
    call, token, square = fitted(np.array(points, np.float64), np.array(times))
    return Pace(load, call, token, square, float(peak_rss_bytes()), float(batch))


def _batch(config: Config) -> int:
    """Texts of a batch; 0 where the torch backend runs on a processor, which batches by tokens."""
    embed = config.embed
    import torch

    device = embed.device if isinstance(embed.device, str) else embed.device[0]
    on_gpu = device not in ("auto", "cpu") or (device == "auto" and torch.cuda.is_available())
    if embed.backend == "torch" and not on_gpu:
        return 0
    return _GPU_BATCH if embed.batch_size == "auto" else embed.batch_size


def _text(tokens: int) -> str:
    """A text of so many tokens, nearly: tokenizers know short words as one."""
    return " ".join(["a"] * max(tokens - _SPECIAL, 1))


def _seconds(encoder: Encoder, rows: int, length: int, times: int) -> float:
    texts = [_text(length)] * rows
    return fastest(lambda: encoder.encode_passages(texts), times)


def _batch_seconds(encoder: Encoder, rows: int, length: int) -> float:
    """What a batch takes where as many are computed at once as in a run."""
    if not isinstance(encoder, LocalModel) or encoder.at_once == 1:
        return _seconds(encoder, rows, length, 2)
    encoder.tokens = rows * int(encoder.passage_tokens([_text(length)])[0])  # so a batch has as many rows
    return _seconds(encoder, rows * encoder.at_once, length, 2) / encoder.at_once


def fastest(work: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of so many ``times``."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def fitted(points: np.ndarray, times: np.ndarray) -> tuple[float, float, float]:
    """``call``, ``token``, ``square`` >= 0 from batches (rows, length) (n, 2) and their seconds (n,).

    Least squares of relative errors; what comes out below zero is left out, and the rest fitted again.
    """
    rows, length = points.T
    factors = np.stack([np.ones(len(points)), rows * length, rows * length * length], axis=1) / times[:, None]
    used = [0, 1, 2]
    found = np.zeros(3)
    while used:
        solved = np.linalg.lstsq(factors[:, used], np.ones(len(times)), rcond=None)[0]
        if (solved >= 0).all():
            found[used] = solved
            break
        used.pop(int(np.argmin(solved)))
    return float(found[0]), float(found[1]), float(found[2])


def token_lengths(characters: np.ndarray, per_token: float, limit: int | None) -> np.ndarray:
    """How many texts of each length in tokens, from how many there are of each length in characters."""
    tokens = np.rint(np.arange(len(characters)) / per_token).astype(np.int64) + _SPECIAL
    return np.bincount(np.minimum(tokens, limit) if limit else tokens, weights=characters)


def characters_per_token(folder: Path, texts: list[str]) -> float | None:
    """What a token of the model's tokenizer stands for in these texts; None when that is not to be told."""
    files = sorted(folder.glob("tokenizer.json")) or sorted(folder.glob("*/tokenizer.json"))
    if not files or not texts:
        return None
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(files[0]))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        found = tokenizer.encode_batch(texts, add_special_tokens=False)
    except Exception:  # whatever a foreign tokenizer file makes the library raise
        return None
    tokens = sum(len(each.ids) for each in found)
    return sum(map(len, texts)) / tokens if tokens else None
