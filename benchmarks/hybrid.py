"""What BM25 adds to the search over vectors, on judged collections.

    python -m benchmarks.hybrid FOLDER [FOLDER ...] --seeds 3 -k 100

The protocol is that of `benchmarks.quality`. Compared are the candidates of the vectors (dense), of BM25, all of
both (union) and the best by reciprocal ranks (rrf): how far they overlap, and how many negatives are false where they
are as hard as the peer's from the vectors with a margin of 0.05, chosen by the risk model of the other collections.
Then the risk model is given what BM25 knows of the candidates of the vectors as well. `benchmarks.agreement` does the
same with a second encoder, and asks whether margins of two scorers that have to agree are better than one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow.compute as pc

from benchmarks.arms import NEGATIVES, Measured, Pairs, at_hardness, by_peer, by_rules, measured, pooled
from benchmarks.judged import Collection, Trial, add_arguments, load, trial
from benchmarks.risk_model import FIT_K, Rows, fit_without
from negmine.arrays import find_pairs, positions
from negmine.retrieval.bm25 import Bm25, Tokenizer
from negmine.retrieval.evidence import Closeness
from negmine.retrieval.fusion import Hits, reciprocal_ranks
from negmine.retrieval.fusion import pooled as merged
from negmine.retrieval.sparse import Matches, Postings, TermCounts
from negmine.selection.candidates import Candidates
from negmine.selection.depth import within_depth
from negmine.selection.identity import excluded_passages
from negmine.selection.risk import FIT_DEPTH, features
from negmine.selection.verdicts import Rules

LEVELS, DRAWS, CHUNK = 512, 1000, 65_536
EVIDENCE = ("vectors alone", "and BM25 to the query", "and BM25 to the positive", "and both")


class Words:
    """BM25 over the passages of a collection, as a run with an English stemmer and stopwords has it."""

    def __init__(self, data: Collection) -> None:
        self._tokenizer = Tokenizer("word", "english", "en")
        self._formula = Bm25("lucene", 1.2, 0.75, 0.5)
        counts = TermCounts.of([(0, self._tokenizer.tokens(data.texts))])
        frequency, passages = np.diff(counts.offsets), len(data.texts)
        length = np.bincount(counts.passage, weights=counts.count, minlength=passages)
        idf = np.repeat(self._formula.idf(frequency, passages), frequency)
        weight = self._formula.weights(idf, None, counts.count, length[counts.passage], float(length.mean()))
        self._terms = counts.terms
        self._postings = Postings(counts.offsets, counts.passage, weight, passages)

    def search(self, texts: Sequence[str], depth: np.ndarray, pairs: Pairs) -> Matches:
        """What is found, and the scores of ``pairs``."""
        tokens = self._tokenizer.tokens(texts)
        number = pc.fill_null(pc.index_in(tokens.terms.dictionary, value_set=self._terms), -1).to_numpy()
        asked = np.split(number[tokens.terms.indices.to_numpy()], np.cumsum(tokens.counts)[:-1])
        return self._formula.search(self._postings, [terms[terms >= 0] for terms in asked], depth, pairs)


Search = Callable[[np.ndarray], Matches]
"""What another retriever finds for all queries, down to a depth (q,) each."""


@dataclass(frozen=True)
class Lists:
    """The same trial with the candidates of each way to find them, which of the union who found, and what share of
    the first ten of both is the same."""

    trials: dict[str, Trial]
    dense: np.ndarray
    other: np.ndarray
    first: float


def search_words(one: Trial, words: Words) -> Search:
    """BM25 as another retriever."""
    none = np.empty(0, np.int64)
    return lambda depth: words.search(one.collection.query_texts, depth, (none, none))


def lists_of(one: Trial, search: Search, k: int, name: str = "bm25") -> Lists:
    """``name`` is that of the other retriever."""
    data, count, passages = one.collection, len(one.shown), len(one.collection.passages)
    numbers = np.arange(count)
    digests = (data.query_digest, np.arange(passages), np.ones(passages, bool), data.passage_digest)
    of_query, of_passage, code = excluded_passages(numbers, one.shown, *digests, data.passage_digest)
    depth = k + np.bincount(of_query, minlength=count)
    matches = search(depth)
    query, passage = matches.query, matches.passage
    own = find_pairs(query, passage, of_query, of_passage, passages)
    kept = within_depth(query, own >= 0, k)
    found = [Hits.in_order(one.candidates.query, one.candidates.passage), Hits.in_order(query[kept], passage[kept])]
    pool, rows = merged(found, passages)
    own = find_pairs(pool.query, pool.passage, of_query, of_passage, passages)
    whole = Candidates(
        query=pool.query,
        passage=pool.passage,
        rank=pool.rank[pool.offsets[:-1]],
        **_similarities(one, pool.query, pool.passage),
        excluded=np.where(own >= 0, code[own] + 1, 0),
        passage_key=data.passage_key[pool.passage],
        reference=one.candidates.reference,
        positive_rank=one.candidates.positive_rank,
        query_key=data.query_key,
    )
    relevant = find_pairs(pool.query, pool.passage, data.of_query, data.of_passage, passages) >= 0
    relevant &= own < 0
    by_score = np.lexsort((pool.passage, -whole.score, pool.query))
    by_rank = np.lexsort((pool.passage, -reciprocal_ranks(pool), pool.query))
    by_rank = by_rank[within_depth(pool.query[by_rank], own[by_rank] >= 0, k)]
    mask = np.zeros((2, len(own)), bool)
    for number in range(2):
        mask[number, rows[number]] = True
    chosen = {
        "dense": by_score[mask[0][by_score]],
        name: by_score[mask[1][by_score]],
        "union": by_score,
        "rrf": by_rank,
    }
    trials = {name: Trial(data, one.shown, _taken(whole, rows), relevant[rows]) for name, rows in chosen.items()}
    top = [_first(hits, of_query, of_passage, passages) for hits in found]
    first = len(np.intersect1d(*top)) / len(top[0])
    return Lists(trials, mask[0][by_score], mask[1][by_score], first)


def _first(hits: Hits, of_query: np.ndarray, of_passage: np.ndarray, passages: int) -> np.ndarray:
    """Keys of the first ten of each query that are not its own."""
    hits = hits.rows(find_pairs(hits.query, hits.passage, of_query, of_passage, passages) < 0)
    hits = hits.rows(positions(hits.query) < 10)
    return hits.query * passages + hits.passage


def _similarities(one: Trial, query: np.ndarray, passage: np.ndarray) -> dict[str, np.ndarray]:
    data = one.collection
    closeness = Closeness(data.passages[one.shown], np.arange(len(one.shown)), len(one.shown), normalized=True)
    score, cosine = np.empty(len(query)), np.empty(len(query))
    for low in range(0, len(query), CHUNK):
        part = slice(low, low + CHUNK)
        vectors = data.passages[passage[part]]
        score[part] = np.einsum("ij,ij->i", data.queries[query[part]], vectors, dtype=np.float64)
        cosine[part] = closeness.cosines(query[part], vectors[:, None])[:, 0, 1]
    return {"score": score, "positive_similarity": cosine}


def _taken(candidates: Candidates, rows: np.ndarray) -> Candidates:
    names = ("query", "passage", "rank", "score", "positive_similarity", "excluded", "passage_key")
    return replace(candidates, **{name: getattr(candidates, name)[rows] for name in names})


def evidence(one: Trial, words: Words) -> dict[str, np.ndarray]:
    """Features of every candidate with what BM25 knows: its score to the query, and with the text of the positive in
    the place of the query; each in standard deviations from the mean of the query's list."""
    candidates, data = one.candidates, one.collection
    base = features(candidates)
    pairs, nothing = (candidates.query, candidates.passage), np.zeros(len(one.shown), np.int64)
    # Candidates are by query but not by passage, which is all that is asked for.
    to_query = words.search(data.query_texts, nothing, pairs).of_pairs
    to_positive = words.search([data.texts[number] for number in one.shown], nothing, pairs).of_pairs
    columns = [
        replace(candidates, positive_similarity=values).positive_similarity_z for values in (to_query, to_positive)
    ]
    stacked = [base, columns[0][:, None]], [base, columns[1][:, None]], [base, np.stack(columns, axis=1)]
    return dict(zip(EVIDENCE, [base, *(np.hstack(parts) for parts in stacked)], strict=True))


