"""What judging would ask now, and about how much that is; nobody is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from negmine.scoring.chat import Messages, estimated_tokens
from negmine.stages.base import Run
from negmine.stages.judge.block import blocks
from negmine.stages.judge.budget import money
from negmine.stages.judge.judges import Judges, answer_tokens
from negmine.stages.judge.setup import judge_section
from negmine.stages.judge.walking import walk_of

_USUAL = 0.1
"""Share of relevant candidates where no risk was computed."""


@dataclass(frozen=True)
class Preview:
    """The first questions that would be asked, and estimates of all: ``passages`` to be judged, ``requests``,
    ``tokens`` of questions and answers, ``cost`` (None without prices).

    What is relevant is estimated by its risk: as many passages take its place and are judged too, and the strong judge
    confirms it.
    """

    prompts: tuple[Messages, ...]
    passages: int
    requests: int
    tokens: int
    cost: float | None


def preview(run: Run, judges: Judges, prompts: int = 3) -> Preview:
    """Look at what is not known yet of a finished filter."""
    section = judge_section(run.config)
    shown: list[Messages] = []
    passages = requests = asked = answered = 0
    relevant = 0.0
    for block in blocks(run):
        for group in block.groups:
            rows = walk_of(block, group, judges, section).asked
            for part in judges.left(block.question(group, rows), 0) if judges.models else ():
                messages = judges.messages(part)
                if len(shown) < prompts:
                    shown.append(messages)
                passages += len(part.passages)
                requests += 1
                asked += estimated_tokens(messages)
                answered += answer_tokens(len(part.passages))
            risks = [float(block.risk[row]) for row in rows]
            relevant += sum(_USUAL if math.isnan(risk) else risk for risk in risks)
    if not requests:
        return Preview((), 0, 0, 0, None if not judges.models or judges.models[0].prices is None else 0.0)
    share = min(relevant / passages, 0.9)
    further = share / (1 - share)  # what takes the place of the relevant ones is judged as well
    cost = money(judges.models[0], round(asked * (1 + further)), round(answered * (1 + further)))
    total, tokens = requests * (1 + further), (asked + answered) * (1 + further)
    if len(judges.models) > 1:
        confirmed = relevant * (1 + further)  # mostly one of a query, with its query and known answers
        per_question, per_answer = asked / requests, answer_tokens(1)
        strong = money(judges.models[1], round(confirmed * per_question), round(confirmed * per_answer))
        cost = None if cost is None or strong is None else cost + strong
        total += confirmed
        tokens += confirmed * (per_question + per_answer)
    return Preview(tuple(shown), passages, round(total), round(tokens), cost)
