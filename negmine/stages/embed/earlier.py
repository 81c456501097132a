"""Vectors of the finished embed stage, taken over by a new one for texts that are still there.

A stage that is built anew replaces the finished one only when it is whole, so the vectors of the
last run can be read meanwhile, also after an interruption. Every part names the texts that its
vectors were made from by digest; a vector is taken over when its text, the model's files, every
key of ``embed`` that decides a vector, and the versions of the libraries are the same; with an
endpoint there are only the text and the keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from negmine import schemas
from negmine.errors import ArtifactError
from negmine.stages.base import Job
from negmine.stages.earlier import made_alike, made_by
from negmine.stages.embed.encoding import OTHERS, EncoderSource, encoder_identity, settings_of
from negmine.stages.vectors import fact_of
from negmine.store.manifest import Part
from negmine.store.tables import read_columns, to_numpy

_CUT_OFF = schemas.CUT_OFF.name
_UNKNOWN = object()
"""Stands for the value of a key that an earlier version did not have."""


def text_digests(texts: Sequence[str]) -> np.ndarray:
    """S16 (n,): what identifies each text (UTF-8) as it is given to the model, prompt apart."""
    digests = [hashlib.blake2b(text.encode(), digest_size=schemas.TEXT_DIGEST_BYTES).digest() for text in texts]
    return _array(digests)


def _array(digests: list[bytes]) -> np.ndarray:
    return np.array(digests, f"S{schemas.TEXT_DIGEST_BYTES}")


class EarlierVectors:
    """The vectors of one encoder and kind ("corpus" or "queries") that may be taken over; none when nothing matches.

    Files that are not what their manifest says are left out: their texts are encoded again.
    """

    def __init__(self, job: Job, kind: str, keys: Sequence[str], source: EncoderSource | None = None) -> None:
        """``keys``: the config keys that must be as they were; ``source`` is the main encoder when None."""
        self._job = job
        self._source = source = source or EncoderSource(job.config)
        local = source.config.embed.model is not None

        def identity() -> dict[str, Any] | None:
            return encoder_identity(source.config, job.work.digests) if local else None

        def same(before: Mapping[str, Any], model: Mapping[str, Any] | None) -> bool:
            then, now = before.get(OTHERS, {}).get(source.name, {}), settings_of(source)
            alike = all(then.get(key, _UNKNOWN) == now[key] for key in (*keys, "kind"))
            return then.get("model") == model and alike

        if source.name is None:
            self._manifest = made_alike(job, "embed", keys, identity)
        else:
            self._manifest = made_by(job, "embed", identity, same)
        self._parts: list[Part] = []
        digests = []
        for part in self._manifest.parts if self._manifest else ():
            if part.path.startswith(f"{source.folder}{kind}/") and (found := self._digests_of(part)) is not None:
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
        return str(self._manifest.facts[fact_of("similarity", self._source.name)])

    @property
    def dimension(self) -> int:
        """Dimensions of the vectors. To be asked for only when some were found."""
        assert self._manifest is not None
        return int(self._manifest.facts[fact_of("dimension", self._source.name)])

    def known(self, digests: np.ndarray) -> np.ndarray:
        """Which of ``digests`` S16 (n,) have a vector: bool (n,)."""
        if not len(self._digests):
            return np.zeros(len(digests), bool)
        place = np.minimum(np.searchsorted(self._digests, digests), len(self._digests) - 1)
        same: np.ndarray = self._digests[place] == digests
        return same

    def find(self, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which of ``digests`` S16 (n,) have a vector: positions int64 (m,), ascending, the vectors (m, d)
        as they are stored, and whose text is longer than the model reads, bool (m,). Raises ArtifactError
        when a file changed since it was opened."""
        found = np.flatnonzero(self.known(digests))
        vectors: np.ndarray | None = None
        cut_off = np.zeros(len(found), bool)
        for here, rows, table in self._rows(digests[found], "vector"):
            stored = to_numpy(table["vector"])
            if vectors is None:
                vectors = np.empty((len(found), stored.shape[1]), stored.dtype)
            vectors[here] = stored[rows]
            cut_off[here] = to_numpy(pc.fill_null(table[_CUT_OFF], False))[rows]
        return found, np.empty((0, 0), np.float32) if vectors is None else vectors, cut_off

    def find_sparse(self, digests: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
        """The same of sparse vectors, each as terms and weights (k,)."""
        found = np.flatnonzero(self.known(digests))
        vectors: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0))] * len(found)
        cut_off = np.zeros(len(found), bool)
        for here, rows, table in self._rows(digests[found], "terms", "weights"):
            terms, weights = table["terms"].combine_chunks(), table["weights"].combine_chunks()
            for place, row in zip(here.tolist(), rows.tolist(), strict=True):
                vectors[place] = (to_numpy(terms[row].values), to_numpy(weights[row].values))
            cut_off[here] = to_numpy(pc.fill_null(table[_CUT_OFF], False))[rows]
        return found, vectors, cut_off

    def _rows(self, digests: np.ndarray, *columns: str) -> Iterator[tuple[np.ndarray, np.ndarray, pa.Table]]:
        """Where ``digests`` that are all known are, file by file: which of them, their rows, and the columns."""
        place = np.searchsorted(self._digests, digests)
        parts, rows = self._part[place], self._row[place]
        for number in np.unique(parts):
            here = np.flatnonzero(parts == number)
            yield here, rows[here], read_columns(self._file(self._parts[number]), [*columns, _CUT_OFF])

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
