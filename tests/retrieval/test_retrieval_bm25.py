"""BM25 gives what bm25s gives when it is used alone, over counts that are made piece by piece."""

from __future__ import annotations

import json
from pathlib import Path

import bm25s
import numpy as np
import pyarrow as pa
import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from negmine.retrieval.bm25 import Bm25, Tokenizer
from negmine.retrieval.sparse import Postings, TermCounts, best_rows

SAMPLE = Path(__file__).parents[2] / "sample_data"
PASSAGES = [
    *(json.loads(line)["text"] for line in (SAMPLE / "corpus.jsonl").read_text("utf-8").splitlines()),
    "a",  # without a word of two letters
    "the of",  # without a word that is no stopword
    "Straße STRASSE straße naïve",
    "東京 都庁",
]
PASSAGES += PASSAGES[:3]
QUERIES = [json.loads(line)["anchor"] for line in (SAMPLE / "pairs.jsonl").read_text("utf-8").splitlines()][:40]
QUERIES += ["how how how to to charge", "a", "zzzz", "straße", "東京"]
METHODS = ("lucene", "robertson", "atire", "bm25l", "bm25+")
NONE = (np.empty(0, np.int64), np.empty(0, np.int64))


def indexed(formula: Bm25, tokenizer: Tokenizer, step: int = 50) -> tuple[Postings, pa.Array]:
    """The index, counted ``step`` passages at a time."""
    starts = range(0, len(PASSAGES), step)
    counts = TermCounts.of([(start, tokenizer.tokens(PASSAGES[start : start + step])) for start in starts])
    frequency = np.diff(counts.offsets)
    length = np.bincount(counts.passage, weights=counts.count, minlength=len(PASSAGES))
    idf = formula.idf(frequency, len(PASSAGES))
    absent = formula.absent(frequency, len(PASSAGES), length.mean())
    added = None if absent is None else np.repeat(absent, frequency)
    weight = formula.weights(np.repeat(idf, frequency), added, counts.count, length[counts.passage], length.mean())
    return Postings(counts.offsets, counts.passage, weight, len(PASSAGES), absent), counts.terms


def numbers(tokenizer: Tokenizer, terms: pa.Array) -> list[np.ndarray]:
    known = {term: number for number, term in enumerate(terms.to_pylist())}
    tokens = tokenizer.tokens(QUERIES)
    words = iter(tokens.terms.to_pylist())
    asked = [[known.get(next(words)) for _ in range(count)] for count in tokens.counts]
    return [np.array([number for number in of_query if number is not None], np.int64) for of_query in asked]


@pytest.mark.parametrize(("stemmer", "stopwords"), [(None, None), ("english", "en"), (None, ("to", "the", "how"))])
@pytest.mark.parametrize("method", METHODS)
def test_scores_and_lists_are_those_of_bm25s(
    method: str, stemmer: str | None, stopwords: str | tuple[str, ...] | None
) -> None:
    """Every score to the last bit; the best of them first, equal ones in the order of the corpus."""
    made = Stemmer.Stemmer(stemmer) if stemmer else None
    words = list(stopwords) if isinstance(stopwords, tuple) else stopwords
    tokens = bm25s.tokenize(PASSAGES, stopwords=words, stemmer=made, show_progress=False)
    peer = bm25s.BM25(method=method, k1=1.2, b=0.6, delta=0.7)
    peer.index(tokens, show_progress=False)
    asked = bm25s.tokenize(QUERIES, stopwords=words, stemmer=made, return_ids=False, show_progress=False)

    formula, tokenizer = Bm25(method, 1.2, 0.6, 0.7), Tokenizer("word", stemmer, stopwords)
    postings, terms = indexed(formula, tokenizer)
    everything = (np.repeat(np.arange(len(QUERIES)), len(PASSAGES)), np.tile(np.arange(len(PASSAGES)), len(QUERIES)))
    found = formula.search(postings, numbers(tokenizer, terms), np.full(len(QUERIES), 30), everything)
    query, passage, scores = found.query, found.passage, found.of_pairs
    found = 0
    for number, own in enumerate(scores.reshape(len(QUERIES), -1)):
        known = peer.get_tokens_ids(asked[number])
        full = peer.get_scores_from_ids(known) if known else np.zeros(len(PASSAGES), np.float32)
        assert np.array_equal(own, full)
        has = [bool(set(asked[number]) & set(terms_of)) for terms_of in bm25s_terms(tokens)]
        best = [p for p in np.lexsort((np.arange(len(full)), -full))[:30].tolist() if has[p] and full[p] > 0]
        if method != "robertson":  # where a word that most passages have counts nothing
            assert passage[query == number].tolist() == best
        found += len(best)
    assert found > 500


