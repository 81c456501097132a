"""A student of static embeddings: a vector per token, and a text is their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from negmine.arrays import expand
from negmine.training.adapter import normalised
from negmine.training.base import Advance, Batch, Model, Plan, Rows, Trained, Validate
from negmine.training.contrastive import learn

LONGEST = 256
"""Tokens that are read of a text."""
_RARE = 1e-3
"""Weight of a token t: a / (a + p(t)), p its share of all tokens (Arora, Liang and Ma 2017)."""
_AT_ONCE = 4_096
_TEXTS = 8_192


@dataclass(frozen=True)
class Tokens:
    """Tokens of texts one after the other, as int32 (t,), and where each text begins: int64 (n + 1,)."""

    ids: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, batches: Iterator[list[str]], tokenizer: Any) -> Tokens:
        """Tokens of texts that come in batches, by a tokenizer of the library ``tokenizers``."""
        pieces, lengths = [np.empty(0, np.int32)], [np.zeros(1, np.int64)]
        for texts in batches:
            for low in range(0, len(texts), _TEXTS):
                encoded = tokenizer.encode_batch(texts[low : low + _TEXTS], add_special_tokens=False)
                ids = [each.ids[:LONGEST] for each in encoded]
                pieces.append(np.array([token for each in ids for token in each], np.int32))
                lengths.append(np.array([len(each) for each in ids], np.int64))
        return cls(np.concatenate(pieces), np.cumsum(np.concatenate(lengths)))

    def take(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of some texts, and where each begins (without the end)."""
        ids = self.ids[expand(self.offsets, numbers)]
        lengths = (self.offsets[1:] - self.offsets[:-1])[numbers]
        return ids, np.cumsum(lengths) - lengths


class Static:
    """A ``Student``: what a ``StaticEmbedding`` of Sentence Transformers computes, trained at its vectors.

    ``vectors`` gives float32 (v, d) for ascending token numbers (v,), knowing how often the texts have each; others
    are not learnt.
    """

    name = "static"
    rates: tuple[float, ...] = (2e-3,)
    epochs = 5
    dev_passages = 20_000

    def __init__(
        self, queries: Tokens, passages: Tokens, vectors: Callable[[np.ndarray, np.ndarray], np.ndarray], weights: str
    ) -> None:
        every, place = np.unique(np.concatenate([queries.ids, passages.ids]), return_inverse=True)
        self._start = vectors(every, np.bincount(place, minlength=len(every)))
        place = place.astype(np.int64)
        self._queries = Tokens(place[: len(queries.ids)], queries.offsets)
        self._passages = Tokens(place[len(queries.ids) :], passages.offsets)
        self._weights = weights

    def identity(self) -> dict[str, str]:
        return {"weights": self._weights}

    def untrained(self) -> Model:
        return _Means(self._queries, self._passages, self._start)

    def train(self, rows: Rows, plan: Plan, validate: Validate, advance: Advance) -> Trained:
        learner = _Learner(self._queries, self._passages, self._start)
        return learn(learner, rows, plan, validate, advance)


class _Means:
    def __init__(self, queries: Tokens, passages: Tokens, vectors: np.ndarray) -> None:
        self._of, self._vectors = (queries, passages), vectors

    def queries(self, numbers: np.ndarray) -> np.ndarray:
        return self._embed(self._of[0], numbers)

    def passages(self, numbers: np.ndarray) -> np.ndarray:
        return self._embed(self._of[1], numbers)

    def _embed(self, tokens: Tokens, numbers: np.ndarray) -> np.ndarray:
        import torch

        table = torch.from_numpy(self._vectors)
        found = [np.empty((0, self._vectors.shape[1]), np.float32)]
        for low in range(0, len(numbers), _AT_ONCE):
            ids, offsets = (torch.from_numpy(part) for part in tokens.take(numbers[low : low + _AT_ONCE]))
            found.append(torch.nn.functional.embedding_bag(ids, table, offsets, mode="mean").numpy())
        return normalised(np.concatenate(found))


class _Learner:
    def __init__(self, queries: Tokens, passages: Tokens, start: np.ndarray) -> None:
        import torch

        self._of = queries, passages
        self._vectors = torch.from_numpy(start.copy()).requires_grad_()

    def optimizer(self, rate: float) -> Any:
        import torch

        return torch.optim.Adam([self._vectors], lr=rate)

    def cosines(self, batch: Batch) -> Any:
        queries, passages = (self._embed(*of) for of in zip(self._of, (batch.query, batch.passage), strict=True))
        return queries @ passages.T

    def model(self) -> Model:
        return _Means(*self._of, self._vectors.detach().numpy().copy())

    def _embed(self, tokens: Tokens, numbers: np.ndarray) -> Any:
        import torch

        ids, offsets = (torch.from_numpy(part) for part in tokens.take(numbers))
        means = torch.nn.functional.embedding_bag(ids, self._vectors, offsets, mode="mean")
        return torch.nn.functional.normalize(means, dim=1)


def token_vectors(model: Any, tokens: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """A vector float32 (v, d) of every token (v,), which texts have ``counts`` (v,) times, from a SentenceTransformer.

    Those of a static model as they are. Of a transformer it is the table that it looks tokens up in, centred, and each
    weighted by how rare it is here. (What a transformer makes of a token alone ranks worse by half.)
    """
    module = model[0]
    if hasattr(module, "embedding"):
        return _rows(module.embedding.weight, tokens)
    table = _rows(module.auto_model.get_input_embeddings().weight, tokens)
    rare = _RARE / (_RARE + counts / max(counts.sum(), 1))
    weighted: np.ndarray = ((table - table.mean(axis=0)) * rare[:, None]).astype(np.float32)
    return weighted


def _rows(weight: Any, tokens: np.ndarray) -> np.ndarray:
    table: np.ndarray = weight.detach().float().cpu().numpy()
    return table[tokens]


def tokenizer_of(model: Any) -> Any | None:
    """The tokenizer (of the library ``tokenizers``) of a SentenceTransformer; None where it has no fast one."""
    reader = getattr(model[0], "tokenizer", None)
    inner: Any = getattr(reader, "backend_tokenizer", reader)
    if not hasattr(inner, "encode_batch"):
        return None
    inner.no_padding()
    inner.no_truncation()
    return inner
