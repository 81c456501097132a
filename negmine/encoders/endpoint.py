"""Models behind a server with the ``/v1/embeddings`` of OpenAI: TEI, vLLM, Infinity, hosted ones.

Which texts share a request decides nothing here, but a server may round otherwise in another
batch: vectors of two runs are equal up to that, not in every bit.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from negmine.encoders.base import TextError
from negmine.errors import ConfigError
from negmine.web.addresses import address
from negmine.web.answers import RefusedError, ServerError
from negmine.web.refusals import config_error

BYTES_PER_TOKEN = 3
"""Of UTF-8 text. There is no tokenizer to ask; most texts have fewer tokens than this says."""
_PROBE = "negmine"


@dataclass(frozen=True)
class Settings:
    """What to ask and how; names as in the ``embed`` and ``embed.endpoint`` sections of the config."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    dimensions: int | None = None
    encoding_format: str = "float"
    batch_tokens: int = 8192
    batch_texts: int = 32
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 8
    query_prompt: str | None = None
    document_prompt: str | None = None
    truncate_dim: int | None = None
    normalize: bool = True
    similarity: str = "auto"


class EndpointEncoder:
    """An ``Encoder`` over HTTP. ``close`` ends its connections."""

    def __init__(self, settings: Settings) -> None:
        from negmine.web.client import Client  # an event loop, which most commands need not

        self._settings = settings
        self._dimension = settings.dimensions
        self._client = Client(
            address(settings.url, "/embeddings"),
            key=settings.key,
            timeout=settings.timeout,
            retries=settings.retries,
            concurrency=settings.concurrency,
            section="embed.endpoint",
        )
        self._counts = {"requests": 0, "tokens": 0}

    def close(self) -> None:
        self._client.close()

    @property
    def similarity(self) -> str:
        if self._settings.similarity != "auto":
            return self._settings.similarity
        return "cosine" if self._settings.normalize else "dot"

    def take_counts(self) -> dict[str, int]:
        """Answered requests, and the tokens that the server counted in them, since the last call."""
        counts, self._counts = self._counts, {"requests": 0, "tokens": 0}
        return counts

    def probe(self) -> int:
        """Dimensions of the vector of one short text. Raises what a run would meet at once."""
        return int(self._encode(None, [_PROBE], None).shape[1])

    def encode_queries(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        return self._encode(self._settings.query_prompt, texts, progress)

    def encode_passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> np.ndarray:
        return self._encode(self._settings.document_prompt, texts, progress)

    def _encode(self, prompt: str | None, texts: Sequence[str], progress: Callable[[int], None] | None) -> np.ndarray:
        s = self._settings
        given = [prompt + text for text in texts] if prompt else texts
        work = deque(batches(estimated_tokens(given), s.batch_tokens, s.batch_texts))
        vectors: np.ndarray | None = None
        with contextlib.closing(self._client.each(work, lambda rows: self._body([given[row] for row in rows]))) as done:
            for rows, answer in done:
                if isinstance(answer, RefusedError):
                    work.extendleft(self._halves(answer, rows, given))
                    continue
                found = self._vectors(answer, rows)
                if vectors is None:
                    vectors = np.empty((len(texts), found.shape[1]), np.float32)
                vectors[rows] = found
                if progress is not None:
                    progress(len(rows))
        assert vectors is not None
        return vectors

    def _body(self, texts: list[str]) -> dict[str, Any]:
        s = self._settings
        body: dict[str, Any] = {"model": s.model, "input": texts, "encoding_format": s.encoding_format}
        if s.dimensions is not None:
            body["dimensions"] = s.dimensions
        return body

    def _halves(self, refused: RefusedError, rows: np.ndarray, given: Sequence[str]) -> list[np.ndarray]:
        """What to ask instead of a batch that was refused as too long. Raises what cannot be mended so."""
        if not refused.too_long:
            raise _refusal(refused, self._settings)
        if len(rows) == 1:
            text = given[rows[0]]
            raise TextError(
                f"is too long for the server: {len(text)} characters, about {_tokens(text)} tokens"
                f" ({refused.status}{f': {refused.message}' if refused.message else ''})",
                int(rows[0]),
                where=self._client.where,
                hint="Shorten it, or let the server cut texts (TEI: --auto-truncate).",
            ) from refused
        middle = len(rows) // 2
        return [rows[middle:], rows[:middle]]

    def _vectors(self, answer: Any, rows: np.ndarray) -> np.ndarray:
        """Vectors float32 (b, d) for ``rows``, cut and scaled as set. Raises ServerError, TextError, ConfigError."""
        where = self._client.where
        items = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) and "embedding" in item for item in items):
            raise ServerError(
                "the answer has no list 'data' of objects with an 'embedding'",
                where=where,
                hint="embed.endpoint.url must be of an OpenAI-compatible /v1/embeddings.",
            )
        if len(items) != len(rows):
            raise ServerError(f"the server gave {len(items)} vectors for {len(rows)} texts", where=where)
        index = [item.get("index", place) for place, item in enumerate(items)]
        if sorted(index, key=str) != sorted(range(len(rows)), key=str):
            raise ServerError(f"the indices of the vectors are not 0 to {len(rows) - 1}, each once", where=where)
        found: list[np.ndarray] = [np.empty(0)] * len(rows)
        for place, item in zip(index, items, strict=True):
            found[place] = self._vector(item["embedding"], int(rows[place]))
        usage = answer.get("usage")
        tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        self._counts["requests"] += 1
        self._counts["tokens"] += tokens if isinstance(tokens, int) else 0
        return self._cut_and_scaled(np.stack(found), rows)

    def _vector(self, value: Any, row: int) -> np.ndarray:
        """One vector float32 (d,) from a list of numbers or base64 of float32."""
        where = self._client.where
        try:
            if isinstance(value, str):
                vector = np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)
            else:
                with np.errstate(over="ignore"):
                    vector = np.array(value, np.float64).astype(np.float32)
        except (ValueError, TypeError, binascii.Error) as error:
            raise TextError("has an embedding that is no list of numbers and no base64", row, where=where) from error
        if vector.ndim != 1 or not len(vector):
            kind = "a vector for every token" if vector.ndim == 2 else "no vector"
            raise TextError(f"has {kind} in the server's answer", row, where=where, hint="The model needs pooling.")
        if not np.isfinite(vector).all():
            raise TextError("has a vector with NaN or Infinity in the server's answer", row, where=where)
        if self._dimension is None:
            self._dimension = len(vector)
        if len(vector) != self._dimension:
            if self._settings.dimensions is not None:
                raise ConfigError(
                    f"it is {self._dimension} but the server gives {len(vector)} dimensions",
                    where="embed.endpoint.dimensions",
                    hint="Remove it, and set embed.truncate_dim if the model allows its vectors to be cut.",
                )
            raise TextError(
                f"has a vector of {len(vector)} dimensions, and texts before it have {self._dimension}",
                row,
                where=where,
                hint="Does more than one model answer there?",
            )
        return vector

    def _cut_and_scaled(self, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        cut = self._settings.truncate_dim
        if cut is not None and cut > vectors.shape[1]:
            raise ConfigError(
                f"it is {cut} but the server's vectors have {vectors.shape[1]} dimensions", where="embed.truncate_dim"
            )
        vectors = vectors[:, :cut]
        if not self._settings.normalize:
            return vectors
        norms = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
        if not norms.all():
            raise TextError(
                "has a vector of zeros in the server's answer, which cannot be normalised",
                int(rows[np.flatnonzero(norms[:, 0] == 0)[0]]),
                where=self._client.where,
            )
        return (vectors / norms).astype(np.float32)


def estimated_tokens(texts: Sequence[str]) -> np.ndarray:
    """int64 (n,): by bytes, at least 1 each."""
    return np.fromiter(map(_tokens, texts), np.int64, len(texts))


def _tokens(text: str) -> int:
    return max(-(-len(text.encode()) // BYTES_PER_TOKEN), 1)


def batches(tokens: np.ndarray, most_tokens: int, most_texts: int) -> Iterator[np.ndarray]:
    """Positions int64 (b,) of each batch of ``tokens`` (n,): texts of like length, from the longest to the shortest.

    At most ``most_texts`` texts and ``most_tokens`` tokens, unless one text alone has more.
    """
    order = np.argsort(-tokens, kind="stable")
    total = np.concatenate([[0], np.cumsum(tokens[order])])
    low = 0
    while low < len(order):
        fits = int(np.searchsorted(total, total[low] + most_tokens, side="right")) - 1
        high = max(min(fits, low + most_texts), low + 1)
        yield order[low:high]
        low = high


def _refusal(refused: RefusedError, settings: Settings) -> Exception:
    """A refusal in terms of the config."""
    return config_error(
        refused,
        "embed.endpoint",
        keyed=settings.key is not None,
        hint="Check embed.endpoint: url, model and dimensions.",
        not_found=f"Check embed.endpoint.url (asked was {refused.where}) and embed.endpoint.model"
        f" ('{settings.model}').",
    )
