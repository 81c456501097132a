"""Which texts are longer than a model reads."""

from __future__ import annotations

import contextlib
import math
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

_AT_ONCE = 256


def cut_off(model: Any, task: str, texts: Sequence[str]) -> np.ndarray:
    """Which ``texts`` (n,), with their prompts, have more tokens than the ``SentenceTransformer`` reads: bool.

    ``task`` is query or document. None is cut off by a model without a limit, such as one of static embeddings.
    """
    found = np.zeros(len(texts), bool)
    reader = _reader(model, task)
    limit, tokenizer = _limit(reader, task), getattr(reader, "tokenizer", None)
    if limit is None or not callable(tokenizer):
        return found
    special = 0
    with contextlib.suppress(AttributeError, NotImplementedError):
        special = tokenizer.num_special_tokens_to_add()
    # A token stands for a byte of the text at least, once letters are parted from their marks; tokenizers
    # may put one before the text.
    rows = [row for row, text in enumerate(texts) if _bytes(text) + special + 1 > limit]
    for low in range(0, len(rows), _AT_ONCE):
        some = rows[low : low + _AT_ONCE]
        tokens = tokenizer([texts[row] for row in some], truncation=False, padding=False, verbose=False)["input_ids"]
        found[some] = [len(ids) > limit for ids in tokens]
    return found


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(unicodedata.normalize("NFKD", text).encode("utf-8", "surrogatepass"))


def _reader(model: Any, task: str) -> Any:
    """The module that reads texts; a Router has one for each task."""
    first = model[0]
    routes = getattr(first, "sub_modules", None)
    if not routes:
        return first
    route = getattr(first, "default_route", None)
    chosen = next((routes[name] for name in (task, route) if name in routes), next(iter(routes.values())))
    return next(iter(chosen.children()))


def _limit(reader: Any, task: str) -> int | None:
    own = getattr(reader, f"{task}_length", None)
    for limit in (own, getattr(reader, "max_seq_length", None)):
        if isinstance(limit, int | float) and not isinstance(limit, bool) and math.isfinite(limit) and limit < 1e9:
            return int(limit)
    return None
