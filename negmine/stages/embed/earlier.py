"""Vectors of the finished embed stage, taken over by a new one for texts that are still there.

A stage that is built anew replaces the finished one only when it is whole, so the vectors of the
last run can be read meanwhile, also after an interruption. Every part names the texts that its
vectors were made from by digest; a vector is taken over when its text, the model's files, every
key of ``embed`` that decides a vector, and the versions of the libraries are the same; with an
endpoint there are only the text and the keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from negmine import schemas
from negmine.errors import ArtifactError
from negmine.stages.base import Job
from negmine.stages.earlier import made_alike
from negmine.stages.embed.encoding import encoder_identity
from negmine.store.manifest import Part
from negmine.store.tables import read_columns, to_numpy

_CUT_OFF = schemas.CUT_OFF.name


def text_digests(texts: Sequence[str]) -> np.ndarray:
    """S16 (n,): what identifies each text (UTF-8) as it is given to the model, prompt apart."""
    digests = [hashlib.blake2b(text.encode(), digest_size=schemas.TEXT_DIGEST_BYTES).digest() for text in texts]
    return _array(digests)


def _array(digests: list[bytes]) -> np.ndarray:
    return np.array(digests, f"S{schemas.TEXT_DIGEST_BYTES}")


class EarlierVectors:
    """The vectors of one kind ("corpus" or "queries") that may be taken over; none when nothing matches.

    Files that are not what their manifest says are left out: their texts are encoded again.
    """

    def __init__(self, job: Job, kind: str, keys: Sequence[str]) -> None:
        """``keys``: the config keys that must be as they were."""
        self._job = job
        local = job.config.embed.model is not None

        def identity() -> dict[str, Any] | None:
            return encoder_identity(job.config, job.work.digests) if local else None

        self._manifest = made_alike(job, "embed", keys, identity)
        self._parts: list[Part] = []
        digests = []
        for part in self._manifest.parts if self._manifest else ():
            if part.path.startswith(f"{kind}/") and (found := self._digests_of(part)) is not None:
                self._parts.append(part)
                digests.append(found)
        joined = np.concatenate(digests) if digests else _array([])
        order = np.argsort(joined, kind="stable")
        self._digests = joined[order]
        self._part = np.repeat(np.arange(len(digests)), [len(found) for found in digests])[order]
        self._row = np.concatenate([np.arange(len(found)) for found in digests])[order] if digests else order

    @property
    def similarity(self) -> str:
        """The function that compares the vectors. To be asked for only when some were found."""
        assert self._manifest is not None
        return str(self._manifest.facts["similarity"])

    @property
    def dimension(self) -> int:
        """Dimensions of the vectors. To be asked for only when some were found."""
        assert self._manifest is not None
        return int(self._manifest.facts["dimension"])

    def known(self, digests: np.ndarray) -> np.ndarray:
        """Which of ``digests`` S16 (n,) have a vector: bool (n,)."""
        return np.isin(digests, self._digests)

    def find(self, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which of ``digests`` S16 (n,) have a vector: positions int64 (m,), ascending, the vectors (m, d)
        as they are stored, and whose text is longer than the model reads, bool (m,). Raises ArtifactError
        when a file changed since it was opened."""
        if not len(self._digests):
            return np.empty(0, np.int64), np.empty((0, 0), np.float32), np.empty(0, bool)
        place = np.minimum(np.searchsorted(self._digests, digests), len(self._digests) - 1)
        found = np.flatnonzero(self._digests[place] == digests)
        parts, rows = self._part[place[found]], self._row[place[found]]
        vectors: np.ndarray | None = None
        cut_off = np.zeros(len(found), bool)
        for number in np.unique(parts):
            here = np.flatnonzero(parts == number)
            table = read_columns(self._file(self._parts[number]), ["vector", _CUT_OFF])
            stored = to_numpy(table["vector"])
            if vectors is None:
                vectors = np.empty((len(found), stored.shape[1]), stored.dtype)
            vectors[here] = stored[rows[here]]
            cut_off[here] = to_numpy(pc.fill_null(table[_CUT_OFF], False))[rows[here]]
        return found, np.empty((0, 0), np.float32) if vectors is None else vectors, cut_off

    def _file(self, part: Part) -> Any:
        assert self._manifest is not None
        return self._job.work.file(self._manifest, part.path)

    def _digests_of(self, part: Part) -> np.ndarray | None:
        try:
            path = self._file(part)
        except ArtifactError:
            return None
        name = schemas.TEXT_DIGEST.name
        if not {name, _CUT_OFF} <= set(pq.read_schema(path).names):
            return None
        return _array(read_columns(path, [name])[name].to_pylist())
