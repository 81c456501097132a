"""Sparse encoders, such as SPLADE, run by Sentence Transformers on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from negmine.encoders.base import SparseVectors
from negmine.encoders.loading import Settings, load_model, quiet
from negmine.encoders.sentence_transformer import LocalModel
from negmine.errors import InputError


class SparseTransformerEncoder(LocalModel):
    """A ``SparseEncoder`` over ``encode_query`` and ``encode_document`` of the class of that name.

    Vectors are compared by their products; those of a model that compares by cosine are scaled to length 1.
    """

    tokens = 512
    """Of a batch: each has a weight for every word of the vocabulary before the greatest is taken."""

    def _loaded(self, folder: Path, settings: Settings) -> Any:
        model = load_model(folder, settings, sparse=True)
        if model.similarity_fn_name not in (None, "dot", "cosine"):
            raise InputError(
                f"its vectors are compared by {model.similarity_fn_name}, and sparse ones can be by dot and cosine",
                where=str(folder),
            )
        self._scaled = model.similarity_fn_name == "cosine"
        return model

    def encode_queries(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> SparseVectors:
        s = self._settings
        return self._encode("query", texts, s.query_prompt, s.query_prompt_name, progress)

    def encode_passages(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> SparseVectors:
        s = self._settings
        return self._encode("document", texts, s.document_prompt, s.document_prompt_name, progress)

    def _encode(
        self,
        task: str,
        texts: Sequence[str],
        prompt: str | None,
        prompt_name: str | None,
        progress: Callable[[int], None] | None,
    ) -> SparseVectors:
        encode = getattr(self._model, f"encode_{task}")
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        with self._failures(), quiet():
            for rows, times, batch in self._calls(task, texts, prompt, prompt_name):
                for low in range(0, len(rows), max(batch // times, 1)):
                    some = rows[low : low + max(batch // times, 1)]
                    encoded = encode(
                        [texts[row] for row in some] * times,
                        prompt=prompt,
                        prompt_name=prompt_name,
                        batch_size=batch,
                        convert_to_tensor=True,
                        convert_to_sparse_tensor=True,
                        save_to_cpu=True,
                        show_progress_bar=False,
                    )
                    found.append(_weights(encoded, some))
                    if progress is not None:
                        progress(len(some))
        text, terms, weights = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.lexsort((terms, text))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(text, minlength=len(texts)))]).astype(np.int64)
        vectors = SparseVectors(offsets, terms[order].astype(np.int32), weights[order].astype(np.float32))
        return _normalised(vectors) if self._scaled else vectors


def _weights(encoded: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Text, term and weight of all that is not 0 in a sparse tensor, whose first rows are the texts ``rows``."""
    encoded = encoded.float().coalesce()
    text, terms = encoded.indices().numpy()
    weights = encoded.values().numpy()
    own = (text < len(rows)) & (weights != 0)  # what comes after are copies
    return rows[text[own]], terms[own], weights[own]


def _normalised(vectors: SparseVectors) -> SparseVectors:
    text = np.repeat(np.arange(len(vectors.offsets) - 1), np.diff(vectors.offsets))
    squares = np.bincount(text, weights=vectors.weights.astype(np.float64) ** 2, minlength=len(vectors.offsets) - 1)
    lengths = np.sqrt(squares)[text]
    return SparseVectors(vectors.offsets, vectors.terms, (vectors.weights / lengths).astype(np.float32))
