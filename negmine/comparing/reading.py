"""The negatives of a finished run, and what became of some in another run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.arrays import find_pairs
from negmine.comparing.matching import Keys, Matched, match, unchanged
from negmine.selection.verdicts import REASONS, explanation
from negmine.stages.texts import StandingTable
from negmine.store.manifest import Manifest
from negmine.store.tables import iter_batches, to_numpy
from negmine.store.workdir import WorkDir

KEPT = "kept"
NOT_MINED = "not_mined"
"""What became of a negative that the other run has not even among its candidates."""
NOT_THERE = "not_there"
"""The same of a passage that the other run's corpus does not have."""
_ROWS = 1 << 20
_NUMBERS = ("score", "reference", "risk", "rank")


@dataclass(frozen=True)
class Negatives:
    """The kept candidates (n,) of a run, by query, then place in the list; ``margin`` is reference - score.

    ``risk`` and ``rank`` are NaN where there is none.
    """

    query: np.ndarray
    passage: np.ndarray
    score: np.ndarray
    margin: np.ndarray
    risk: np.ndarray
    rank: np.ndarray

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True)
class Side:
    """One of the runs that are compared: its folder, and manifests that belong together."""

    work: WorkDir
    manifests: Mapping[str, Manifest]

    @property
    def queries(self) -> int:
        """Distinct queries."""
        return int(self.manifests["ingest"].counts["distinct_queries"])

    @property
    def passages(self) -> int:
        """Distinct passages."""
        return int(self.manifests["ingest"].counts["passages"])

    def table(self, name: str, number: str) -> StandingTable:
        """``queries`` or ``corpus`` of ingest, by ``query`` or ``passage``."""
        return StandingTable(self.work.file(self.manifests["ingest"], f"{name}.parquet"), number)

    def negatives(self) -> tuple[Negatives, dict[str, int]]:
        """Every negative of the run, and how many candidates have each reason."""
        columns = ["query", "passage", "position", "verdict", "reason", *_NUMBERS]
        pieces: list[list[np.ndarray]] = [[np.zeros(0, np.int64)] * 3 + [np.zeros(0)] * len(_NUMBERS)]
        reasons: Counter[str] = Counter()
        for path in self.verdicts():
            for batch in iter_batches(path, columns, rows=_ROWS):
                for row in pc.value_counts(batch["reason"]).to_pylist():
                    reasons[row["values"]] += row["counts"]
                rows = batch.filter(pc.equal(batch["verdict"], KEPT))
                ids = [to_numpy(rows[name]) for name in ("query", "passage", "position")]
                pieces.append([*ids, *(_floats(rows[name]) for name in _NUMBERS)])
        query, passage, position, score, reference, risk, rank = (
            np.concatenate(column) for column in zip(*pieces, strict=True)
        )
        order = np.lexsort((position, query))
        found = Negatives(
            query[order], passage[order], score[order], (reference - score)[order], risk[order], rank[order]
        )
        named = [name for name in REASONS if name in reasons]
        return found, {name: reasons[name] for name in [*named, *sorted(set(reasons) - set(named))]}

    def fates(self, query: np.ndarray, passage: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """What this run made of some pairs (n,) of its own numbers, -1 for what it does not have.

        Codes (n,) of the names that are returned too: a reason of a verdict, ``NOT_MINED`` or ``NOT_THERE``.
        """
        names = [NOT_MINED, NOT_THERE]
        code = np.where((query < 0) | (passage < 0), 1, 0)
        known = np.flatnonzero(code == 0)
        order = known[np.lexsort((passage[known], query[known]))]
        of_query, of_passage = query[order], passage[order]
        for path in self.verdicts():
            for batch in iter_batches(path, ["query", "passage", "reason"], rows=_ROWS):
                numbers = to_numpy(batch["query"])
                if not len(numbers):
                    continue
                low, high = np.searchsorted(of_query, [numbers.min(), numbers.max() + 1])
                place = find_pairs(
                    numbers, to_numpy(batch["passage"]), of_query[low:high], of_passage[low:high], self.passages
                )
                hit = np.flatnonzero(place >= 0)
                reasons = batch["reason"].take(pa.array(hit)).dictionary_encode()
                words = reasons.dictionary.to_pylist()
                names += [word for word in words if word not in names]
                places = np.array([names.index(word) for word in words], np.int64)
                if len(hit):
                    code[order[low + place[hit]]] = places[to_numpy(reasons.indices)]
        return code, tuple(names)

    @property
    def final(self) -> Manifest:
        """The stage whose verdicts count: judge where it looked at filter's as they are, else filter."""
        judge, filter_ = self.manifests.get("judge"), self.manifests["filter"]
        seen = judge is not None and judge.made_from["upstream"].get("filter all") == filter_.outputs["all"]
        return judge if judge is not None and seen else filter_

    def verdicts(self) -> Sequence[Path]:
        """Paths of the verdicts, in order of the queries."""
        return sorted(self.work.files(self.final, "part-"))


def matched_queries(a: Side, b: Side) -> Matched:
    """Which query of ``a`` is which of ``b``, by number."""
    if _same(a, b, "queries"):
        return unchanged(a.queries)
    return match(_queries_of(a), _queries_of(b))


def matched_passages(a: Side, b: Side, used_a: np.ndarray, used_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number in ``b`` of passages of ``a`` (passages of a,), and the other way round; -1 for none.

    Looked for are those in ``used_a`` and ``used_b`` (numbers, in any order); the others may be -1. Corpora are read
    in batches: what is held are the ids and texts' keys of passages that are used, or are like one that is.
    """
    if _same(a, b, "corpus"):
        return np.arange(a.passages), np.arange(b.passages)
    keys_a, keys_b = _Passages(a, np.unique(used_a)), _Passages(b, np.unique(used_b))
    # An id counts only where neither text is in the other run, so likenesses of likenesses are needed too.
    like_b = keys_b.with_like(keys_a.own())
    like_a = keys_a.with_like(like_b)
    like_b = keys_b.with_like(like_a)
    found = match(like_a.keys, like_b.keys)
    to_b, to_a = np.full(a.passages, -1), np.full(b.passages, -1)
    hit = np.flatnonzero(found.to_b >= 0)
    to_b[like_a.numbers[hit]] = like_b.numbers[found.to_b[hit]]
    to_a[like_b.numbers[found.to_b[hit]]] = like_a.numbers[hit]
    return to_b, to_a


@dataclass(frozen=True)
class _Some:
    """Some passages by number (ascending), with their keys."""

    numbers: np.ndarray
    keys: Keys


@dataclass(frozen=True)
class _Passages:
    """The corpus of a run, of which the passages ``used`` (ascending) count."""

    side: Side
    used: np.ndarray

    def own(self) -> _Some:
        """Those that are used."""
        return self.with_like(None)

    def with_like(self, others: _Some | None) -> _Some:
        """Those that are used, and those with the id or the text of one of ``others``."""
        path = self.side.work.file(self.side.manifests["ingest"], "corpus.parquet")
        numbers, ids, texts = [np.zeros(0, np.int64)], [pa.array([], pa.string())], [pa.array([], pa.string())]
        highest = -1
        for batch in iter_batches(path, ["passage", "doc_id", "text_key", "title"], rows=_ROWS):
            number = to_numpy(batch["passage"])
            stands = number > np.maximum.accumulate(np.concatenate([[highest], number[:-1]]))
            highest = max(highest, int(number.max(initial=-1)))
            key = pc.binary_join_element_wise(batch["text_key"], batch["title"].cast(pa.string()), "\n")
            wanted = np.isin(number, self.used)
            if others is not None:
                wanted |= np.asarray(pc.is_in(key, value_set=others.keys.texts))
                wanted |= np.asarray(pc.is_in(batch["doc_id"], value_set=others.keys.ids))
            rows = pa.array(np.flatnonzero(wanted & stands))
            numbers.append(number[wanted & stands])
            ids.append(batch["doc_id"].take(rows))
            texts.append(key.take(rows))
        return _Some(np.concatenate(numbers), Keys(pa.concat_arrays(ids), pa.concat_arrays(texts)))


def _queries_of(side: Side) -> Keys:
    table = side.table("queries", "query")
    return Keys(*(_joined(table.column(name)) for name in ("query_id", "text_key")))


def _same(a: Side, b: Side, output: str) -> bool:
    return bool(a.manifests["ingest"].outputs[output] == b.manifests["ingest"].outputs[output])


def _joined(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)


def _floats(column: pa.Array) -> np.ndarray:
    """A column of numbers with nulls as NaN: float64 (n,)."""
    found: np.ndarray = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def worded(fate: str) -> str:
    """What became of a negative, in words."""
    if fate == NOT_MINED:
        return "not among the candidates"
    if fate == NOT_THERE:
        return "the query or the passage is not in this run"
    return explanation(fate)
