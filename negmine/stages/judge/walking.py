"""Judging the queries of a run: round by round, until nobody has to be asked any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from negmine.config.judging import JudgeConfig
from negmine.selection.judging import Verdict, Walk, walk
from negmine.stages.base import Run
from negmine.stages.judge.block import Block, Group, blocks
from negmine.stages.judge.judges import Judges, Said
from negmine.stages.judge.setup import judge_section

_DONE_BY_A_ROUND = 0.8
"""Share of the queries that a round may be taken to settle, before that is known."""


def judged_blocks(
    run: Run, judges: Judges, progress: Callable[[int], None]
) -> Iterator[tuple[Block, list[tuple[Group, Walk]]]]:
    """Every block with the walk of each query, after all that was to be asked is answered.

    ``progress`` is told how many more queries are done. Raises what ``Judges.settle`` does.
    """
    section = judge_section(run.config)
    for block in blocks(run):
        walks = {group: walk_of(block, group, judges, section) for group in block.groups}
        bar = _Progress(progress)
        while open_ := [group for group, each in walks.items() if each.asked]:
            questions = [block.question(group, walks[group].asked) for group in open_]
            bar.round(len(walks) - len(open_), len(open_), judges.requests(questions))
            judges.settle(questions, bar.answered)
            walks |= {group: walk_of(block, group, judges, section) for group in open_}
        bar.done(len(walks))
        yield block, list(walks.items())


class _Progress:
    """Tells how many queries of a block are done; within a round, about how many, by the answers that came."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress
        self._told = self._before = self._open = self._answers = 0
        self._expected = 1

    def round(self, before: int, open_queries: int, requests: int) -> None:
        """``before`` queries are done, the others wait for so many requests at least."""
        self._before, self._open, self._answers, self._expected = before, open_queries, 0, max(requests, 1)
        self.done(before)

    def answered(self) -> None:
        """One more answer; some queries will need another round."""
        self._answers += 1
        share = min(self._answers / self._expected, 1.0)
        self.done(self._before + int(_DONE_BY_A_ROUND * share * self._open))

    def done(self, queries: int) -> None:
        """So many are done."""
        if queries > self._told:
            self._progress(queries - self._told)
            self._told = queries


def looked_at(run: Run, judges: Judges) -> Iterator[tuple[Block, Group, int]]:
    """Every row that the judges look at, by what is known so far; nobody is asked."""
    section = judge_section(run.config)
    for block in blocks(run):
        for group in block.groups:
            for row in walk_of(block, group, judges, section).seen:
                yield block, group, row


def walk_of(block: Block, group: Group, judges: Judges, section: JudgeConfig) -> Walk:
    """How far judging a query has come."""

    def verdict(row: int) -> Verdict:
        said = judgement(block, group, row, judges)
        if isinstance(said, int):
            return "unknown"
        return "open" if said.judgement is None else said.relevant

    most = 0 if section.action == "quarantine" else section.max_relevant
    return walk(group.kept, group.drawn, group.further, verdict, most)


def judgement(block: Block, group: Group, row: int, judges: Judges) -> Said | int:
    """What is known of a row, or who has to be asked."""
    return judges.known(block.pair(group, row))
