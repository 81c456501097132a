"""What every export format shares: queries with their passages in, rows of passages, tables out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, Protocol, cast

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Groups:
    """Positives and kept negatives of consecutive queries.

    ``positive_offsets`` and ``negative_offsets`` (q + 1,) cut the passage and score arrays by
    query; negatives are in falling score. ``grade`` says how relevant each positive is, and ``found_by``
    (lists of names) which retrievers found each negative: given where a format ``needs`` them.
    """

    positive_offsets: np.ndarray
    positive_passage: np.ndarray
    positive_score: np.ndarray
    negative_offsets: np.ndarray
    negative_passage: np.ndarray
    negative_score: np.ndarray
    grade: np.ndarray | None = None
    found_by: pa.Array | None = None

    @property
    def positives(self) -> np.ndarray:
        """How many positives each query has: (q,)."""
        return np.diff(self.positive_offsets)

    @property
    def negatives(self) -> np.ndarray:
        """How many negatives each query has: (q,)."""
        return np.diff(self.negative_offsets)


@dataclass(frozen=True)
class Options:
    """What an export asks of its format, as far as that has a use for it.

    ``negatives`` is how many each row has, None for all of its query.
    """

    scores: bool = False
    negatives: int | None = None
    one_positive: bool = True
    prompt: str | None = None
    type: str | None = None
    passage_role: str = "user"
    corpus_id: str = "corpus"


@dataclass(frozen=True)
class Rows:
    """Rows of a format before texts: row r has query ``query[r]`` and the passages between
    ``offsets[r]`` and ``offsets[r + 1]``, positives first.

    ``positive`` and ``negative`` (m,) are rows in the groups' arrays, -1 where it is the other.
    ``left_out`` counts rows that have too few negatives to be written.
    """

    query: np.ndarray
    offsets: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    left_out: int = 0

    @property
    def count(self) -> int:
        return len(self.query)

    @cached_property
    def is_positive(self) -> np.ndarray:
        """Bool (m,)."""
        return self.positive >= 0

    def passage(self, groups: Groups) -> np.ndarray:
        """Passage numbers (m,)."""
        return self._pick(groups.positive_passage, groups.negative_passage)

    def score(self, groups: Groups) -> np.ndarray:
        """Scores (m,)."""
        return self._pick(groups.positive_score, groups.negative_score)

    def offsets_of(self, chosen: np.ndarray) -> np.ndarray:
        """Where each row begins among the ``chosen`` (m,) passages alone: (r + 1,)."""
        return np.concatenate([[0], np.cumsum(chosen)])[self.offsets]

    def cuts(self, most: int) -> list[tuple[int, int]]:
        """Runs of rows, from first to last, with about ``most`` passages at most; one run when there are no rows."""
        starts = np.searchsorted(self.offsets, np.arange(most, int(self.offsets[-1]), most))
        bounds = np.unique([0, *starts, self.count]).tolist()
        return list(pairwise(bounds)) or [(0, 0)]

    def part(self, first: int, last: int) -> Rows:
        """The rows from ``first`` until before ``last``."""
        low, high = int(self.offsets[first]), int(self.offsets[last])
        offsets = self.offsets[first : last + 1] - low
        return Rows(self.query[first:last], offsets, self.positive[low:high], self.negative[low:high])

    def _pick(self, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
        joined = np.concatenate([positive, negative])
        return joined[np.where(self.positive >= 0, self.positive, len(positive) + self.negative)]


class Cells:
    """What the columns of some rows are made of. Texts are as the file has them: each distinct one is encoded once.

    ``queries`` gives a column of the groups' queries by name (``query_id``, ``text``), ``passages`` one of passages
    by ascending distinct numbers (``doc_id``, ``title``, ``text`` without title, ``passage``: what models read).
    """

    def __init__(
        self,
        rows: Rows,
        groups: Groups,
        encode: Callable[[pa.Array], pa.Array],
        queries: Callable[[str], pa.Array],
        passages: Callable[[np.ndarray, str], pa.Array],
    ) -> None:
        self.groups = groups
        self._rows, self._encode, self._queries, self._passages = rows, encode, queries, passages
        self._numbers, self._place = np.unique(rows.passage(groups), return_inverse=True)
        self._columns: dict[tuple[str, str], pa.Array] = {}

    def part(self, first: int, last: int) -> Cells:
        """The same for the rows from ``first`` until before ``last``."""
        other = copy(self)  # which shares the columns
        other._rows = self._rows.part(first, last)
        other._place = self._place[self._rows.offsets[first] : self._rows.offsets[last]]
        return other

    def query(self, name: str) -> pa.Array:
        """A column of the rows' queries (r,)."""
        column = self._column("query", name, lambda: self._queries(name))
        return column.take(pa.array(self._rows.query))

    def passage(self, name: str) -> pa.Array:
        """A column of the rows' passages (m,)."""
        column = self._column("passage", name, lambda: self._passages(self._numbers, name))
        return column.take(pa.array(self._place))

    @property
    def scores(self) -> np.ndarray:
        """Scores of the rows' passages (m,)."""
        return self._rows.score(self.groups)

    def constant(self, text: str, count: int) -> pa.Array:
        """The same text ``count`` times."""
        return self.texts(pa.array([text], pa.large_string())).take(pa.array(np.zeros(count, np.int64)))

    def texts(self, texts: pa.Array) -> pa.Array:
        """Other texts, as the file has them."""
        return self._encode(texts)

    def _column(self, of: str, name: str, read: Callable[[], pa.Array]) -> pa.Array:
        if (of, name) not in self._columns:
            self._columns[of, name] = self._encode(read())
        return self._columns[of, name]


