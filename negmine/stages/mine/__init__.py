"""mine: candidates of every query, from the search over the vectors, run files and given negatives."""

from __future__ import annotations

from negmine.stages.mine.part import CANDIDATE_BYTES
from negmine.stages.mine.stage import MineStage

__all__ = ["CANDIDATE_BYTES", "MineStage"]
