"""How many negatives are false, on judged collections: rules of negmine beside those of others.

    python -m benchmarks.quality FOLDER [FOLDER ...] --seeds 5 -k 100

Of each query one positive is shown, the others are hidden; see `benchmarks.judged`. FNR is the share of
the negatives that are hidden positives, hardness their mean cosine to the query (and g, the mean over
queries of the share of e^(cosine/0.05) that negatives have beside the positive), yield the share of slots
that are filled. Intervals are bootstraps over queries. The risk model that is used on a collection is
fitted on the other ones given, so give at least two.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from benchmarks.arms import (
    NEGATIVES,
    Measured,
    at_hardness,
    by_config,
    by_peer,
    by_rules,
    config_of,
    measured,
    oracle,
    pooled,
)
from benchmarks.judged import Collection, Trial, add_arguments, hidden_gaps, load, trial
from benchmarks.risk_model import FIT_K, fit_without, rows_of
from negmine.config import Config
from negmine.selection.bootstrap import bootstrap_ratio
from negmine.selection.calibration import calibration_half, calibration_needed, leak_margin
from negmine.selection.random import mix
from negmine.selection.risk import RiskModel, features
from negmine.selection.verdicts import Rules

PEER = "peer, relative_margin {:g}"
MARGINS = (0.05, 0.1, 0.2)
RULES = {
    "naive top": Rules(),
    "skip the first 10": Rules(range_min=10),
    "relative_margin 0.05": Rules(relative_margin=0.05),
    "positive_similarity 0.5": Rules(positive_similarity=0.5),
    "relative_positive_similarity 1": Rules(relative_positive_similarity=1.0),
}
ONLY_RISK = "risk.as_hard_as 0.05 alone"
DEFAULT = "default"
LEVELS = 512
"""Limits of a rule among which the one with the wanted hardness is looked for."""
LEAK_RATE, LEAK_SEEDS = 0.05, 20

Matched = tuple[str, Measured | None]


@dataclass
class Found:
    """Figures of a collection: of each arm, of rules at the peer's hardness, and what is possible."""

    name: str
    queries: int
    arms: dict[str, Measured]
    limits: list[float]
    """On the risk in the default arm, a seed each."""
    matched: list[Matched] = field(default_factory=list)
    safest: float = 0.0
    """Mean cosine of the hardest negatives that hold as few false ones as can be."""


def figures(trials: Sequence[Trial], k: int, model: RiskModel) -> Found:
    """All arms on the trials of a collection."""
    arms: dict[str, list[Measured]] = {}

    def add(name: str, one: Trial, negatives: tuple[np.ndarray, np.ndarray]) -> None:
        arms.setdefault(name, []).append(measured(one, negatives))

    limits = []
    only_risk: Config = config_of(risk={"as_hard_as": 0.05}, near_duplicates=None)
    for one in trials:
        for margin in MARGINS:
            add(PEER.format(margin), one, by_peer(one, k, margin))
        for name, rules in RULES.items():
            add(name, one, by_rules(rules, one))
        add(ONLY_RISK, one, by_config(only_risk, one, model)[0])
        negatives, limit = by_config(config_of(), one, model)
        add(DEFAULT, one, negatives)
        limits.append(limit)
    found = Found(
        trials[0].collection.name, len(trials[0].shown), {name: pooled(of) for name, of in arms.items()}, limits
    )
    goal = found.arms[PEER.format(0.05)].hardness
    found.matched = matched(trials, k, model, goal)
    least, found.safest = oracle(trials, goal)
    found.matched.append(("oracle", least))
    return found


def matched(trials: Sequence[Trial], k: int, model: RiskModel, goal: float) -> list[Matched]:
    """Rules that have a limit, with that at which their negatives are as hard as ``goal``."""
    risks = [model.probability(features(one.candidates)) for one in trials]
    share = np.linspace(0, 1, LEVELS)
    similarity = np.quantile(trials[0].candidates.positive_similarity, share)
    similarity_z = np.quantile(trials[0].candidates.positive_similarity_z, share)
    risk = np.quantile(risks[0], share)

    def taker(rules_at: Callable[[int], Rules]) -> Callable[[int, int], tuple[np.ndarray, np.ndarray]]:
        return lambda level, number: by_rules(rules_at(level), trials[number], risks[number])

    families: dict[str, tuple[int, Callable[[int], Rules]]] = {
        "skip the first n": (k - NEGATIVES, lambda level: Rules(range_min=k - NEGATIVES - level)),
        "positive_similarity": (LEVELS, lambda level: Rules(positive_similarity=float(similarity[level]))),
        "relative_positive_similarity": (
            LEVELS,
            lambda level: Rules(relative_positive_similarity=float(similarity_z[level])),
        ),
        "risk": (LEVELS, lambda level: Rules(risk_limit=float(risk[level]))),
    }
    return [(name, at_hardness(levels, taker(rules_at), trials, goal)) for name, (levels, rules_at) in families.items()]


