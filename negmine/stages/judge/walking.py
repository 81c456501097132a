"""Judging the queries of a run: round by round, until nobody has to be asked any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from negmine.config.judging import JudgeConfig
from negmine.selection.judging import Verdict, Walk, walk
from negmine.stages.base import Run
from negmine.stages.judge.block import Block, Group, blocks
from negmine.stages.judge.judges import Judges, Said
from negmine.stages.judge.setup import judge_section


def judged_blocks(
    run: Run, judges: Judges, progress: Callable[[int], None]
) -> Iterator[tuple[Block, list[tuple[Group, Walk]]]]:
    """Every block with the walk of each query, after all that was to be asked is answered.

    ``progress`` is told how many more queries are done. Raises what ``Judges.settle`` does.
    """
    section = judge_section(run.config)
    for block in blocks(run):
        walks = {group: walk_of(block, group, judges, section) for group in block.groups}
        told = sum(not each.asked for each in walks.values())
        progress(told)
        while open_ := [group for group, each in walks.items() if each.asked]:
            judges.settle([block.question(group, walks[group].asked) for group in open_])
            walks |= {group: walk_of(block, group, judges, section) for group in open_}
            done = sum(not each.asked for each in walks.values())
            progress(done - told)
            told = done
        yield block, list(walks.items())


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
