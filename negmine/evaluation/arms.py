"""The negatives of every arm, from the candidates that a run has stored: nothing is mined again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from negmine.arrays import find_pairs, positions
from negmine.config import Config
from negmine.errors import ConfigError
from negmine.evaluation.material import Material, Pairs
from negmine.evaluation.split import TRAIN
from negmine.selection.random import draw_passages
from negmine.selection.verdicts import KEPT, Rules, decide, survivors
from negmine.stages.base import Run
from negmine.stages.filter.calibrating import calibrated, risk_of, rules_of
from negmine.stages.filter.fill import random_wanted
from negmine.stages.filter.loading import MinedPart, load_part, mined_parts, near_duplicates_of
from negmine.stages.filter.sampling import Samples
from negmine.stages.final import final_stage, kept_rows
from negmine.store.tables import to_numpy
from negmine.training.base import MISSING

PEER_MARGIN = 0.05
"""``relative_margin`` of ``mine_hard_negatives`` as its documentation recommends it."""

Taken = tuple[np.ndarray, np.ndarray]
"""Queries, ascending, and their negatives, best first: (m,) each."""


def negatives_of(material: Material, arm: str) -> Taken:
    """What an arm of ``EvaluateConfig.arms`` trains on."""
    run, wanted = material.run, material.run.config.filter.num_negatives
    if arm == "in_batch":
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if arm == "run":
        return own_negatives(run)
    if arm == "random":
        return random_negatives(material, np.where(material.sides == TRAIN, wanted, 0))
    if arm == "oracle":
        assert material.judged is not None
        known = Pairs(material.judged.query, material.judged.passage, material.judged.passage)
        return _by_rules(_dense(run), Rules(num_negatives=wanted), known.of(np.arange(material.queries)))
    margin = PEER_MARGIN if arm == "peer" else None
    return _by_rules(_dense(run), Rules(num_negatives=wanted, relative_margin=margin))


def own_negatives(run: Run) -> Taken:
    """The negatives of the run: what filter kept, and the judge where there is one."""
    parts: list[Taken] = []
    final = final_stage(run.config)
    for name, _, _ in mined_parts(run):
        table = pa.Table.from_batches(kept_rows(run.file(final, f"{name}.parquet"), ["query", "passage", "position"]))
        query, passage, position = (to_numpy(table[column]) for column in ("query", "passage", "position"))
        order = np.lexsort((position, query))
        parts.append((query[order], passage[order]))
    return _joined(parts)


def filtered_negatives(material: Material, config: Config) -> Taken:
    """What the filter section of ``config`` would take from the stored candidates, which it may differ in from the
    run's own config. Raises ConfigError for ``max_reuse``, which is about all queries at once."""
    if config.filter.max_reuse is not None:
        raise ConfigError(
            "it is about all queries at once and cannot be tried on stored candidates", where="filter.max_reuse"
        )
    run = Run(config, material.run.work)
    found = calibrated(config, Samples(run))
    rules, near = rules_of(config, found), config.filter.near_duplicates

    def reasons(part: MinedPart) -> np.ndarray:
        risk = risk_of(found.model, part.candidates) if config.filter.risk is not None else None
        rule = None
        if near is not None and near.jaccard is not None:
            rule = near_duplicates_of(run, part.candidates, part.start, near.jaccard)
        return decide(rules, part.candidates.query, survivors(rules, part.candidates, risk, rule))

    taken = _taken(run, config.filter.exclude_same, reasons)
    wanted = random_wanted(rules, np.bincount(taken[0], minlength=material.queries))
    if not wanted.any():
        return taken
    parts = [(part.candidates.query + part.start, part.candidates.passage) for part in _parts(run, ())]
    query, passage = _joined([taken, random_negatives(material, wanted, _joined(parts))])
    order = np.argsort(query, kind="stable")  # random ones come last
    return query[order], passage[order]


def random_negatives(material: Material, wanted: np.ndarray, others: Taken | None = None) -> Taken:
    """``wanted`` (q,) passages for each query, uniform over those that are no positive nor a copy of one, nor among
    ``others``."""
    query, passage = material.excluded.query, material.excluded.passage
    if others is not None:
        query, passage = _joined([(query, passage), others])
        order = np.argsort(query, kind="stable")
        query, passage = query[order], passage[order]
    banned = np.split(passage, np.cumsum(np.bincount(query, minlength=material.queries))[:-1])
    return draw_passages(material.run.config.seed, material.hashes, wanted, banned, material.passages)


def as_rows(taken: Taken, query: np.ndarray) -> np.ndarray:
    """Negatives of the query of each training row: int64 (n, m), -1 where there are fewer than the most."""
    rows = np.isin(taken[0], query)
    of_query, passage = taken[0][rows], taken[1][rows]
    place = positions(of_query)
    table = np.full((int(query.max()) + 1, int(place.max(initial=-1)) + 1), MISSING, np.int64)
    table[of_query, place] = passage
    return table[query]


def _dense(run: Run) -> Run:
    """The run with the scores of its vectors, which the usual recipes are about."""
    config = run.config
    alone = config.filter.model_copy(update={"score": "dense"})
    return Run(config.model_copy(update={"filter": alone}), run.work)


def _parts(run: Run, exclude_same: tuple[str, ...]) -> Iterator[MinedPart]:
    for name, start, stop in mined_parts(run):
        yield load_part(run, name, start, stop, exclude_same, numbers_only=True)


def _by_rules(run: Run, rules: Rules, relevant: Pairs | None = None) -> Taken:
    """What rules without risk take; ``relevant`` pairs are taken for positives."""
    passages = int(run.manifest("ingest").counts["passages"])

    def reasons(part: MinedPart) -> np.ndarray:
        of = part.candidates
        if relevant is not None:
            known = find_pairs(of.query + part.start, of.passage, relevant.query, relevant.passage, passages) >= 0
            of = replace(of, excluded=np.where(known & (of.excluded == 0), 1, of.excluded))
        return decide(rules, of.query, survivors(rules, of))

    return _taken(run, (), reasons)


def _taken(run: Run, exclude_same: tuple[str, ...], reasons: Callable[[MinedPart], np.ndarray]) -> Taken:
    parts: list[Taken] = []
    for part in _parts(run, exclude_same):
        rows = np.flatnonzero(reasons(part) == KEPT)
        parts.append((part.candidates.query[rows] + part.start, part.candidates.passage[rows]))
    return _joined(parts)


def _joined(parts: list[Taken]) -> Taken:
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
