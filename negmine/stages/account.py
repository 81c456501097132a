"""How a training set came about, for its card: the steps in words, candidates by fate, scores counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from negmine.config import Config
from negmine.config.filtering import RERANK
from negmine.config.mining import BM25, DENSE
from negmine.stages.base import Job, Run
from negmine.stages.final import final_stage
from negmine.stages.scored import positive_scores
from negmine.store.files import read_json
from negmine.store.tables import iter_batches, to_numpy
from negmine.writers.histogram import Histogram, count_scores

_BATCH_ROWS = 1 << 20
_RULES = (
    "risk",
    "absolute_margin",
    "relative_margin",
    "leak_rate",
    "positive_similarity",
    "relative_positive_similarity",
    "near_duplicates",
    "max_score",
    "min_score",
    "exclude_same",
    "max_rank",
    "max_reuse",
)
"""Keys of ``filter`` that drop candidates when they are set."""
_SHORTAGE = {
    "fewer": "keep what they have",
    "drop": "are left out",
    "random": "are filled up with random passages",
    "error": "were not allowed",
}


def recipe(config: Config, model: str) -> tuple[str, ...]:
    """The steps from labelled pairs to negatives, a sentence or two each."""
    section = config.filter
    nearest = config.mine.quotas.get(DENSE, config.mine.k)
    sources = [f"the {nearest} passages nearest to it by their vectors"] if config.mine.dense else []
    for name in config.mine.further:
        most = config.mine.quotas.get(name, config.mine.k)
        how = "the words they share (BM25)" if name == BM25 else f"a further encoder, {encoder_name(config, name)}"
        sources += [f"the first {most} by {how}"] if most else []
    sources += [f"the first {run.depth or config.mine.k} of the run `{run.name}`" for run in config.mine.runs]
    steps = [
        f"Queries and passages were compared as vectors ({model}): a score is the closeness of two, higher is closer.",
        f"Candidates of a query: {', '.join(sources)}. Its positives, their copies and copies of the query are none.",
    ]
    if config.mine.fusion == "rrf":
        steps.append(f"Their lists were merged by reciprocal ranks, and the first {config.mine.k} kept.")
    scored = [name for name in config.scorers if name in config.mine.further]
    if scored:
        steps.append(f"{_scorer_words(config.scorers)} of {' and '.join(f'`{name}`' for name in scored)}.")
    if config.rerank is not None:
        of = "the scores are those" if config.scorers == (RERANK,) else "some of the scores are those"
        steps.append(
            f"A cross-encoder ({reranker_name(config)}) then read each candidate together with its query: {of}."
        )
    used = [f"`{key}` ({_value(getattr(section, key))})" for key in _RULES if getattr(section, key) not in (None, ())]
    if used:
        steps.append(f"Rules that dropped candidates: {', '.join(used)}.")
    merged = config.mine.fusion == "rrf" and config.scorers[0] == DENSE and config.rerank is None
    first = "the first of the merged lists" if merged else "the closest"
    drawn = first if section.sampling_strategy == "top" else f"drawn by `{section.sampling_strategy}`"
    steps.append(
        f"Of what was left, {section.num_negatives} per query were taken, {drawn}"
        f"{f', after the first {section.range_min}' if section.range_min else ''}; queries with fewer"
        f" {_SHORTAGE[section.on_shortage]}."
    )
    return tuple(steps)


def judging(config: Config, counts: Mapping[str, int]) -> Iterator[str]:
    """What the judge did, where there is one, by the ``counts`` of its stage."""
    judge = config.judge
    if judge is None:
        return
    names = " and then ".join(f"a language model ({model.model})" for model in judge.judges) or "people"
    people = f" {counts['by_people']:,} of them were judged by people." if judge.judges and counts["by_people"] else ""
    step = f"Of these and of further survivors, {counts['judged']:,} were judged by {names}:"
    step += f" {counts['confirmed']:,} are relevant.{people}"
    if judge.action == "promote":
        step += f" {counts['promoted']:,} of them are positives here (`promoted` in `provenance.parquet`)."
    elif judge.action == "drop":
        step += " They were dropped, and the next survivors that are not relevant took their place."
    out = counts["queries_held_out"]
    if out:
        why = "one was relevant" if judge.action == "quarantine" else f"more than {judge.max_relevant} were relevant"
        step += f" {out:,} queries of which {why} were left out."
    yield step


def _scorer_words(scorers: tuple[str, ...]) -> str:
    """How the card begins to say whose scores decided."""
    if len(scorers) == 1:
        return "What was taken, and the scores in the files, went by the scores"
    return "A candidate had to keep away from the positives by several scores, also those"


def encoder_name(config: Config, name: str) -> str:
    """A further encoder as the card names it: a local folder by its name alone."""
    other = config.others[name]
    model = other.model or (other.endpoint.model if other.endpoint is not None else None)
    if model is None:
        return f"`{name}` (ready-made vectors)"
    return f"`{name}` ({Path(model).name if Path(model).is_absolute() else model})"


def reranker_name(config: Config) -> str:
    """The reranker as the card names it: a local folder by its name alone."""
    assert config.rerank is not None
    model, endpoint = config.rerank.model, config.rerank.endpoint
    if model is None:
        return (endpoint.model if endpoint is not None else None) or "of a server"
    return Path(model).name if Path(model).is_absolute() else model


def _value(value: object) -> str:
    if not hasattr(value, "model_dump"):
        return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return ", ".join(f"{key} {entry}" for key, entry in value.model_dump().items() if entry is not None)


def reasons(job: Job) -> Mapping[str, int]:
    """How many candidates were kept, and how many dropped for which reason; the most frequent first."""
    counts = read_json(job.file(final_stage(job.config), "report.json"))["reasons"]
    return dict(sorted(((name, count) for name, count in counts.items() if count), key=lambda entry: -entry[1]))


def score_histogram(job: Job) -> Histogram:
    """Scores of the labelled positives, of the negatives and of all other candidates that are no positives."""
    scorer = job.config.scorers[0]
    return count_scores(every_score(job, scorer), scores_by_kind(job, scorer))


def every_score(run: Run, scorer: str) -> Iterator[np.ndarray]:
    """Finite scores of labelled positives and of candidates, batch by batch; ``scorer`` decided."""
    yield from _positives(run, scorer)
    for path in run.files(final_stage(run.config), "part-"):
        for batch in iter_batches(path, ["score"], _BATCH_ROWS):
            yield to_numpy(pc.drop_null(batch["score"]))


def scores_by_kind(run: Run, scorer: str) -> Iterator[tuple[str, np.ndarray]]:
    """The same with their kind: positives, negatives, dropped. Positives among the candidates are left out."""
    for scores in _positives(run, scorer):
        yield "positives", scores
    for path in run.files(final_stage(run.config), "part-"):
        for batch in iter_batches(path, ["score", "reason"], _BATCH_ROWS):
            scored = batch.filter(pc.is_valid(batch["score"]))
            scores = to_numpy(scored["score"])
            kept, positive = (to_numpy(pc.equal(scored["reason"], name)) for name in ("kept", "positive"))
            yield "negatives", scores[kept]
            yield "dropped", scores[~kept & ~positive]


def _positives(run: Run, scorer: str) -> Iterator[np.ndarray]:
    for batch in iter_batches(run.file("mine", "positives.parquet"), ["query", "passage", "score"], _BATCH_ROWS):
        query, passage, score = (to_numpy(batch[name]) for name in ("query", "passage", "score"))
        yield score if scorer == DENSE else positive_scores(run, scorer, query, passage)
