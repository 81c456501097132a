"""Rerankers behind a server: ``/rerank`` of TEI, and ``/v1/rerank`` as Cohere, Jina, vLLM and Infinity have it.

Which passages share a request decides nothing here, but a server may round otherwise in another batch.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from negmine.scoring.base import PairError
from negmine.web.addresses import address
from negmine.web.answers import RefusedError, ServerError
from negmine.web.refusals import config_error


@dataclass(frozen=True)
class Settings:
    """What to ask and how; names as in ``rerank.endpoint``. ``logits``: whether they are asked for as they are."""

    url: str
    style: str = "tei"
    model: str | None = None
    key: str | None = field(default=None, repr=False)
    query_prompt: str | None = None
    logits: bool = False
    batch_texts: int = 32
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 8


class EndpointScorer:
    """A ``Scorer`` over HTTP. ``close`` ends its connections."""

    def __init__(self, settings: Settings) -> None:
        from negmine.web.client import Client  # an event loop, which most commands need not

        self._settings = settings
        self._client = Client(
            address(settings.url, "/rerank", "" if settings.style == "tei" else "/v1"),
            key=settings.key,
            timeout=settings.timeout,
            retries=settings.retries,
            concurrency=settings.concurrency,
            section="rerank.endpoint",
        )

    def close(self) -> None:
        self._client.close()

    def probe(self) -> None:
        """Ask for the score of one short pair. Raises what a run would meet at once."""
        one = np.zeros(1, np.int64)
        self.score(["negmine"], ["negmine"], one, one, lambda pairs: None)

    def score(
        self,
        queries: Sequence[str],
        passages: Sequence[str],
        of_query: np.ndarray,
        of_passage: np.ndarray,
        progress: Callable[[int], None],
    ) -> np.ndarray:
        start = self._settings.query_prompt or ""
        scores = np.empty(len(of_query))
        lengths = np.array([len(passages[place]) for place in of_passage], np.int64)
        work = deque(requests(of_query, lengths, self._settings.batch_texts))

        def body(rows: np.ndarray) -> dict[str, Any]:
            texts = [passages[place] for place in of_passage[rows]]
            return self._body(start + queries[of_query[rows[0]]], texts)

        with contextlib.closing(self._client.each(work, body)) as done:
            for rows, answer in done:
                if isinstance(answer, RefusedError):
                    work.extendleft(self._halves(answer, rows))
                    continue
                scores[rows] = self._scores(answer, rows)
                progress(len(rows))
        return scores

    def _body(self, query: str, texts: list[str]) -> dict[str, Any]:
        if self._settings.style == "tei":
            return {"query": query, "texts": texts, "raw_scores": self._settings.logits, "truncate": True}
        return {"model": self._settings.model, "query": query, "documents": texts, "top_n": len(texts)}

    def _halves(self, refused: RefusedError, rows: np.ndarray) -> list[np.ndarray]:
        """What to ask instead of a batch that was refused as too long. Raises what cannot be mended so."""
        if not refused.too_long:
            raise _refusal(refused, self._settings)
        if len(rows) == 1:
            raise PairError(
                f"is too long for the server ({refused.status}{f': {refused.message}' if refused.message else ''})",
                int(rows[0]),
                where=self._client.where,
                hint="Shorten the texts, or let the server cut them.",
            ) from refused
        middle = len(rows) // 2
        return [rows[middle:], rows[:middle]]

    def _scores(self, answer: Any, rows: np.ndarray) -> np.ndarray:
        """Scores float64 (b,) of the pairs ``rows``. Raises ServerError, PairError."""
        name, where = ("score" if self._settings.style == "tei" else "relevance_score"), self._client.where
        items = answer
        if self._settings.style == "cohere":
            items = answer.get("results") if isinstance(answer, dict) else None
        good = isinstance(items, list) and all(
            isinstance(item, dict) and {"index", name} <= item.keys() for item in items
        )
        if not good:
            shape = "list" if self._settings.style == "tei" else "list 'results'"
            raise ServerError(
                f"the answer has no {shape} of objects with 'index' and '{name}'",
                where=where,
                hint="Check rerank.endpoint.url and rerank.endpoint.style.",
            )
        if sorted((item["index"] for item in items), key=str) != sorted(range(len(rows)), key=str):
            raise ServerError(
                f"the server gave {len(items)} scores for {len(rows)} passages, or not one for each", where=where
            )
        scores = np.empty(len(rows))
        for item in items:
            value = item[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise PairError(
                    "has a score that is no finite number in the answer", int(rows[item["index"]]), where=where
                )
            scores[item["index"]] = value
        return scores


def requests(of_query: np.ndarray, lengths: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Positions int64 (b,) of each request: at most ``most`` pairs of one query (n,), passages of like ``lengths``."""
    order = np.lexsort((-lengths, of_query))
    starts = np.flatnonzero(np.diff(of_query[order], prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        for low in range(start, stop, most):
            yield order[low : min(low + most, stop)]


def _refusal(refused: RefusedError, settings: Settings) -> Exception:
    """A refusal in terms of the config."""
    return config_error(
        refused,
        "rerank.endpoint",
        keyed=settings.key is not None,
        hint="Check rerank.endpoint: url, style and model.",
        not_found=f"Check rerank.endpoint.url (asked was {refused.where}) and rerank.endpoint.style.",
    )