def matched(trials: Sequence[Trial], risks: Sequence[np.ndarray], goal: float) -> Measured | None:
    """Negatives as hard as ``goal`` by a limit on the risk."""
    limits = np.quantile(risks[0], np.linspace(0, 1, LEVELS))
    take: Callable[[int, int], Pairs] = lambda level, number: by_rules(  # noqa: E731
        Rules(risk_limit=float(limits[level])), trials[number], risks[number]
    )
    return at_hardness(LEVELS, take, trials, goal)


def interval(one: Measured, other: Measured | None = None) -> str:
    """95% bootstrap interval over queries of the FNR, or of by how much it is above that of ``other``."""
    generator = np.random.default_rng(0)
    queries = len(one.taken)
    values = np.empty(DRAWS)
    for number in range(DRAWS):
        rows = generator.integers(0, queries, queries)
        values[number] = one.false[rows].sum() / one.taken[rows].sum()
        if other is not None:
            values[number] -= other.false[rows].sum() / other.taken[rows].sum()
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{low:+.3f} - {high:+.3f}" if other is not None else f"{low:.3f} - {high:.3f}"


def overlap(name: str, every: Sequence[Lists]) -> str:
    """How far both agree in the first 10 and in all, and how many of each kind of candidate are hidden positives."""
    first, whole, shares, reach = [], [], [], []
    for lists in every:
        union = lists.trials["union"]
        query, fair, truth = union.candidates.query, union.candidates.excluded == 0, union.relevant
        both = lists.dense & lists.other
        queries = len(union.shown)
        whole.append((both & fair).sum() / (lists.dense & fair).sum())
        first.append(lists.first)
        kinds = (both, lists.dense & ~lists.other, lists.other & ~lists.dense)
        shares.append([truth[kind & fair].mean() for kind in kinds])
        hidden = np.bincount(union.collection.of_query, minlength=queries).sum() - queries
        reach.append([truth[kind].sum() / hidden for kind in (lists.dense, lists.other, np.ones(len(query), bool))])
    cells = [np.mean(first), np.mean(whole), *np.mean(shares, axis=0), *np.mean(reach, axis=0)]
    return f"| {name} | {' | '.join(f'{value:.3f}' for value in cells)} |"


