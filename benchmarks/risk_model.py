"""Fit the risk model that comes with the tool on judged collections.

    python -m benchmarks.risk_model FOLDER [FOLDER ...] --out negmine/selection/risk_weights.json

Of each query one positive is shown and the first candidates are told apart into hidden positives and
others; see `benchmarks.judged`. Every collection weighs the same. The weights are fitted with an intercept
per collection; the one intercept that is written is that at which the mean probability over all collections
is the share of hidden positives, so a probability is that of a collection with their average share. Printed
is how a model of the other collections does on each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.judged import Trial, add_arguments, load, trial
from negmine.arrays import positions
from negmine.selection.risk import FEATURES, FIT_DEPTH, RANK_CAP, SKEW_CAP, RiskModel, features, fit

FIT_K = 100
"""Candidates of a query in the lists that a model is fitted on."""

Rows = tuple[np.ndarray, np.ndarray]
"""Features (n, f) of candidates and whether they are hidden positives (n,)."""


def rows_of(trials: Sequence[Trial]) -> Rows:
    """The candidates of some trials that a model is fitted on."""
    parts = []
    for one in trials:
        rows = np.flatnonzero(one.candidates.eligible)
        rows = rows[positions(one.candidates.query[rows]) < FIT_DEPTH]
        parts.append((features(one.candidates)[rows], one.relevant[rows]))
    return np.concatenate([values for values, _ in parts]), np.concatenate([truth for _, truth in parts])


def fit_on(rows: Mapping[str, Rows]) -> RiskModel:
    """The model of these collections."""
    group = np.repeat(np.arange(len(rows)), [len(truth) for _, truth in rows.values()])
    values, truth = (np.concatenate(column) for column in zip(*rows.values(), strict=True))
    return fit(values, truth, group)


def fit_without(rows: Mapping[str, Rows], name: str) -> RiskModel:
    """The model of all collections but one. Raises SystemExit when there is no other."""
    others = {other: found for other, found in rows.items() if other != name}
    if not others:
        raise SystemExit("a model is fitted on the other collections: give at least two folders")
    return fit_on(others)


def discrimination(probability: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a hidden positive has the greater probability; ties count half."""
    _, inverse, counts = np.unique(probability, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    hits = int(truth.sum())
    return float((rank[truth].sum() - hits * (hits + 1) / 2) / (hits * (len(truth) - hits)))


def left_out(rows: Mapping[str, Rows]) -> list[dict[str, Any]]:
    """Per collection, with the model of the others: mean probability beside the share of hidden positives."""
    found = []
    for name, (values, truth) in rows.items():
        model = fit_without(rows, name)
        probability = model.probability(values)
        found.append(
            {
                "collection": name,
                "weights": [round(weight, 2) for weight in model.weights],
                "intercept": round(model.intercept, 2),
                "predicted": round(float(probability.mean()), 3),
                "relevant": round(float(truth.mean()), 3),
                "auc": round(discrimination(probability, truth), 3),
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--encoder", default="sentence-transformers/all-MiniLM-L6-v2", help="what made the vectors")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows: dict[str, Rows] = {}
    collections = []
    for folder in args.folders:
        data = load(folder, args.vectors, args.positives)
        rows[data.name] = rows_of([trial(data, seed, FIT_K) for seed in range(args.seeds)])
        counts = {"queries": len(data.queries), "passages": len(data.passages), "candidates": len(rows[data.name][1])}
        collections.append({"name": data.name, **counts})
    model = fit_on(rows)
    held_out = left_out(rows) if len(rows) > 1 else []
    with_all = {name: float(model.probability(values).mean()) for name, (values, _) in rows.items()}
    card = {
        "predicts": "P(a mined candidate is relevant) in a collection with the average share of these",
        "fit_depth": FIT_DEPTH,
        "skew_cap": SKEW_CAP,
        "rank_cap": RANK_CAP,
        "k": FIT_K,
        "seeds": args.seeds,
        "least_positives": args.positives,
        "encoder": args.encoder,
        "collections": collections,
        "left_out": held_out,
        "mean_probability": {name: round(value, 3) for name, value in with_all.items()},
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks.risk_model {' '.join(rows)} --seeds {args.seeds}",
    }
    weights = dict(zip(FEATURES, model.weights, strict=True))
    text = json.dumps({"weights": weights, "intercept": model.intercept, "card": card}, indent=1)
    args.out.write_text(text + "\n", "utf-8")
    print("| left out | weights | intercept | mean probability | hidden positives | AUC | with all: mean probability |")
    print("|---|---|---|---|---|---|---|")
    for line in held_out:
        *values, auc = list(line.values())
        weight = ", ".join(f"{value:.2f}" for value in values[1])
        cells = [values[0], weight, *(f"{value:.3f}" for value in values[2:]), f"{auc:.3f}"]
        print(f"| {' | '.join(cells)} | {with_all[line['collection']]:.3f} |")


if __name__ == "__main__":
    main()
