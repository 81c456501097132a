"""rerank: one score of a cross-encoder per candidate and positive."""

from negmine.stages.rerank.stage import RerankStage

__all__ = ["RerankStage"]
