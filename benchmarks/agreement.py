"""A second scorer beside the vectors, BM25 or another encoder: as a retriever, and as one that has to agree.

    python -m benchmarks.agreement FOLDER [FOLDER ...] --model FOLDER --seeds 3 -k 100

The protocol is that of `benchmarks.quality`. `--model` is a model of Sentence Transformers, the second encoder. First
its candidates are compared with those of the vectors, as `benchmarks.hybrid` does for BM25. Then the candidates of the
vectors are filtered by margins: that of the vectors alone, that of the other scorer alone, and those of both, where a
candidate goes when one of them objects (any) or when both do (all). Each margin is calibrated for the same leak rate on
another hidden positive of each query, and the rate is the one at which negatives are as hard as the peer's with
`--margin`. So all arms are equally hard; differences of FNR have paired intervals over queries.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.arms import NEGATIVES, Measured, Pairs, at_hardness, by_peer, by_rules, measured, pooled
from benchmarks.hybrid import Lists, Search, Words, interval, lists_of, matched, overlap, search_words
from benchmarks.judged import Collection, Trial, add_arguments, load, trial
from benchmarks.risk_model import FIT_K, Rows, fit_without, rows_of
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder, Settings
from negmine.retrieval.exact import search_exact
from negmine.retrieval.sparse import Matches
from negmine.selection.calibration import calibration_needed, leak_margin
from negmine.selection.risk import features
from negmine.selection.verdicts import Margins, Rules

RATES = np.concatenate([np.linspace(0.01, 0.2, 40), np.linspace(0.21, 0.99, 79)])
SECOND = "second"
ARMS = ("vectors", "other", "any", "all")


class Encoded:
    """A second encoder's vectors of a collection, of length 1."""

    def __init__(self, data: Collection, model: Path) -> None:
        encoder = SentenceTransformerEncoder(model, Settings(device="cpu"))
        self.queries, self.passages = encoder.encode_queries(data.query_texts), encoder.encode_passages(data.texts)

    def search(self, depth: np.ndarray) -> Matches:
        near = search_exact(self.queries, lambda: [(0, self.passages)], depth, len(self.passages), "cosine")
        return Matches(near.query, near.passage, near.score, np.empty(0))

    def scores(self, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
        """Of pairs (n,): float64."""
        found = np.empty(len(query))
        for low in range(0, len(query), 65_536):
            part = slice(low, low + 65_536)
            left, right = self.queries[query[part]], self.passages[passage[part]]
            found[part] = np.einsum("ij,ij->i", left, right, dtype=np.float64)
        return found


def word_scores(data: Collection, words: Words, query: np.ndarray, passage: np.ndarray) -> np.ndarray:
    """BM25 of pairs (n,) in any order: float64."""
    order = np.argsort(query, kind="stable")
    found = np.empty(len(query))
    depth = np.zeros(len(data.queries), np.int64)
    found[order] = words.search(data.query_texts, depth, (query[order], passage[order])).of_pairs
    return found


Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""What a scorer gives to pairs of query and passage (n,)."""


def another_positive(one: Trial, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of every query that has one, a further relevant passage: query and passage (m,)."""
    data = one.collection
    rows = np.flatnonzero(data.of_passage != one.shown[data.of_query])
    rows = np.random.default_rng(seed).permutation(rows)
    query, first = np.unique(data.of_query[rows], return_index=True)
    return query, data.of_passage[rows[first]]


def gaps(one: Trial, score: Score, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the shown and of another positive, of queries that have two (m,)."""
    query, passage = another_positive(one, seed)
    return score(query, one.shown[query]), score(query, passage)


def with_second(one: Trial, score: Score) -> Trial:
    """The trial with a second scorer's scores of candidates and of the shown positive."""
    candidates, every = one.candidates, np.arange(len(one.shown))
    known = replace(
        candidates,
        more_scores=(score(candidates.query, candidates.passage),),
        more_references=(score(every, one.shown),),
    )
    return replace(one, candidates=known)


def arms(trials: Sequence[Trial], dense: Sequence[Score], other: Sequence[Score], goal: float) -> dict[str, Measured]:
    """Negatives of each arm as hard as ``goal``, where a leak rate reaches it."""
    several = [with_second(one, score) for one, score in zip(trials, other, strict=True)]
    known = [
        [gaps(one, score, seed) for seed, (one, score) in enumerate(zip(trials, scores, strict=True))]
        for scores in (dense, other)
    ]
    least = min(len(reference) for reference, _ in known[0])
    rates = [rate for rate in RATES if calibration_needed(rate) <= least]

    def rules(arm: str, level: int, number: int) -> Rules:
        own, second = (leak_margin(*of[number], float(rates[level])) for of in known)
        if arm == "vectors":
            return Rules(leak_margin=own)
        others = (Margins(leak_margin=second),)
        return Rules(
            leak_margin=None if arm == "other" else own, of_others=others, agreement="all" if arm == "all" else "any"
        )

    found = {}
    for arm in ARMS:
        take: Callable[[int, int], Pairs] = lambda level, number, arm=arm: by_rules(  # type: ignore[misc]  # noqa: E731
            rules(arm, level, number), several[number] if arm != "vectors" else trials[number]
        )
        one = at_hardness(len(rates), take, trials, goal)
        if one is not None:
            found[arm] = one
    return found


def rows_of_arms(name: str, other: str, found: Mapping[str, Measured], peer: Measured, slots: int) -> list[str]:
    """Lines of Markdown: FNR, interval, difference to the peer's margin, yield."""
    lines = []
    for arm in ARMS:
        shown = {
            "vectors": "vectors alone",
            "other": f"{other} alone",
            "any": f"either, {other}",
            "all": f"both, {other}",
        }[arm]
        if arm not in found:
            lines.append(f"| {name} | {shown} | not reached | | | |")
            continue
        one = found[arm]
        more = f"{one.fnr - peer.fnr:+.3f}, {interval(one, peer)}"
        lines.append(f"| {name} | {shown} | {one.fnr:.3f} | {interval(one)} | {more} | {one.taken.sum() / slots:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("-k", type=int, default=FIT_K, help=f"candidates of a query (default {FIT_K}, that of mine.k)")
    parser.add_argument("--model", type=Path, required=True, help="the second encoder: a local folder")
    parser.add_argument("--margin", type=float, default=0.05, help="the peer's relative margin (default 0.05)")
    parser.add_argument("--margins-only", action="store_true", help="leave the candidates of each retriever out")
    parser.add_argument("--only", nargs="*", help="collections to measure; models are fitted on the others too")
    args = parser.parse_args()
    read = partial(load, vectors=args.vectors, at_least=args.positives)
    rows: dict[str, Rows] = {}
    for folder in args.folders if not args.margins_only else ():
        data = read(folder)
        rows[data.name] = rows_of([trial(data, seed, FIT_K) for seed in range(args.seeds)])
    head = "same in 10 | same in all | both | dense alone | other alone | dense finds | other finds | together |"
    overlaps = [f"| collection | {head}", "|---|" + "---|" * 8]
    ways = ["| collection | candidates | FNR | 95% interval | mean cosine | yield |", "|---|---|---|---|---|---|"]
    agreed = [
        "| collection | margins of | FNR | 95% interval | more than the peer's | yield |",
        "|---|---|---|---|---|---|",
    ]
    for folder in args.folders:
        if args.only and folder.name not in args.only:
            continue
        data = read(folder)
        words, second = Words(data), Encoded(data, args.model)
        trials = [trial(data, seed, args.k) for seed in range(args.seeds)]
        peer = pooled([measured(one, by_peer(one, args.k, args.margin)) for one in trials])
        slots = args.seeds * NEGATIVES * len(data.queries)
        model = None if args.margins_only else fit_without(rows, data.name)
        searches: dict[str, Callable[[Trial], Search]] = {
            "BM25": lambda one, words=words: search_words(one, words),  # type: ignore[misc]
            SECOND: lambda one, second=second: second.search,  # type: ignore[misc]
        }
        for name, search in searches.items() if not args.margins_only else ():
            every = [lists_of(one, search(one), args.k, name) for one in trials]
            overlaps.append(overlap(f"{data.name}, {name}", every))
            ways += _ways(data.name, name, every, model, peer.hardness, slots)
        dense: Score = lambda query, passage, data=data: np.einsum(  # type: ignore[misc]  # noqa: E731
            "ij,ij->i", data.queries[query], data.passages[passage], dtype=np.float64
        )
        scorers: dict[str, Score] = {"BM25": partial(word_scores, data, words), SECOND: second.scores}
        filled = f"{peer.taken.sum() / slots:.2f}"
        agreed.append(
            f"| {data.name} | the peer's, of {args.margin:.0%} | {peer.fnr:.3f} | {interval(peer)} | | {filled} |"
        )
        for name, score in scorers.items():
            found = arms(trials, [dense] * len(trials), [score] * len(trials), peer.hardness)
            agreed += rows_of_arms(data.name, name, found, peer, slots)
    for title, lines in (("Overlap", overlaps), ("Negatives", ways), ("Agreement of margins", agreed)):
        print(f"### {title}\n\n" + "\n".join(lines) + "\n", flush=True)


def _ways(collection: str, other: str, every: Sequence[Lists], model: object, goal: float, slots: int) -> list[str]:
    """The candidates of each retriever and of both, taken without a rule, and by risk as hard as ``goal``."""
    lines = []
    for name in every[0].trials:
        if name == "dense" and other != "BM25":
            continue  # it was shown
        some = [lists.trials[name] for lists in every]
        one = matched(some, [model.probability(features(each.candidates)) for each in some], goal)  # type: ignore[attr-defined]
        easiest = pooled([measured(each, by_rules(Rules(), each)) for each in some])
        label = name if name in ("dense", other) else f"{name} with {other}"
        for how, found in ((f"first {NEGATIVES}", easiest), ("as hard as the peer", one)):
            cells = (
                "not reached | | |" if found is None else f"{found.fnr:.3f} | {interval(found)} | {found.hardness:.3f}"
            )
            filled = "" if found is None else f"{found.taken.sum() / slots:.2f}"
            lines.append(f"| {collection} | {label}, {how} | {cells} | {filled} |")
    return lines


if __name__ == "__main__":
    main()
