"""Training files: one module per format, one for how rows become bytes."""

from negmine.writers.base import ExportFormat, Groups, Rows
from negmine.writers.labeled_list import LabeledList
from negmine.writers.labeled_pair import LabeledPair
from negmine.writers.n_tuple import NTuple
from negmine.writers.triplet import Triplet

FORMATS: dict[str, ExportFormat] = {fmt.name: fmt for fmt in (Triplet(), NTuple(), LabeledPair(), LabeledList())}

__all__ = ["FORMATS", "ExportFormat", "Groups", "Rows"]
