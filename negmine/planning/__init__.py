"""What ``negmine run`` would do and cost, without doing it."""

from negmine.planning.plan import PlannedStage, plan

__all__ = ["PlannedStage", "plan"]
