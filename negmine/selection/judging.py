"""Which candidates of a query a judge is asked about, and what its negatives are by what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = bool | Literal["unknown", "open"] | None
"""Whether a candidate is relevant: None when nobody can say, ``unknown`` when the judge was not asked yet, ``open``
when only people could say and none has yet."""


@dataclass(frozen=True)
class Walk:
    """How far judging a query has come. ``asked``: what the judge has to say next, nothing when it is done.

    ``seen`` are the candidates that were looked at, in order, ``taken`` those that are its negatives,
    ``relevant`` counts the relevant ones; ``held_out`` says that these are too many.
    """

    asked: tuple[int, ...]
    seen: tuple[int, ...]
    taken: tuple[int, ...]
    relevant: int
    held_out: bool


def walk(
    kept: Sequence[int],
    drawn: Sequence[int],
    further: Sequence[int],
    verdict: Callable[[int], Verdict],
    most_relevant: int,
) -> Walk:
    """Look at the negatives of a query, then at those that may take the place of the relevant ones.

    ``kept`` are its mined negatives and ``further`` the survivors after them, both in the order in which the query
    takes them; ``drawn`` are its random negatives, whose place nothing takes. All are looked at in rounds: first the
    negatives, then as many further ones as are missing, and so on. A negative that nobody can judge stays one, a
    further candidate is taken only when it is judged not relevant; one that is open keeps a place free. More than
    ``most_relevant`` relevant ones end it after their round. Which candidates are looked at depends on their verdicts
    alone.
    """
    seen: list[int] = []
    taken: list[int] = []
    relevant, at, waited_for = 0, 0, 0
    this_round = [*kept, *drawn]
    while this_round:
        seen += this_round
        said = {row: verdict(row) for row in this_round}
        asked = tuple(row for row in this_round if said[row] == "unknown")
        if asked:
            return Walk(asked, tuple(seen), tuple(taken), relevant, False)
        first = at == 0
        relevant += sum(said[row] is True for row in this_round)
        taken += [row for row in this_round if said[row] is False or (first and said[row] in (None, "open"))]
        waited_for += 0 if first else sum(said[row] == "open" for row in this_round)
        if relevant > most_relevant:
            return Walk((), tuple(seen), (), relevant, True)
        missing = len(kept) - len([row for row in taken if row not in drawn]) - waited_for
        this_round = list(further[at : at + max(missing, 0)])
        at += len(this_round)
    return Walk((), tuple(seen), tuple(taken), relevant, False)
