"""What a grid over one or two thresholds of ``filter`` would do, from the stored candidates of a run."""

from negmine.sweep.evaluating import Point, Sweep, sweep
from negmine.sweep.grid import Axis, Setting, axes, numeric_keys, settings

__all__ = ["Axis", "Point", "Setting", "Sweep", "axes", "numeric_keys", "settings", "sweep"]