def leak(data: Collection) -> tuple[float, float, float] | None:
    """Share of hidden positives that pass a margin calibrated on the other half of the queries, and its interval;
    None when the queries are too few. Each half is measured in turn."""
    passed, counted = np.zeros(len(data.queries)), np.zeros(len(data.queries))
    for seed in range(LEAK_SEEDS):
        key, reference, hidden = hidden_gaps(data, seed)
        half = calibration_half(mix(seed, key))
        if (~half).sum() < calibration_needed(LEAK_RATE):
            return None
        for calibrating in (half, ~half):
            margin = leak_margin(reference[calibrating], hidden[calibrating], LEAK_RATE)
            counted += ~calibrating
            passed += ~calibrating & (reference - hidden > margin)
    return float(passed.sum() / counted.sum()), *bootstrap_ratio(passed, counted)


def cells(one: Measured, slots: int) -> list[str]:
    low, high = bootstrap_ratio(one.false, one.taken)
    some = one.taken > 0
    filled = one.taken.sum() / slots
    return [
        f"{one.fnr:.3f}",
        f"{low:.3f} - {high:.3f}",
        f"{one.hardness:.3f}",
        f"{one.g[some].mean():.2f}",
        f"{filled:.2f}",
    ]


def detail(found: Found, seeds: int) -> str:
    """Markdown: all arms of a collection."""
    slots = seeds * NEGATIVES * found.queries
    lines = [
        f"### {found.name}",
        "",
        "| rule | FNR | 95% interval | mean cosine | g | yield |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join([name, *cells(one, slots)])} |" for name, one in found.arms.items()]
    lines += ["", f"At a mean cosine of {found.arms[PEER.format(0.05)].hardness:.3f}:", ""]
    lines += ["| rule, at the limit that gives it | FNR | 95% interval | yield |", "|---|---|---|---|"]
    for name, one in found.matched:
        shown = ["not reached", "", ""] if one is None else [cells(one, slots)[i] for i in (0, 1, 4)]
        lines.append(f"| {' | '.join([name, *shown])} |")
    limits = ", ".join(f"{limit:.2f}" for limit in found.limits)
    lines += ["", f"Hardest negatives with the fewest false ones: mean cosine {found.safest:.3f}. Limits: {limits}."]
    return "\n".join(lines) + "\n"


def summary(every: Sequence[Found], seeds: int) -> str:
    """Markdown: FNR at mean cosine, yield, of all collections beside each other."""

    def cell(found: Found, one: Measured | None) -> str:
        if one is None:
            return "not reached"
        filled = one.taken.sum() / (seeds * NEGATIVES * found.queries)
        return f"{one.fnr:.3f} at {one.hardness:.3f}, {filled:.2f}"

    header = f"{' | '.join(found.name for found in every)} |"
    lines = [f"| rule | {header}", "|---|" + "---|" * len(every)]
    for name in every[0].arms:
        lines.append(f"| {name} | {' | '.join(cell(found, found.arms[name]) for found in every)} |")
    for number, (name, _) in enumerate(every[0].matched):
        shown = " | ".join(cell(found, found.matched[number][1]) for found in every)
        lines.append(f"| as hard as the peer: {name} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("-k", type=int, default=FIT_K, help=f"candidates of a query (default {FIT_K}, that of mine.k)")
    args = parser.parse_args()
    read = partial(load, vectors=args.vectors, at_least=args.positives)
    rows = {}
    for folder in args.folders:
        data = read(folder)
        rows[data.name] = rows_of([trial(data, seed, FIT_K) for seed in range(args.seeds)])
    every, leaks = [], ["| collection | queries | hidden positives that pass | 95% interval |", "|---|---|---|---|"]
    print(f"## k = {args.k}, {NEGATIVES} negatives a query, {args.seeds} seeds\n")
    for folder in args.folders:
        data = read(folder)
        trials = [trial(data, seed, args.k) for seed in range(args.seeds)]
        every.append(figures(trials, args.k, fit_without(rows, data.name)))
        print(detail(every[-1], args.seeds), flush=True)
        passing = leak(data)
        shown = "too few queries | |" if passing is None else "{:.3f} | {:.3f} - {:.3f} |".format(*passing)
        leaks.append(f"| {data.name} | {len(data.queries)} | {shown}")
    print("### All\n")
    print(summary(every, args.seeds))
    print(f"### leak_rate {LEAK_RATE:g}, {LEAK_SEEDS} seeds\n")
    print("\n".join(leaks))


if __name__ == "__main__":
    main()
