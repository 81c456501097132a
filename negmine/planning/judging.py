"""What the judge stage comes to: requests, tokens and money; how long a server takes cannot be told."""

from __future__ import annotations

import math

from negmine.pipeline import StageStatus
from negmine.planning.facts import Asked, Estimate, Facts
from negmine.scoring.chat import BYTES_PER_TOKEN
from negmine.stages.base import Run
from negmine.stages.judge import Judges, preview
from negmine.stages.judge.budget import money
from negmine.stages.judge.judges import answer_tokens
from negmine.stages.judge.setup import prompts_of
from negmine.store.workdir import WorkDir

_BYTES = 60
"""Of a judged candidate on disk."""
_RELEVANT = 0.1
"""Share of candidates that are relevant, where nothing tells: others take their place, and a second model confirms."""
_SHOWN = 3
"""Known answers in a question, at most."""


def judge(facts: Facts, filtered: StageStatus, work: WorkDir) -> Estimate:
    """From the verdicts of a current filter, without what was answered before; else from counts and mean lengths."""
    config = facts.config
    assert config.judge is not None
    tasks = facts.parts + 2
    disk = round(_BYTES * facts.work.queries.count * config.filter.num_negatives)
    if not config.judge.judges:
        return Estimate(tasks, disk, 0, facts.seconds(0.0, disk, tasks))
    if filtered.state == "current":
        with Judges(config, work.root) as judges:
            found = preview(Run(config, work), judges, 0)
        seconds = None if found.requests else facts.seconds(0.0, disk, tasks)
        return Estimate(tasks, disk, 0, seconds, asked=Asked(found.requests, found.tokens, found.cost))
    return Estimate(tasks, disk, 0, asked=_asked(facts))


def _asked(facts: Facts) -> Asked:
    """Every negative of every query, as if none was answered before."""
    config, work = facts.config, facts.work
    assert config.judge is not None
    queries, negatives = work.queries.count, config.filter.num_negatives
    prompts = prompts_of(config)
    known = min(work.positives / max(queries, 1), _SHOWN)
    frame = (len(prompts.system.encode()) + len(prompts.user.encode()) + work.queries.mean) / BYTES_PER_TOKEN
    frame += known * work.passages.mean / BYTES_PER_TOKEN
    passage = work.passages.mean / BYTES_PER_TOKEN
    first, *second = config.judge.judges
    judged = queries * negatives * (1 + _RELEVANT)
    requests = queries * math.ceil(negatives / config.judge.batch_passages) * (1 + _RELEVANT)
    found = [(first, requests, judged)]
    if second:
        found.append((second[0], judged * _RELEVANT, judged * _RELEVANT))
    tokens, costs = 0.0, []
    for model, count, passages in found:
        prompt, answer = count * frame + passages * passage, count * answer_tokens(0) + passages * 14
        tokens += prompt + answer
        costs.append(money(model, round(prompt), round(answer)))
    cost = None if None in costs else sum(each for each in costs if each is not None)
    return Asked(round(sum(count for _, count, _ in found)), round(tokens), cost)
