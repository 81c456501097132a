"""filter: a verdict and a reason for every mined candidate."""

from negmine.stages.filter.calibrating import Calibration, calibrate, rules_of
from negmine.stages.filter.loading import MinedPart, load_part, mined_parts
from negmine.stages.filter.stage import FilterStage

__all__ = ["Calibration", "FilterStage", "MinedPart", "calibrate", "load_part", "mined_parts", "rules_of"]
