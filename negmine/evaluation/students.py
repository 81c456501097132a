"""The student that a config asks for, on the vectors or the texts of its run."""

from __future__ import annotations

import numpy as np

from negmine.stages.base import Run
from negmine.stages.vectors import block_rows, flat_vectors, query_vectors
from negmine.training.adapter import Adapter
from negmine.training.base import Student


def student_of(run: Run) -> Student:
    """The student of ``evaluate.student``, ready to be trained."""
    kind = run.config.evaluate.student
    if kind == "adapter":
        return _adapter(run)
    raise NotImplementedError(kind)


def _adapter(run: Run) -> Student:
    queries = query_vectors(run, 0, run.manifest("ingest").counts["distinct_queries"])
    source = flat_vectors(run)
    if source.rows <= block_rows(run.config, source.dimension):  # it fits: read once
        whole = np.concatenate([block.copy() for _, block in source.blocks(source.rows)])
        return Adapter(queries.__getitem__, whole.__getitem__)
    return Adapter(queries.__getitem__, source.take)
