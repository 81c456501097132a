"""What embedding by an endpoint comes to: requests, tokens, cost, and time as far as it was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from negmine.config import Config
from negmine.encoders.endpoint import BYTES_PER_TOKEN
from negmine.pipeline import StageStatus
from negmine.planning.facts import Asked, Embedding
from negmine.planning.workload import Texts
from negmine.store.manifest import digest_of
from negmine.store.workdir import WorkDir


def endpoint_embedding(config: Config, status: StageStatus, work: WorkDir, kinds: Sequence[Texts]) -> Embedding:
    """For the passages and queries (``kinds``) that have no vector yet.

    The time is known when this run asked the same model before: how fast a server is cannot be told
    without asking it for what may cost money.
    """
    endpoint = config.embed.endpoint
    assert endpoint is not None
    prompts = (config.embed.document_prompt, config.embed.query_prompt)
    requests = tokens = 0
    for kind, prompt in zip(kinds, prompts, strict=True):
        lengths = _tokens(kind, prompt or "")
        tokens += round(float(lengths @ kind.lengths))
        share = np.maximum(np.minimum(lengths / endpoint.batch_tokens, 1.0), 1 / endpoint.batch_texts)
        parts = max(math.ceil(kind.count / config.embed.part_rows), 1)
        requests += math.ceil(float(share @ kind.lengths) / parts) * parts
    price = endpoint.price_per_million_tokens
    texts = sum(kind.count for kind in kinds)
    per_text = _seconds_per_text(config, status, work)
    return Embedding(
        texts,
        None if per_text is None else per_text * texts,
        asked=Asked(requests, tokens, None if price is None else price * tokens / 1e6),
    )


def _tokens(texts: Texts, prompt: str) -> np.ndarray:
    """Estimated tokens of a text of each length in characters: float64 (n,)."""
    characters = sum(map(len, texts.sample))
    per_character = sum(len(text.encode()) for text in texts.sample) / characters if characters else 1.0
    lengths = np.arange(len(texts.lengths)) * per_character + len(prompt.encode())
    return np.maximum(np.ceil(lengths / BYTES_PER_TOKEN), 1.0)


def _seconds_per_text(config: Config, status: StageStatus, work: WorkDir) -> float | None:
    """Of the parts that the interrupted stage has, else of the finished stage if the model is the same."""
    if status.made_from is not None:
        receipts = work.pending("embed", digest_of(status.made_from)).receipts().values()
        found = _mean([(receipt.counts, receipt.wall_seconds) for receipt in receipts])
        if found is not None:
            return found
    endpoint, manifest = config.embed.endpoint, status.manifest
    assert endpoint is not None
    if manifest is None or manifest.made_from.get("config", {}).get("embed.endpoint.model") != endpoint.model:
        return None
    return _mean([(task["counts"], task["wall_seconds"]) for task in manifest.tasks.values()])


def _mean(tasks: Sequence[tuple[Mapping[str, Any], float]]) -> float | None:
    asked = [(counts["vectors"], seconds) for counts, seconds in tasks if not counts.get("reused")]
    texts = sum(count for count, _ in asked)
    return sum(seconds for _, seconds in asked) / texts if texts else None
