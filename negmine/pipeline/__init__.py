"""Which stages are current, and making the others so."""

from negmine.pipeline.events import Reporter, RunResult, StageResult
from negmine.pipeline.running import run
from negmine.pipeline.states import StageStatus, clean, leftovers, stage_status, status

__all__ = ["Reporter", "RunResult", "StageResult", "StageStatus", "clean", "leftovers", "run", "stage_status", "status"]
