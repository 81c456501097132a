"""The steps from the user's files to training files. They meet only through a run's files."""

from negmine.stages.base import Stage
from negmine.stages.embed import EmbedStage
from negmine.stages.export import ExportStage
from negmine.stages.filter import FilterStage
from negmine.stages.index import IndexStage
from negmine.stages.ingest import IngestStage
from negmine.stages.mine import MineStage

__all__ = ["STAGES", "Stage"]

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (IngestStage(), EmbedStage(), IndexStage(), MineStage(), FilterStage(), ExportStage())
}
"""Every stage, in the order they run."""
