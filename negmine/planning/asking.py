"""What embedding by an endpoint comes to: requests, tokens, cost, and time as far as it was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from negmine.encoders.endpoint import BYTES_PER_TOKEN
from negmine.pipeline import StageStatus
from negmine.planning.facts import Asked, Embedding
from negmine.planning.workload import Texts
from negmine.stages.embed.encoding import OTHERS, EncoderSource
from negmine.store.manifest import digest_of
from negmine.store.workdir import WorkDir


def endpoint_embedding(source: EncoderSource, status: StageStatus, work: WorkDir, kinds: Sequence[Texts]) -> Embedding:
    """For the passages and queries (``kinds``) that have no vector yet.

    The time is known when this run asked the same model before: how fast a server is cannot be told
    without asking it for what may cost money.
    """
    config = source.config
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
    per_text = _seconds_per_text(source, status, work)
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


def _seconds_per_text(source: EncoderSource, status: StageStatus, work: WorkDir) -> float | None:
    """Of the parts that the interrupted stage has, else of the finished stage if the model is the same."""
    endpoint, manifest = source.config.embed.endpoint, status.manifest
    assert endpoint is not None

    def own(task: str) -> bool:
        return task.startswith((f"{source.folder}corpus/", f"{source.folder}queries/"))

    if status.made_from is not None:
        receipts = work.pending("embed", digest_of(status.made_from)).receipts()
        found = _mean([(r.counts, r.wall_seconds) for task, r in receipts.items() if own(task)])
        if found is not None:
            return found
    made_from = manifest.made_from if manifest is not None else {}
    before = made_from.get("config", {}) if source.name is None else made_from.get(OTHERS, {}).get(source.name, {})
    if manifest is None or before.get("embed.endpoint.model") != endpoint.model:
        return None
    return _mean([(t["counts"], t["wall_seconds"]) for name, t in manifest.tasks.items() if own(name)])


def _mean(tasks: Sequence[tuple[Mapping[str, Any], float]]) -> float | None:
    asked = [(counts["vectors"], seconds) for counts, seconds in tasks if not counts.get("reused")]
    texts = sum(count for count, _ in asked)
    return sum(seconds for _, seconds in asked) / texts if texts else None
