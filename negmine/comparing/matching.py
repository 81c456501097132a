"""Which query or passage of one run is which of another, whatever their numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

WAYS = ("id_and_text", "text", "id")
"""How two are matched, surest first: nothing changed, another id, an edited text."""


@dataclass(frozen=True)
class Matched:
    """``to_b`` (n,) is the place in run B of each one of run A, -1 for none; ``way`` (n,) its place in ``WAYS``."""

    to_b: np.ndarray
    way: np.ndarray

    def to_a(self, count_b: int) -> np.ndarray:
        """The place in run A of each one of the ``count_b`` of run B, -1 for none: (count_b,)."""
        back = np.full(count_b, -1)
        own = np.flatnonzero(self.to_b >= 0)
        back[self.to_b[own]] = own
        return back


def unchanged(count: int) -> Matched:
    """All of ``count`` are in both runs, at the same places."""
    return Matched(np.arange(count), np.zeros(count, np.int8))


@dataclass(frozen=True)
class Keys:
    """What identifies queries or passages: ``ids`` and ``texts`` are string arrays (n,)."""

    ids: pa.Array
    texts: pa.Array

    def kinds(self) -> tuple[pa.Array, ...]:
        """What is compared, in the order of ``WAYS``."""
        return pc.binary_join_element_wise(self.ids, self.texts, "\n"), self.texts, self.ids


def match(a: Keys, b: Keys) -> Matched:
    """Match by id and text together, then what is left by its text, then what is left by its id.

    So an id alone counts only where neither text is in the other run: numbers that shifted are no ids. No one is
    matched twice; of several that are alike the first ones are.
    """
    to_b, way = np.full(len(a.ids), -1), np.full(len(a.ids), -1, np.int8)
    left_a, left_b = np.arange(len(a.ids)), np.arange(len(b.ids))
    for number, (keys_a, keys_b) in enumerate(zip(a.kinds(), b.kinds(), strict=True)):
        if not len(left_a) or not len(left_b):
            break
        found = pc.index_in(keys_a.take(pa.array(left_a)), value_set=keys_b.take(pa.array(left_b)))
        place = np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)
        hit = np.flatnonzero(place >= 0)
        _, first = np.unique(place[hit], return_index=True)
        hit = hit[first]
        to_b[left_a[hit]], way[left_a[hit]] = left_b[place[hit]], number
        left_b = np.delete(left_b, place[hit])
        left_a = np.delete(left_a, hit)
    return Matched(to_b, way)