def rows_with(trials: Sequence[Trial], values: Sequence[np.ndarray]) -> Rows:
    """The candidates that a risk model with these features is fitted on."""
    found = []
    for one, of_candidates in zip(trials, values, strict=True):
        rows = np.flatnonzero(one.candidates.eligible)
        rows = rows[positions(one.candidates.query[rows]) < FIT_DEPTH]
        found.append((of_candidates[rows], one.relevant[rows]))
    return np.concatenate([rows for rows, _ in found]), np.concatenate([truth for _, truth in found])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("-k", type=int, default=FIT_K, help=f"candidates of a query (default {FIT_K}, that of mine.k)")
    args = parser.parse_args()
    read = partial(load, vectors=args.vectors, at_least=args.positives)
    rows: dict[str, dict[str, Rows]] = {name: {} for name in EVIDENCE}
    for folder in args.folders:
        data = read(folder)
        words, trials = Words(data), [trial(data, seed, FIT_K) for seed in range(args.seeds)]
        known = [evidence(one, words) for one in trials]
        for name in EVIDENCE:
            rows[name][data.name] = rows_with(trials, [values[name] for values in known])
    head = "same in 10 | same in all | both | dense alone | BM25 alone | dense finds | BM25 finds | together |"
    overlaps = [f"| collection | {head}", "|---|" + "---|" * 8]
    ways = ["| collection | candidates | FNR | 95% interval | mean cosine | yield |", "|---|---|---|---|---|---|"]
    votes = ["| collection | the risk model knows | FNR | 95% interval | more than alone |", "|---|---|---|---|---|"]
    for folder in args.folders:
        data = read(folder)
        words, trials = Words(data), [trial(data, seed, args.k) for seed in range(args.seeds)]
        goal = pooled([measured(one, by_peer(one, args.k, 0.05)) for one in trials]).hardness
        every = [lists_of(one, search_words(one, words), args.k) for one in trials]
        overlaps.append(overlap(data.name, every))
        model = fit_without(rows[EVIDENCE[0]], data.name)
        slots = args.seeds * NEGATIVES * len(data.queries)
        for name in every[0].trials:
            some = [lists.trials[name] for lists in every]
            one = matched(some, [model.probability(features(one.candidates)) for one in some], goal)
            easiest = pooled([measured(each, by_rules(Rules(), each)) for each in some])
            shown = "not reached" if one is None else _cells(one, slots)
            ways.append(f"| {data.name} | {name}, first {NEGATIVES} | {_cells(easiest, slots)} |")
            ways.append(f"| {data.name} | {name}, as hard as the peer | {shown} |")
        alone: Measured | None = None
        known = [evidence(one, words) for one in trials]
        for name in EVIDENCE:
            model = fit_without(rows[name], data.name)
            one = matched(trials, [model.probability(values[name]) for values in known], goal)
            if one is not None:
                more = "" if alone is None else f"{one.fnr - alone.fnr:+.3f}, {interval(one, alone)}"
                votes.append(f"| {data.name} | {name} | {one.fnr:.3f} | {interval(one)} | {more} |")
                alone = alone or one
    for title, lines in (("Overlap", overlaps), ("Negatives", ways), ("Agreement", votes)):
        print(f"### {title}\n\n" + "\n".join(lines) + "\n")


def _cells(one: Measured, slots: int) -> str:
    return f"{one.fnr:.3f} | {interval(one)} | {one.hardness:.3f} | {one.taken.sum() / slots:.2f}"


if __name__ == "__main__":
    main()
