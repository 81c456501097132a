"""export: training files from the kept negatives, with a record of where each row came from."""

from negmine.stages.export.chunks import AT_ONCE
from negmine.stages.export.stage import ExportStage, file_tasks

__all__ = ["AT_ONCE", "ExportStage", "file_tasks"]
