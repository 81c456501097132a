"""Proposals computed by torch, for a GPU: the results of search are those of the CPU, sooner.

``search_exact`` scores what is proposed anew in double precision and searches again what rounding
could have hidden, so the device that proposes does not decide any result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from negmine.retrieval.proposing import Propose, Proposed, group_by_depth
from negmine.retrieval.similarity import Blocks, greatest_norm

if TYPE_CHECKING:
    import torch

_QUERIES = 4096
_PASSAGES = (64, 65_536)
"""Least and most passages compared at once with so many queries."""


def propose_with_torch(device: str) -> Propose:
    """Proposals on a torch device, in single precision without TF32.

    Passages are copied to the device by blocks; where it lacks memory, these are halved. Manhattan
    distances are ``torch.cdist``'s.
    """

    def propose(query_vectors: np.ndarray, blocks: Blocks, wanted: np.ndarray, similarity: str) -> Proposed:
        import torch

        groups = [
            _Group(query_vectors[rows[low : low + _QUERIES]], rows[low : low + _QUERIES], width, similarity, device)
            for rows, width in group_by_depth(wanted)
            for low in range(0, len(rows), _QUERIES)
        ]
        greatest, passages, size = 0.0, 0, _PASSAGES[1]
        with _single_precision():
            for start, vectors in blocks():
                greatest = max(greatest, greatest_norm(vectors, similarity))
                passages = start + len(vectors)
                low = 0
                while low < len(vectors):
                    try:
                        part = torch.from_numpy(vectors[low : low + size]).to(device)
                        for group in groups:
                            group.compare(start + low, part)
                        low += size
                    except torch.cuda.OutOfMemoryError:
                        if size <= _PASSAGES[0]:
                            raise
                        size, part = size // 2, None
                        torch.cuda.empty_cache()
        floor = np.full(len(query_vectors), -np.inf)
        pairs = [group.pairs(floor, passages) for group in groups]
        if similarity == "euclidean":
            # From q . p - |p|^2 / 2, in double precision: -|q - p|^2.
            floor = 2 * floor - np.einsum("ij,ij->i", query_vectors, query_vectors, dtype=np.float64)
        query, passage = (np.concatenate(column) for column in zip(*pairs, strict=True))
        return Proposed(query, passage, floor, greatest)

    return propose


class _Group:
    """The ``width`` best passages of some queries so far, on the device."""

    def __init__(self, vectors: np.ndarray, rows: np.ndarray, width: int, similarity: str, device: str) -> None:
        import torch

        self.rows, self.width, self._similarity = rows, width, similarity
        self._vectors = torch.from_numpy(np.ascontiguousarray(vectors)).to(device)
        self._value = torch.empty((len(rows), 0), device=device)
        self._passage = torch.empty((len(rows), 0), dtype=torch.int64, device=device)
        self._compared = 0

    def compare(self, start: int, part: torch.Tensor) -> None:
        """With the passages ``start`` ...: float32 (b, d). Done twice it is as done once."""
        import torch

        if start < self._compared:
            return
        values = self._values(part)
        best = torch.topk(values, min(self.width, len(part)), dim=1)
        value = torch.cat([self._value, best.values], dim=1)
        passage = torch.cat([self._passage, best.indices + start], dim=1)
        kept = torch.topk(value, min(self.width, value.shape[1]), dim=1)
        self._value, self._passage = kept.values, torch.gather(passage, 1, kept.indices)
        self._compared = start + len(part)

    def _values(self, part: torch.Tensor) -> torch.Tensor:
        import torch

        if self._similarity == "manhattan":
            return -torch.cdist(self._vectors, part, p=1.0)
        values = self._vectors @ part.T
        return values - (part * part).sum(dim=1) / 2 if self._similarity == "euclidean" else values

    def pairs(self, floor: np.ndarray, passages: int) -> tuple[np.ndarray, np.ndarray]:
        """Query (n,) and passage (n,), best first; ``floor`` of these queries is set."""
        if self.width < passages:
            floor[self.rows] = self._value[:, -1].cpu().numpy()
        return np.repeat(self.rows, self._passage.shape[1]), self._passage.cpu().numpy().ravel()


@contextlib.contextmanager
def _single_precision() -> Iterator[None]:
    """No TF32 nor bfloat16 inside products: their rounding is not what the search allows for."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
