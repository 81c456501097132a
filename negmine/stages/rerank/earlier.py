"""Scores of the finished rerank stage, taken over by a new one for pairs of texts that are still there.

As with vectors, the finished stage stays until the new one is whole. A score is taken over when both texts,
the model's files, every key of ``rerank`` that decides a score, and the versions of the libraries are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from negmine.errors import ArtifactError
from negmine.stages.base import Job
from negmine.stages.earlier import made_alike
from negmine.stages.rerank.scoring import scorer_identity
from negmine.store.manifest import Part
from negmine.store.tables import iter_batches, read_columns

_DIGEST = "pair_digest"


class EarlierScores:
    """The scores that may be taken over; none when nothing matches.

    Of each query only the place of its rows is held in memory: a query's rows are together. Files that are not
    what their manifest says are left out, and their pairs are scored again.
    """

    def __init__(self, job: Job, keys: Sequence[str]) -> None:
        """``keys``: the config keys that must be as they were."""
        self._job = job
        self._manifest = made_alike(job, "rerank", keys, lambda: scorer_identity(job.config, job.work.digests))
        self._parts: list[Part] = []
        found = []
        for part in self._manifest.parts if self._manifest else ():
            if (path := self._file(part)) is not None:
                found.append(_places(path, len(self._parts)))
                self._parts.append(part)
        digest, place = ([piece[i] for piece in found] for i in (0, 1))
        joined = np.concatenate([np.empty(0, np.uint64), *digest])
        order = np.argsort(joined, kind="stable")
        self._query = joined[order]
        self._place = np.concatenate([np.empty((0, 3), np.int64), *place])[order]

    def find(self, digests: np.ndarray) -> np.ndarray:
        """Scores float64 (n,) of pairs with these ``digests`` uint64 (n, 2), NaN where there is none."""
        scores = np.full(len(digests), np.nan)
        if not len(self._query):
            return scores
        low, high = (np.searchsorted(self._query, np.unique(digests[:, 0]), side) for side in ("left", "right"))
        rows = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)]).astype(np.int64)
        wanted = _keys(digests)
        order = np.argsort(wanted, kind="stable")
        wanted = wanted[order]
        for number in np.unique(self._place[rows, 0]):
            path = self._file(self._parts[number])
            if path is None:
                continue
            table = read_columns(path, [_DIGEST, "score"])
            here = self._place[rows][self._place[rows, 0] == number]
            taken = np.concatenate([np.arange(start, stop) for _, start, stop in here])
            keys = _keys(digest_array(table[_DIGEST])[taken])
            score = table["score"].to_numpy()[taken]
            first = np.argsort(keys, kind="stable")
            place = np.minimum(np.searchsorted(keys[first], wanted), len(keys) - 1)
            same = keys[first][place] == wanted
            scores[order[same]] = score[first[place[same]]]
        return scores

    def _file(self, part: Part) -> Path | None:
        assert self._manifest is not None
        try:
            return self._job.work.file(self._manifest, part.path)
        except ArtifactError:
            return None


def digest_array(column: Any) -> np.ndarray:
    """A column of digests as uint64 (n, 2): of the query, of the passage."""
    joined = b"".join(memoryview(chunk.buffers()[1])[16 * chunk.offset : 16 * (chunk.offset + len(chunk))]
                      for chunk in getattr(column, "chunks", [column]))  # fmt: skip
    return np.frombuffer(joined, "<u8").reshape(-1, 2)


def _keys(digests: np.ndarray) -> np.ndarray:
    """Both halves as one value that can be sorted."""
    return np.ascontiguousarray(digests).view([("query", "<u8"), ("passage", "<u8")])[:, 0]


def _places(path: Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each query in a file: digest (q,), and number of the file, first row and the row after the last (q, 3)."""
    halves = [digest_array(batch[_DIGEST])[:, 0] for batch in iter_batches(path, [_DIGEST])]
    digest = np.concatenate([np.empty(0, np.uint64), *halves])
    start = np.flatnonzero(np.concatenate([[True], digest[1:] != digest[:-1]])[: len(digest)])
    stop = np.append(start[1:], len(digest))[: len(start)]
    return digest[start], np.stack([np.full(len(start), number), start, stop], axis=1)