class Member(Protocol):
    """A file with rows about queries and their passages."""

    label: str
    """What the dataset card calls it; empty for the one that the export is about."""
    file: str
    """Its name where the export is a folder (``{split}`` as in the names of exports), else empty."""
    unfit_in_ids: tuple[str, str] | None
    """What must not be in an id, as it separates columns: a regular expression, and in words."""
    frame: tuple[str, str] | None
    """What comes before the first and after the last row, where the file is one JSON document."""

    def rows(self, groups: Groups, options: Options) -> Rows:
        """The rows of some queries."""

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        """The rows with texts."""


@dataclass(frozen=True)
class Lookup:
    """A file of texts that rows name by id: ``columns`` says what each column holds, as in ``Cells``.

    It has the queries or passages that the rows use, or ``everything`` there is.
    """

    label: str
    file: str
    of: Literal["query", "passage"]
    columns: Mapping[str, str]
    everything: bool = False


class ExportFormat(Protocol):
    """One layout of training data: files of rows, the first of which it is about, and files that go with them."""

    name: str
    needs: tuple[str, ...]
    """Those of ``grade`` and ``found_by`` of ``Groups`` that it makes use of."""
    lookups: tuple[Lookup, ...]

    @property
    def members(self) -> tuple[Member, ...]: ...

    def documents(self, options: Options) -> Mapping[str, str]:
        """Small files of fixed content, by name."""


class Plain:
    """What most files of rows are like: nothing in them separates columns, nothing is around them."""

    unfit_in_ids: tuple[str, str] | None = None
    frame: tuple[str, str] | None = None


class OneFile(Plain):
    """A format that is one file of rows."""

    label = ""
    file = ""
    needs: tuple[str, ...] = ()
    lookups: tuple[Lookup, ...] = ()

    @property
    def members(self) -> tuple[Member, ...]:
        return (cast(Member, self),)

    def documents(self, options: Options) -> Mapping[str, str]:
        return {}


def lists(offsets: np.ndarray, values: pa.Array) -> pa.Array:
    """A list column: ``values`` cut at ``offsets``."""
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)
