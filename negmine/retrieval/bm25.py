"""BM25 (Robertson et al., TREC-3) by the package bm25s: its formulas and its sums, over arrays that lie on disk.

bm25s (Lu, 2024) makes an index of lists of numbers, one for each passage. Here terms are counted by arrays, a
range of passages at a time; the weights are the same to the last bit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import regex

from negmine.errors import MissingDependencyError
from negmine.retrieval.sparse import Matches, Postings, Tokens, search_by_query

_WORD = re.compile(r"(?u)\b\w\w+\b")
"""What bm25s takes for a word."""
_LETTERS = regex.compile(r"[\p{L}\p{M}\p{N}]+")


def check_packages(*, stemmer: bool) -> None:
    """Raise MissingDependencyError when what BM25 needs is not installed."""
    try:
        import bm25s  # noqa: F401

        if stemmer:
            import Stemmer  # noqa: F401
    except ImportError as error:
        name = error.name or "bm25s"
        raise MissingDependencyError(
            f"the package {'PyStemmer' if name == 'Stemmer' else name} cannot be imported ({error})",
            hint="Run: pip install 'negmine[bm25]'",
        ) from error


class Tokenizer:
    """Cuts texts into terms. ``kind`` is word or char-<n>; ``stopwords`` is a name that bm25s knows, or words."""

    def __init__(self, kind: str, stemmer: str | None, stopwords: str | Sequence[str] | None) -> None:
        self._letters = None if kind == "word" else int(kind.removeprefix("char-"))
        self._stemmer = None
        if stemmer is not None:
            import Stemmer

            self._stemmer = Stemmer.Stemmer(stemmer)
        from bm25s.tokenization import _infer_stopwords

        self._stopwords = pa.array(sorted(set(_infer_stopwords(stopwords or None))), pa.string())

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """The terms of every text, in its order."""
        terms: list[str] = []
        counts = np.empty(len(texts), np.int64)
        for row, text in enumerate(texts):
            found = self._cut(text.lower())
            terms += found
            counts[row] = len(found)
        encoded = pa.array(terms, pa.string()).dictionary_encode()
        return self._reduced(encoded, counts)

    def _cut(self, text: str) -> list[str]:
        n = self._letters
        if n is None:
            return _WORD.findall(text)
        words = _LETTERS.findall(text)
        return [word[i : i + n] for word in words for i in range(max(len(word) - n, 0) + 1)]

    def _reduced(self, terms: pa.DictionaryArray, counts: np.ndarray) -> Tokens:
        """Without stopwords, and stemmed; each different word is looked at once."""
        words, codes = terms.dictionary, terms.indices.to_numpy()
        text = np.repeat(np.arange(len(counts)), counts)
        stays = ~np.asarray(pc.is_in(words, value_set=self._stopwords))[codes]
        if self._stemmer is not None:
            words = pa.array(self._stemmer.stemWords(words.to_pylist()), pa.string())
        stems = words.dictionary_encode()
        codes = stems.indices.to_numpy()[codes[stays]]
        kept = np.bincount(text[stays], minlength=len(counts))
        return Tokens(pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), stems.dictionary), kept)


@dataclass(frozen=True)
class Bm25:
    """The formula: ``method`` is one of bm25s; ``delta`` counts for bm25l and bm25+ only."""

    method: str
    k1: float
    b: float
    delta: float

    def idf(self, frequency: np.ndarray, passages: int) -> np.ndarray:
        """Inverse document frequency of terms that are in ``frequency`` (v,) of all passages: float32 (v,)."""
        return self._idf(frequency, passages).astype(np.float32)

    def absent(self, frequency: np.ndarray, passages: int, mean_length: float) -> np.ndarray | None:
        """What each term adds to all passages: float32 (v,), None for methods that add nothing."""
        if self.method not in ("bm25l", "bm25+"):
            return None
        return (self._idf(frequency, passages) * self._part(0.0, mean_length, mean_length)).astype(np.float32)

    def weights(
        self, idf: np.ndarray, absent: np.ndarray | None, count: np.ndarray, length: np.ndarray, mean_length: float
    ) -> np.ndarray:
        """Weights float32 (n,) of terms with this ``idf`` (n,) that are ``count`` (n,) times in passages of a
        ``length`` (n,); ``absent`` (n,) is what all passages have anyway."""
        weights = idf * self._part(count.astype(np.float32), length, mean_length)
        if absent is not None:
            weights -= absent
        return weights.astype(np.float32)

    def _idf(self, frequency: np.ndarray, passages: int) -> np.ndarray:
        from bm25s.scoring import _select_idf_scorer

        of = _select_idf_scorer(self.method)
        different, place = np.unique(frequency, return_inverse=True)
        return np.array([of(df, passages) for df in different.tolist()], np.float64)[place]

    def _part(self, count: Any, length: Any, mean_length: float) -> Any:
        from bm25s.scoring import _select_tfc_scorer

        return _select_tfc_scorer(self.method)(count, length, mean_length, self.k1, self.b, self.delta)

    def search(
        self, postings: Postings, terms: Sequence[np.ndarray], depth: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]
    ) -> Matches:
        """The best passages of every query that share a term with it, and the score of ``pairs``: query (p,) ascending
        and passage (p,).

        ``terms`` are numbers of terms in the order of each query's text, with repetitions; ``depth`` (q,) is how
        many are wanted. One query's scores are in memory at a time.
        """
        import bm25s

        scorer = bm25s.BM25(method=self.method, k1=self.k1, b=self.b, delta=self.delta)
        matrix = {"data": postings.weight, "indices": postings.passage, "indptr": postings.offsets}
        scorer.scores = {**matrix, "num_docs": postings.passages}
        scorer.nonoccurrence_array = postings.absent

        def scores_of(row: int) -> tuple[np.ndarray, float] | None:
            asked = terms[row]
            if not len(asked):
                return None
            everywhere = 0.0 if postings.absent is None else float(postings.absent[asked].sum())
            return scorer.get_scores_from_ids(asked), everywhere

        return search_by_query(scores_of, depth, pairs, postings.passages)
