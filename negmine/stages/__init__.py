"""The steps from the user's files to training files. They meet only through a run's files."""

from negmine.config import Config
from negmine.stages.base import Stage
from negmine.stages.embed import EmbedStage
from negmine.stages.export import ExportStage
from negmine.stages.filter import FilterStage
from negmine.stages.index import IndexStage
from negmine.stages.ingest import IngestStage
from negmine.stages.judge import JudgeStage
from negmine.stages.mine import MineStage
from negmine.stages.rerank import RerankStage

__all__ = ["STAGES", "Stage", "stages_of"]

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        IngestStage(),
        EmbedStage(),
        IndexStage(),
        MineStage(),
        RerankStage(),
        FilterStage(),
        JudgeStage(),
        ExportStage(),
    )
}
"""Every stage, in the order they run."""


def stages_of(config: Config) -> dict[str, Stage]:
    """The stages that a run has, in order: optional ones only where they are configured."""
    return {name: stage for name, stage in STAGES.items() if stage.wanted(config)}