def bm25s_terms(tokens: bm25s.tokenization.Tokenized) -> list[list[str]]:
    names = {number: term for term, number in tokens.vocab.items()}
    return [[names[number] for number in ids] for ids in tokens.ids]


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_the_index_does_not_depend_on_the_pieces(step: int) -> None:
    formula, tokenizer = Bm25("lucene", 1.2, 0.75, 0.5), Tokenizer("word", "english", None)
    whole, terms = indexed(formula, tokenizer)
    cut, same = indexed(formula, tokenizer, step)
    assert terms.equals(same)
    assert terms.to_pylist() == sorted(terms.to_pylist(), key=str.encode)
    for name in ("offsets", "passage", "weight"):
        assert np.array_equal(getattr(whole, name), getattr(cut, name))


def test_what_shares_no_term_is_not_found() -> None:
    """However many are asked for; a query without a known term finds nothing."""
    formula, tokenizer = Bm25("bm25+", 1.2, 0.75, 0.5), Tokenizer("word", None, None)
    postings, terms = indexed(formula, tokenizer)
    depth = np.full(len(QUERIES), 10 * len(PASSAGES))
    found = formula.search(postings, numbers(tokenizer, terms), depth, NONE)
    query, passage = found.query, found.passage
    found = {text: passage[query == number].tolist() for number, text in enumerate(QUERIES)}
    assert found["zzzz"] == found["a"] == []
    assert found["straße"] == [PASSAGES.index("Straße STRASSE straße naïve")]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 40), st.integers(-1, 5))
def test_the_best_rows_are_those_of_sorting(values: list[int], depth: int, above: int) -> None:
    scores = np.array(values, np.float32)
    expected = [row for row in sorted(range(len(values)), key=lambda row: (-values[row], row)) if values[row] > above]
    assert best_rows(scores, depth, above).tolist() == expected[:depth]


@pytest.mark.parametrize(
    ("kind", "text", "terms"),
    [
        ("word", "Don't PANIC, it's 42 a x_1", ["don", "panic", "it", "42", "x_1"]),
        ("char-2", "東京都 A", ["東京", "京都", "a"]),
        ("char-3", "Tokyo", ["tok", "oky", "kyo"]),
        ("char-2", "हिन्दी", ["हि", "िन", "न्", "्द", "दी"]),
        ("word", "…", []),
    ],
)
def test_texts_are_cut_into_terms(kind: str, text: str, terms: list[str]) -> None:
    """Words as bm25s has them; neighbouring letters, with the marks that belong to them, never across a blank."""
    tokens = Tokenizer(kind, None, None).tokens([text, text])
    assert tokens.terms.to_pylist() == terms * 2
    assert tokens.counts.tolist() == [len(terms)] * 2


def test_stopwords_are_taken_out_before_stemming() -> None:
    tokens = Tokenizer("word", "english", ["going"]).tokens(["Going gone goes going", "going"])
    assert tokens.terms.to_pylist() == ["gone", "goe"]
    assert tokens.counts.tolist() == [2, 0]
